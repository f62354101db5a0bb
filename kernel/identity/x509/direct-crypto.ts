/**
 * The part of WebCrypto that the X.509 library calls, over node:crypto without its thread pool: an operation on a curve takes a
 * twentieth of a millisecond, and handing it to a thread and back ten times as much.
 */
import { type KeyObject, sign, type webcrypto } from "node:crypto";
import { own } from "#base";

/** A key as the library passes it through. */
interface DirectKey {
  readonly algorithm: object;
  readonly node: KeyObject;
}

type Bytes = ArrayBuffer | NodeJS.ArrayBufferView;

interface SignatureAlgorithm {
  readonly name: string;
  readonly hash?: string | { readonly name: string };
}

/** Hashes by their WebCrypto names. */
const HASHES: Readonly<Record<string, string>> = { "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512" };

const subtle = {
  sign: async (algorithm: SignatureAlgorithm, { node }: DirectKey, data: Bytes) => {
    const bytes = sign(hashOf(algorithm), bufferOf(data), { key: node, dsaEncoding: "ieee-p1363" });
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  },
};

/** For the functions of the library that take a `Crypto`. */
export const directCrypto = { subtle } as unknown as Crypto;

/** A private key for the library's generators. */
export function directKey(node: KeyObject, algorithm: object): webcrypto.CryptoKey {
  return { algorithm, node } satisfies DirectKey as unknown as webcrypto.CryptoKey;
}

/** Undefined for Ed25519, which has its own. @throws Error for any other hash */
function hashOf({ name, hash }: SignatureAlgorithm): string | undefined {
  if (name === "Ed25519") return undefined;
  const found = own(HASHES, typeof hash === "object" ? hash.name : (hash ?? ""));
  if (found === undefined) throw new Error(`the hash of a signature is not one of ${Object.keys(HASHES).join(", ")}`);
  return found;
}

function bufferOf(data: Bytes): Buffer {
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}
