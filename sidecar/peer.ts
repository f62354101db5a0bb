/** The other side of a TLS connection: its SPIFFE id, or why its certificate is not accepted. */
import type { TLSSocket } from "node:tls";
import { formatSpiffeId, spiffeIdOfNames, type WorkloadName } from "#identity/core";
import type { RevocationTest } from "#identity/mesh";

/** Why a handshake failed, for metrics and logs. */
const PEER_FAILURES = [
  "no-certificate",
  "expired",
  "not-yet-valid",
  "unknown-issuer",
  "wrong-name",
  "wrong-purpose",
  "revoked",
  "timeout",
  "protocol",
] as const;
export type PeerFailure = (typeof PEER_FAILURES)[number];

export type CheckedPeer =
  | {
      readonly workload: WorkloadName;
      readonly spiffeId: string;
      readonly serial: string;
      readonly failure?: undefined;
    }
  | { readonly failure: PeerFailure; readonly detail: string };

const FAILURES: ReadonlyMap<string, PeerFailure> = new Map([
  ["CERT_HAS_EXPIRED", "expired"],
  ["CERT_NOT_YET_VALID", "not-yet-valid"],
  ["CERT_REVOKED", "revoked"],
  ["INVALID_PURPOSE", "wrong-purpose"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "wrong-name"],
  ["ERR_TLS_HANDSHAKE_TIMEOUT", "timeout"],
]);
const UNTRUSTED = /ISSUER|SELF_SIGNED|VERIFY_LEAF|CERT_SIGNATURE|PATH_LENGTH|CERT_UNTRUSTED|INVALID_CA|CERT_CHAIN/;

/** The failure that a code of OpenSSL or Node means. */
export function peerFailureOf(code: string): PeerFailure {
  return FAILURES.get(code) ?? (UNTRUSTED.test(code) ? "unknown-issuer" : "protocol");
}

/** Checks the client of a completed handshake. TLS has compared its certificate with the bundle already. */
export function checkClient(
  socket: TLSSocket,
  { trustDomain, isRevoked }: { readonly trustDomain: string; readonly isRevoked: RevocationTest },
): CheckedPeer {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return { failure: "no-certificate", detail: "the caller has no certificate" };
  const { authorized, authorizationError } = socket;
  if (!authorized) {
    const code = String(authorizationError);
    return { failure: peerFailureOf(code), detail: `the caller's certificate is not accepted: ${code}` };
  }
  const { serialNumber: serial, subjectAltName } = certificate;
  if (isRevoked(serial)) return { failure: "revoked", detail: revokedText(serial) };
  const id = spiffeIdOfNames(subjectAltName);
  if (!id) return { failure: "wrong-name", detail: "the certificate does not have exactly one known SPIFFE id" };
  const spiffeId = formatSpiffeId(id);
  if (id.trustDomain !== trustDomain)
    return { failure: "wrong-name", detail: `${spiffeId} is not in the trust domain ${trustDomain}` };
  return { workload: id.workload, spiffeId, serial };
}

export function revokedText(serial: string): string {
  return `the certificate ${serial.toLowerCase()} was revoked`;
}
