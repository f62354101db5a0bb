/** Views of the API: the authority with the states of its certificates, and an issued certificate. Pure. */
import { X509Certificate as NodeCertificate } from "node:crypto";
import type { AuthorityCertificate, AuthorityView, IssuedCertificate } from "./api.ts";
import type { CertificateAuthority, Issued } from "./authority.ts";
import {
  type AuthorityRecord,
  issuingRoot,
  type StoredIntermediate,
  type StoredRoot,
} from "./core/authority-record.ts";

export function authorityView({ state, problem, trustDomain }: CertificateAuthority): AuthorityView {
  const record = state.authority?.record;
  if (!record) return { trustDomain, state: "none", certificates: [] };
  const next = record.intermediates.find(({ id }) => id === record.next?.intermediate);
  const isNewRoot = next?.root !== issuingRoot(record)?.id;
  return {
    trustDomain,
    state: problem ? (problem.code === "IDENTITY_AUTHORITY_EXPIRED" ? "expired" : "keys-lost") : "ready",
    ...(problem ? { problem: problem.message } : {}),
    certificates: [
      ...record.roots.map((root) => certificateView("root", root, rootState(record, root))),
      ...record.intermediates.map((one) => certificateView("intermediate", one, intermediateState(record, one))),
    ],
    ...(next && record.next
      ? {
          rotation: {
            part: isNewRoot ? "root" : "intermediate",
            to: isNewRoot ? next.root : next.id,
            switchesAt: new Date(record.next.atMs).toISOString(),
          },
        }
      : {}),
  };
}

function rootState(record: AuthorityRecord, { id, removeAtMs }: StoredRoot): AuthorityCertificate["state"] {
  if (id === issuingRoot(record)?.id) return "issuing";
  return removeAtMs === undefined ? "announced" : "retiring";
}

function intermediateState(record: AuthorityRecord, { id }: StoredIntermediate): AuthorityCertificate["state"] {
  if (id === record.issuing) return "issuing";
  return id === record.next?.intermediate ? "announced" : "retiring";
}

function certificateView(
  part: AuthorityCertificate["part"],
  { id, certificate, expiresAtMs, sealed, imported, removeAtMs }: StoredRoot | StoredIntermediate,
  state: AuthorityCertificate["state"],
): AuthorityCertificate {
  return {
    fingerprint: id,
    part,
    subject: new NodeCertificate(certificate).subject.replaceAll("\n", ", "),
    expiresAt: new Date(expiresAtMs).toISOString(),
    state,
    ...(removeAtMs === undefined ? {} : { removedAt: new Date(removeAtMs).toISOString() }),
    keyHere: sealed !== undefined,
    imported,
    pem: certificate,
  };
}

export function issuedView({ certificate, bundle, spiffeId, serial, expiresAtMs }: Issued): IssuedCertificate {
  return { certificate, bundle, spiffeId, serial, expiresAt: new Date(expiresAtMs).toISOString() };
}
