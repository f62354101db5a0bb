/**
 * Certificates as text: the names in a certificate, and the owner of a client's certificate in the format of Envoy's
 * `x-forwarded-client-cert`. Pure. The certificates were verified before.
 */
import { altNames } from "#identity/core";

/** Header in which a service receives the owner of the client's certificate. Only the gateway sets it. */
export const CLIENT_CERTIFICATE_HEADER = "x-forwarded-client-cert";

/** Longest header, in characters. Names beyond it are omitted, since services limit the size of headers. */
const HEADER_CHARS_MAX = 4096;

/** The fields of Node's X509Certificate that are read. */
export interface CertificateText {
  /** SHA-256, in hex with colons. */
  readonly fingerprint256: string;
  /** One line per attribute, each escaped by RFC 2253. */
  readonly subject: string;
  readonly subjectAltName: string | undefined;
}

/** Whether a certificate has one of these names: a DNS name, or a URI, which has a colon. Exact, without wildcards. */
export function hasAltName(text: string | undefined, wanted: readonly string[]): boolean {
  return altNames(text).some(({ type, value }) =>
    type === "DNS"
      ? wanted.some((name) => name.toLowerCase() === value.toLowerCase())
      : type === "URI" && value.includes(":") && wanted.includes(value),
  );
}

/**
 * The owner of a certificate: `Hash=…;Subject="CN=…";URI=…;DNS=…`.
 * @see Envoy, HTTP header manipulation, x-forwarded-client-cert
 */
export function clientCertificate({ fingerprint256, subject, subjectAltName }: CertificateText): string {
  let text = `Hash=${fingerprint256.replaceAll(":", "").toLowerCase()};Subject="${distinguishedName(subject)}"`;
  const names = altNames(subjectAltName);
  for (const kind of ["URI", "DNS"]) {
    for (const { type, value } of names) {
      const name = type === kind ? quoteName(value) : undefined;
      if (name === undefined) continue;
      if (text.length + kind.length + name.length + 2 > HEADER_CHARS_MAX) return text;
      text += `;${kind}=${name}`;
    }
  }
  return text;
}

/**
 * The name in the order of RFC 2253, most specific attribute first, with each byte outside printable ASCII as two hex
 * digits. The lines already escape quotes and backslashes, so none of them ends the header's own quotes.
 */
function distinguishedName(lines: string): string {
  const name = lines
    .split("\n")
    .toReversed()
    .filter((line) => line !== "")
    .join(",")
    .replaceAll(/[^\x20-\x7e]/gu, (character) =>
      [...new TextEncoder().encode(character)]
        .map((byte) => `\\${byte.toString(16).toUpperCase().padStart(2, "0")}`)
        .join(""),
    );
  return name.length > HEADER_CHARS_MAX / 2 ? "" : name;
}

/** undefined: the value has characters that a header must not contain. */
function quoteName(value: string): string | undefined {
  if (!/^[\x21-\x7e]+$/.test(value)) return undefined;
  return /[",;=\\]/.test(value) ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : value;
}
