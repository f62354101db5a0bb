/**
 * What certificates say, as text: the names in one, and whom a client's is of, in the words of Envoy's
 * `x-forwarded-client-cert`. Pure; whether a certificate is to be trusted was found out before.
 */

/** Header by which a service is told whose certificate the client has. Only the gateway sets it. */
export const CLIENT_CERTIFICATE_HEADER = "x-forwarded-client-cert";

/** Characters of the header; names beyond are left out, for the service has a limit for all headers. */
const HEADER_CHARS_MAX = 4096;

export interface AltName {
  /** As OpenSSL calls it: `DNS`, `URI`, `IP Address`. */
  readonly type: string;
  readonly value: string;
}

/** As much of Node's X509Certificate as is looked at. */
export interface CertificateText {
  /** SHA-256, in hex with colons. */
  readonly fingerprint256: string;
  /** A line per attribute, each escaped by RFC 2253. */
  readonly subject: string;
  readonly subjectAltName: string | undefined;
}

/** A value that would be taken for several stands as a JSON string. */
const QUOTED = /^"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/u;

/**
 * The subject alternative names of a certificate, from Node's text of them: `DNS:a.example, URI:"spiffe://b, c"`. None
 * when the text is not of that shape: half a list may not be what was signed.
 * @see CVE-2021-44532, for which Node quotes
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

/** Whether a certificate has one of these names: a DNS name, or a URI, which has a colon. Exact; no wildcards. */
export function hasAltName(text: string | undefined, wanted: readonly string[]): boolean {
  return altNames(text).some(({ type, value }) =>
    type === "DNS"
      ? wanted.some((name) => name.toLowerCase() === value.toLowerCase())
      : type === "URI" && value.includes(":") && wanted.includes(value),
  );
}

/**
 * Whose certificate it is: `Hash=…;Subject="CN=…";URI=…;DNS=…`.
 * @see Envoy, HTTP header manipulation, x-forwarded-client-cert
 */
export function clientCertificate({ fingerprint256, subject, subjectAltName }: CertificateText): string {
  let text = `Hash=${fingerprint256.replaceAll(":", "").toLowerCase()};Subject="${distinguishedName(subject)}"`;
  const names = altNames(subjectAltName);
  for (const kind of ["URI", "DNS"]) {
    for (const { type, value } of names) {
      const told = type === kind ? quoteName(value) : undefined;
      if (told === undefined) continue;
      if (text.length + kind.length + told.length + 2 > HEADER_CHARS_MAX) return text;
      text += `;${kind}=${told}`;
    }
  }
  return text;
}

/**
 * RFC 2253 has the most special first, and a byte that is no plain character as two hex digits. Quotes and backslashes
 * are escaped in it already, so that none ends the header's own quotes.
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

/** undefined: what no name has, and no header should. */
function quoteName(value: string): string | undefined {
  if (!/^[\x21-\x7e]+$/.test(value)) return undefined;
  return /[",;=\\]/.test(value) ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : value;
}
