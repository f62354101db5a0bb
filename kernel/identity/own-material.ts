/** Whether a certificate that the authority issued to a part of its own process, in an earlier run, is still as good as a new one. */
import { createPrivateKey, X509Certificate as NodeCertificate } from "node:crypto";
import type { CertificateAuthority } from "./authority.ts";
import { spiffeIdOfNames } from "./core/alt-names.ts";
import { issuingIntermediate } from "./core/authority-record.ts";
import type { IdentityMaterial } from "./core/identity-source.ts";

/** Members have a new name in each run, so theirs is absent. */
export interface OwnWorkload {
  readonly kind: "member" | "gateway";
  readonly name?: string;
}

/** Whether it was issued by the intermediate that issues now, for this key and workload, and was not revoked. Its times do not count. */
export function isIssuedNow(
  authority: Pick<CertificateAuthority, "state" | "isRevoked">,
  { certificate, key }: Pick<IdentityMaterial, "certificate" | "key">,
  { kind, name }: OwnWorkload,
): boolean {
  const record = authority.state.authority?.record;
  const issuing = record && issuingIntermediate(record);
  if (!issuing || !certificate.endsWith(issuing.certificate + issuing.chain)) return false;
  try {
    const leaf = new NodeCertificate(certificate);
    const issuer = new NodeCertificate(issuing.certificate);
    const { trustDomain, workload } = spiffeIdOfNames(leaf.subjectAltName) ?? {};
    return (
      leaf.checkIssued(issuer) &&
      leaf.verify(issuer.publicKey) &&
      leaf.checkPrivateKey(createPrivateKey(key)) &&
      trustDomain === record.trustDomain &&
      workload?.kind === kind &&
      (name === undefined || workload.name === name) &&
      !authority.isRevoked(leaf.serialNumber.toLowerCase())
    );
  } catch {
    // Not a certificate or not a key.
    return false;
  }
}
