/**
 * Reads certificate signing requests, which may come from anybody. A request proves that the caller has the key; of everything else that
 * it asks for, only the SPIFFE id is returned, for the caller's rights to be checked against.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { messageOf } from "#base";
import { CSR_CHARS_MAX, IdentityErrors } from "../api.ts";
import { DER_TAGS } from "./der.ts";
import { directCrypto } from "./direct-crypto.ts";
import { pemBlocks, x509Library } from "./library.ts";

/** Depth and number of ASN.1 values in a request: an honest one has a quarter as many, and reading these takes milliseconds. */
const ASN1_LIMITS = { berOptions: { maxDepth: 24, maxNodes: 400 } };
const ALTERNATIVE_NAMES = "2.5.29.17";
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
  if (!isOneSequence(der)) throw invalid("is not one ASN.1 sequence");
  const x509 = await x509Library();
  const { csr, spki, uris } = asInvalid("cannot be read", () => {
    const csr = new x509.Pkcs10CertificateRequest(der, ASN1_LIMITS);
    const names = csr.getExtensions(ALTERNATIVE_NAMES) as InstanceType<typeof x509.SubjectAlternativeNameExtension>[];
    const uris = names.flatMap(({ names }) => names.items.filter(({ type }) => type === "url"));
    return { csr, spki: Buffer.from(csr.publicKey.rawData), uris: uris.map(({ value }) => value) };
  });
  if (uris.length > 1) throw invalid(`has ${uris.length} URIs; a workload has one SPIFFE id`);
  const publicKey = asInvalid("has a key that cannot be read", () =>
    createPublicKey({ key: spki, format: "der", type: "spki" }),
  );
  requireAllowedKey(publicKey);
  if (!(await csr.verify(directCrypto).catch(() => false))) {
    throw invalid("is not signed by its own key, with SHA-256, SHA-384, SHA-512 or Ed25519");
  }
  return { publicKey, spki, spiffeId: uris[0] };
}

function derOf(pem: string): Buffer {
  if (pem.length > CSR_CHARS_MAX) throw invalid(`has ${pem.length} characters; at most ${CSR_CHARS_MAX} are allowed`);
  const [block, ...more] = pemBlocks(pem);
  if (!block?.label.endsWith("CERTIFICATE REQUEST") || more.length > 0) {
    throw invalid("is not one block of PEM that begins with -----BEGIN CERTIFICATE REQUEST-----");
  }
  return block.der;
}

/** Whether the bytes are a sequence and nothing after it. A request of a few KiB has a length of one or two octets. */
function isOneSequence(der: Buffer): boolean {
  const [tag, first = 0, second = 0, third = 0] = der;
  if (tag !== DER_TAGS.sequence) return false;
  if (first < 0x80) return der.length === 2 + first;
  if (first === 0x81) return der.length === 3 + second;
  return first === 0x82 && der.length === 4 + second * 256 + third;
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
