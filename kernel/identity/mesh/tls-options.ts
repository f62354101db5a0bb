/** The TLS of the mesh, on both sides: versions 1.2 and 1.3, AEAD ciphers, no resumption. */
import { constants } from "node:crypto";
import type { ConnectionOptions, PeerCertificate, SecureContext, SecureContextOptions } from "node:tls";
import { formatSpiffeId, MESH_PROTOCOL, spiffeIdOfNames, type IdentityMaterial } from "../core/mod.ts";

const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES256-GCM-SHA384",
].join(":");

/**
 * No tickets: a resumed session would carry the result of an earlier verification past the end of a certificate and past a change of
 * the trusted roots.
 */
export function meshTlsOptions({ key, certificate, bundle }: IdentityMaterial): SecureContextOptions {
  return {
    key,
    cert: certificate,
    ca: bundle,
    ciphers: CIPHERS,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Whether a certificate was revoked, by its serial number as TLS writes it. */
export type RevocationTest = (serial: string) => boolean;

/** The TLS of a connection to an ingress: it must be this workload, and it greets by the protocol of the mesh if it knows that. */
export function meshConnectOptions(
  context: SecureContext,
  spiffeId: string,
  isRevoked: RevocationTest,
): ConnectionOptions {
  return {
    secureContext: context,
    rejectUnauthorized: true,
    checkServerIdentity: requireServer(spiffeId, isRevoked),
    ALPNProtocols: [MESH_PROTOCOL],
  };
}

/** In place of the check of a host name: the server must be this workload, and its certificate not revoked. */
function requireServer(
  spiffeId: string,
  isRevoked: RevocationTest,
): (host: string, certificate: PeerCertificate) => Error | undefined {
  return (_host, { subjectaltname, serialNumber }) => {
    if (isRevoked(serialNumber)) {
      return Object.assign(new Error(`the certificate ${serialNumber} was revoked`), { code: "CERT_REVOKED" });
    }
    const id = spiffeIdOfNames(subjectaltname);
    const found = id && formatSpiffeId(id);
    if (found === spiffeId) return undefined;
    const error = new Error(`the certificate is for ${found ?? "no workload"}, and ${spiffeId} is required`);
    return Object.assign(error, { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  };
}
