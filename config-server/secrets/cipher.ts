/** AES-256-GCM for secrets: encrypts and decrypts bytes, seals and opens items, wraps and unwraps their data keys. */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { randomId, type Random } from "#base";
import type { SetName } from "../api.ts";
import { setId } from "../core/keys.ts";
import {
  associatedData,
  formatSealed,
  parseSealed,
  wrappedData,
  type SealedItem,
  type WrappedKey,
} from "../core/sealed.ts";
import type { Item } from "../contract/items.ts";

/** Bytes of every key: AES-256. */
export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DATA_KEY_ID_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** A key under which data keys are wrapped. */
export interface WrappingKey {
  readonly id: string;
  readonly key: KeyObject;
}

/** A value encrypted under a data key of its own, and that key, wrapped. */
export function seal(
  random: Random,
  wrapping: WrappingKey,
  at: { readonly name: SetName; readonly key: string },
  { format, expand, value }: Item,
): { readonly item: SealedItem; readonly dataKey: string; readonly wrapped: WrappedKey } {
  const dataKey = randomId(random, DATA_KEY_ID_BYTES);
  const bytes = random.bytes(KEY_BYTES);
  const nonce = random.bytes(NONCE_BYTES);
  const bound = associatedData(at.name, at.key, { format, expand, dataKey });
  const data = encrypt(createSecretKey(bytes), nonce, bound, Buffer.from(value, "utf8"));
  const wrapped = wrap(random, wrapping, { set: setId(at.name), dataKey }, bytes);
  bytes.fill(0);
  const sealed = formatSealed({ dataKey, nonce: text(nonce), data: text(data) });
  return { item: { format, ...(expand ? { expand } : {}), secret: true, sealed }, dataKey, wrapped };
}

/** The value; undefined when the data key is not the right one, or any part of the item was changed. */
export function open(
  bytes: Uint8Array,
  at: { readonly name: SetName; readonly key: string },
  { format, expand, sealed }: SealedItem,
): string | undefined {
  const parts = parseSealed(sealed);
  const nonce = parts && bytesOf(parts.nonce);
  const data = parts && bytesOf(parts.data);
  if (!parts || !nonce || !data) return undefined;
  const bound = associatedData(at.name, at.key, { format, expand, dataKey: parts.dataKey });
  return decrypt(createSecretKey(bytes), nonce, bound, data)?.toString("utf8");
}

export function wrap(
  random: Random,
  { id, key }: WrappingKey,
  { set, dataKey }: { readonly set: string; readonly dataKey: string },
  bytes: Uint8Array,
): WrappedKey {
  const nonce = random.bytes(NONCE_BYTES);
  const data = encrypt(key, nonce, wrappedData(set, dataKey, id), bytes);
  return { v: 1, key: id, wrapped: text(Buffer.concat([nonce, data])) };
}

/** The data key; undefined when it was not wrapped by this key, for this place. */
export function unwrap(
  key: KeyObject,
  { set, dataKey }: { readonly set: string; readonly dataKey: string },
  { key: id, wrapped }: WrappedKey,
): Buffer | undefined {
  const data = bytesOf(wrapped);
  if (!data) return undefined;
  const plain = decrypt(key, data.subarray(0, NONCE_BYTES), wrappedData(set, dataKey, id), data.subarray(NONCE_BYTES));
  return plain?.length === KEY_BYTES ? plain : undefined;
}

/** Bytes under a wrapping key itself, bound to a context: for the few that need no data key of their own. */
export function sealBytes(random: Random, { id, key }: WrappingKey, context: string, plain: Uint8Array): string {
  const nonce = random.bytes(NONCE_BYTES);
  return text(Buffer.concat([nonce, encrypt(key, nonce, sealedContext(id, context), plain)]));
}

/** The bytes; undefined when another key or context sealed them, or they were changed. */
export function openBytes({ id, key }: WrappingKey, context: string, sealed: string): Buffer | undefined {
  const data = bytesOf(sealed);
  return data && decrypt(key, data.subarray(0, NONCE_BYTES), sealedContext(id, context), data.subarray(NONCE_BYTES));
}

function sealedContext(keyId: string, context: string): string {
  return JSON.stringify(["posthouse sealed", 1, keyId, context]);
}

function encrypt(key: KeyObject, nonce: Uint8Array, bound: string, plain: Uint8Array): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(bound, "utf8"));
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: KeyObject, nonce: Uint8Array, bound: string, data: Uint8Array): Buffer | undefined {
  if (nonce.length !== NONCE_BYTES || data.length < TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(bound, "utf8"));
  decipher.setAuthTag(data.subarray(data.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(data.subarray(0, data.length - TAG_BYTES)), decipher.final()]);
  } catch {
    // The only error is a tag that does not match.
    return undefined;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

/** Accepts only the canonical spelling: the last letter of base64 has spare bits, whose change would otherwise go unnoticed. */
function bytesOf(encoded: string): Buffer | undefined {
  const bytes = Buffer.from(encoded, "base64url");
  return bytes.toString("base64url") === encoded ? bytes : undefined;
}
