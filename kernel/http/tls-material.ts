/** The certificate that a listener serves, and what TLS is: 1.2 and 1.3, authenticated encryption with forward secrecy only. */
import { constants, X509Certificate } from "node:crypto";
import type { SecureContextOptions } from "node:tls";

/** All texts are PEM. */
export interface TlsMaterial {
  /** The leaf, then the intermediates. */
  readonly certificate: string;
  readonly key: string;
  /** The roots that client certificates are issued by, and the leaf, too, unless it is the operator's own. Empty: none. */
  readonly bundle: string;
}

/** The current certificate. Listeners are called after each change. An `IdentitySource` is one, too. */
export interface TlsSource {
  /** Undefined until there is a certificate. */
  readonly current: TlsMaterial | undefined;
  /** Returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

/** In TLS 1.2 that leaves no CBC suite. */
const SUITES = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/**
 * TLS 1.2 and 1.3, with forward secrecy and authenticated encryption. No session is resumed: a resumed one is not verified again, and
 * connections to the control plane live long.
 */
export const TLS_POLICY = {
  minVersion: "TLSv1.2",
  ciphers: SUITES,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
} as const satisfies SecureContextOptions;

/** The part of a listener's TLS that a renewal replaces. @throws OpenSSL's own error for a certificate or key that is not valid */
export function secureContextOf({ certificate, key, bundle }: TlsMaterial): SecureContextOptions {
  return {
    cert: certificate + rootOf(certificate, bundle),
    key,
    // Without a CA, Node would name every public one to clients. The leaf names nothing that any client has.
    ca: bundle === "" ? certificate : bundle,
    ...TLS_POLICY,
  };
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM text. @throws Error for a text that is not a certificate */
export function certificatesOf(pem: string): X509Certificate[] {
  return [...pem.matchAll(PEM)].map(([text]) => new X509Certificate(text));
}

/** The root of a chain. It is sent with the chain, so that a client finds the one whose fingerprint it knows. Empty: unknown. */
function rootOf(certificate: string, bundle: string): string {
  const last = certificatesOf(certificate).at(-1);
  const root = certificatesOf(bundle).find((one) => last?.checkIssued(one) === true && last.verify(one.publicKey));
  return root === undefined || root.fingerprint256 === last?.fingerprint256 ? "" : `\n${root.toString()}`;
}
