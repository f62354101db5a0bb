/** The TLS of the mesh, on both sides: versions 1.2 and 1.3, AEAD ciphers, no resumption. */
import { constants } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import type { IdentityMaterial } from "#identity/core";

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
export function secureContextOptions({ key, certificate, bundle }: IdentityMaterial): SecureContextOptions {
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
