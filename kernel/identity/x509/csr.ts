/**
 * Reads certificate signing requests, which may come from anybody. A request proves that the caller has the key; of everything else that
 * it asks for, only the SPIFFE id is returned, for the caller's rights to be checked against.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { messageOf } from "#base";
import { CSR_CHARS_MAX, IdentityErrors } from "../api.ts";
import { DER_TAGS, derOid } from "./der.ts";
import { bitsOf, contentOf, DerReader, type DerValue } from "./der-reader.ts";
import { pemBlocks } from "./library.ts";

const { bits, integer, octets, oid, sequence, set } = DER_TAGS;
/** ASN.1 values that are read in a request. An honest one has a quarter as many. */
const VALUES_MAX = 400;
/** Tags of context: the attributes of a request, and a URI among alternative names. Rules: RFC 2986, RFC 5280. */
const ATTRIBUTES = 0xa0;
const URI_NAME = 0x86;
const EXTENSION_REQUEST = derOid("1.2.840.113549.1.9.14");
const ALTERNATIVE_NAMES = derOid("2.5.29.17");
/** Signatures that prove a key: by which type of key, and the hash, by object identifier. */
const SIGNATURES: readonly (readonly [oid: Buffer, type: string, hash: string | undefined])[] = [
  [derOid("1.2.840.10045.4.3.2"), "ec", "sha256"],
  [derOid("1.2.840.10045.4.3.3"), "ec", "sha384"],
  [derOid("1.2.840.10045.4.3.4"), "ec", "sha512"],
  [derOid("1.3.101.112"), "ed25519", undefined],
  [derOid("1.2.840.113549.1.1.11"), "rsa", "sha256"],
  [derOid("1.2.840.113549.1.1.12"), "rsa", "sha384"],
  [derOid("1.2.840.113549.1.1.13"), "rsa", "sha512"],
];
/** Bits of an RSA key. More cost every handshake too much time. */
const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 8192;
const RSA_EXPONENT = 65_537n;
const CURVES = new Set(["prime256v1", "secp384r1"]);

export interface CheckedCsr {
  readonly publicKey: KeyObject;
  readonly spki: Buffer;
  /** Its only URI among the alternative names. */
  readonly spiffeId: string | undefined;
}

/** @throws IDENTITY_CSR_INVALID, IDENTITY_CSR_KEY_NOT_ALLOWED */
export async function readCsr(pem: string): Promise<CheckedCsr> {
  const der = derOf(pem);
  const { spki, uris, signed, algorithm, signature } = asInvalid("cannot be read", () => partsOf(der));
  if (uris.length > 1) throw invalid(`has ${uris.length} URIs; a workload has one SPIFFE id`);
  const publicKey = asInvalid("has a key that cannot be read", () =>
    createPublicKey({ key: spki, format: "der", type: "spki" }),
  );
  requireAllowedKey(publicKey);
  const known = SIGNATURES.find(([oid, type]) => oid.equals(algorithm) && type === publicKey.asymmetricKeyType);
  if (!known || !verify(known[2], signed, publicKey, signature)) {
    throw invalid("is not signed by its own key, with SHA-256, SHA-384, SHA-512 or Ed25519");
  }
  // The key as OpenSSL writes it, so that no other encoding of it gets into a certificate.
  return { publicKey, spki: publicKey.export({ type: "spki", format: "der" }), spiffeId: uris[0] };
}

/** The parts of a request. Rules: RFC 2986, section 4. */
function partsOf(der: Buffer) {
  const reader = new DerReader(VALUES_MAX);
  const [info, algorithm, signature, ...more] = reader.within(der, sequence);
  const [version, , spki, attributes, ...others] = reader.all(contentOf(info, sequence));
  if (more.length > 0 || others.length > 0) throw new Error("it has more parts than a request");
  if (!contentOf(version, integer).equals(Buffer.from([0]))) throw new Error("its version is unknown");
  contentOf(spki, sequence);
  const [oidOfSignature] = reader.all(contentOf(algorithm, sequence));
  return {
    signed: info?.whole ?? der,
    spki: spki?.whole ?? der,
    uris: attributes === undefined ? [] : urisOf(reader, contentOf(attributes, ATTRIBUTES)),
    algorithm: oidOfSignature?.whole ?? der,
    signature: bitsOf(signature, bits),
  };
}

/** The URIs among the alternative names that the attributes of a request ask for. */
function urisOf(reader: DerReader, attributes: Buffer): string[] {
  const requests = reader.all(attributes).flatMap((attribute) => {
    const [type, values] = reader.all(contentOf(attribute, sequence));
    return isOid(type, EXTENSION_REQUEST) ? reader.all(contentOf(values, set)) : [];
  });
  const extensions = requests.flatMap((request) => reader.all(contentOf(request, sequence)));
  const names = extensions.flatMap((extension) => {
    const parts = reader.all(contentOf(extension, sequence));
    const value = parts.at(-1);
    return isOid(parts[0], ALTERNATIVE_NAMES) ? reader.within(contentOf(value, octets), sequence) : [];
  });
  return names.flatMap(({ tag, content }) => (tag === URI_NAME ? [content.toString("latin1")] : []));
}

function isOid(value: DerValue | undefined, wanted: Buffer): boolean {
  contentOf(value, oid);
  return value?.whole.equals(wanted) === true;
}

function derOf(pem: string): Buffer {
  if (pem.length > CSR_CHARS_MAX) throw invalid(`has ${pem.length} characters; at most ${CSR_CHARS_MAX} are allowed`);
  const [block, ...more] = pemBlocks(pem);
  if (!block?.label.endsWith("CERTIFICATE REQUEST") || more.length > 0) {
    throw invalid("is not one block of PEM that begins with -----BEGIN CERTIFICATE REQUEST-----");
  }
  return block.der;
}

/** @throws IDENTITY_CSR_KEY_NOT_ALLOWED */
export function requireAllowedKey(key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = key;
  const { modulusLength: bits = 0, publicExponent, namedCurve = "" } = details;
  if (type === "ed25519") return;
  if (type === "ec" && CURVES.has(namedCurve)) return;
  if (type === "rsa" && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX && publicExponent === RSA_EXPONENT) return;
  const what =
    type === "rsa" ? `RSA with ${bits} bits` : type === "ec" ? `the curve ${namedCurve}` : (type ?? "unknown");
  throw IdentityErrors.CSR_KEY_NOT_ALLOWED(
    `The key of the request is ${what}. Use P-256, P-384, Ed25519, or RSA with ${RSA_BITS_MIN} to ${RSA_BITS_MAX} bits and the exponent 65537.`,
  );
}

function asInvalid<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw invalid(`${what}: ${messageOf(error)}`, error);
  }
}

function invalid(what: string, cause?: unknown): Error {
  return IdentityErrors.CSR_INVALID(`The certificate signing request ${what}.`, { cause, extra: { field: "/csr" } });
}
