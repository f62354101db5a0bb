/** The subject alternative names of a certificate, from Node's text. Pure. The certificate was verified before. */
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

export interface AltName {
  /** The type in OpenSSL's words: `DNS`, `URI`, `IP Address`. */
  readonly type: string;
  readonly value: string;
}

/** Node writes a value with special characters as a JSON string. */
const QUOTED = /^"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/u;

/**
 * The names in a text such as `DNS:a.example, URI:"spiffe://b, c"`. Empty when the text has another shape, since a part of the list
 * may differ from what was signed.
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

/** The SPIFFE id of a certificate, which must be its only URI. @see X509-SVID, section 2 */
export function spiffeIdOfNames(text: string | undefined): SpiffeId | undefined {
  const uris = altNames(text).filter(({ type }) => type === "URI");
  return uris.length === 1 ? parseSpiffeId(uris[0]?.value ?? "") : undefined;
}
