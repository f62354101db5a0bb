/**
 * Certificates as text: the names in a certificate, and the owner of a client's certificate in the format of Envoy's
 * `x-forwarded-client-cert`. Pure. The certificates were verified before.
 */

/** Header in which a service receives the owner of the client's certificate. Only the gateway sets it. */
export const CLIENT_CERTIFICATE_HEADER = "x-forwarded-client-cert";

/** Longest header, in characters. Names beyond it are omitted, since services limit the size of headers. */
const HEADER_CHARS_MAX = 4096;

export interface AltName {
  /** The type in OpenSSL's words: `DNS`, `URI`, `IP Address`. */
  readonly type: string;
  readonly value: string;
}

/** The fields of Node's X509Certificate that are read. */
export interface CertificateText {
  /** SHA-256, in hex with colons. */
  readonly fingerprint256: string;
  /** One line per attribute, each escaped by RFC 2253. */
  readonly subject: string;
  readonly subjectAltName: string | undefined;
}

/** Node writes a value with special characters as a JSON string. */
const QUOTED = /^"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/u;

/**
 * The subject alternative names of a certificate, from Node's text: `DNS:a.example, URI:"spiffe://b, c"`. Empty when the
 * text has another shape, since a part of the list may differ from what was signed.
 * @see CVE-2021-44532, the reason for Node's quotes
 */
export function altNames(text: string | undefined): readonly AltName[] {
  const names: AltName[] = [];
  let rest = text ?? "";
  while (rest !== "") {
    const colon = rest.indexOf(":");
    if (colon <= 0) return [];
    const type = rest.slice(0, colon);
    rest = rest.slice(colon + 1);
    const quoted = QUOTED.exec(rest)?.[0];
    const comma = rest.indexOf(", ");
    const plain = comma < 0 ? rest : rest.slice(0, comma);
    const raw = quoted ?? plain;
    if (quoted === undefined && plain.includes('"')) return [];
    names.push({ type, value: quoted === undefined ? plain : (JSON.parse(quoted) as string) });
    rest = rest.slice(raw.length);
    if (rest === "") break;
    if (!rest.startsWith(", ") || rest.length === 2) return [];
    rest = rest.slice(2);
  }
  return names;
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
