/**
 * Secrets as they are stored. Each value is encrypted under a data key of its own, and stays in its release forever. The data
 * key is stored beside it, wrapped by a key that is never stored, and is rewrapped when that key changes. An encrypted value
 * is bound to its place: moved to another set, key or format it can no longer be read. Pure.
 *
 * Version 1, all of it AES-256-GCM with random 96-bit nonces and 128-bit tags, base64url without padding:
 * - value: `v1.DATA_KEY_ID.NONCE.CIPHERTEXT_AND_TAG`, with `associatedData` authenticated;
 * - data key, under `/config/secrets/NS/APP/PROFILE/DATA_KEY_ID`: `{"v":1,"key":ID,"wrapped":NONCE_CIPHERTEXT_AND_TAG}`, with
 *   `wrappedData` authenticated.
 * @see NIST SP 800-38D §8.2.2 for random nonces: one data key encrypts once, one wrapping key at most 2^32 times
 */
import { decodeJson } from "#base";
import { MASK, type Format, type Item, type Items, type ReleaseSummary, type SetName } from "../api.ts";
import { setId } from "./keys.ts";

export interface SealedItem {
  readonly format: Format;
  readonly expand?: true;
  readonly secret: true;
  readonly sealed: string;
}
/** An item as it is stored. A secret has no `value`, so no code returns one by mistake. */
export type StoredItem = Item | SealedItem;
export type StoredItems = Readonly<Record<string, StoredItem>>;
export type SealedItems = Readonly<Record<string, SealedItem>>;
export type StoredRelease = ReleaseSummary & { readonly items: StoredItems };

/** Why a secret cannot be read, without its value; and the key that it needs, if that is known. */
export interface Unreadable {
  /** `NAMESPACE/APP/PROFILE` that contains it. */
  readonly set: string;
  readonly key: string;
  readonly message: string;
  readonly keyId?: string;
}
/** An item in memory, in the clear, or the reason why a secret is not. */
export interface OpenItem extends Item {
  readonly unreadable?: Unreadable;
  /** A secret in a check for an author who may not know it: neither its value nor its structure is used. */
  readonly opaque?: true;
}
export type OpenItems = Readonly<Record<string, OpenItem>>;
export type OpenRelease = ReleaseSummary & { readonly items: OpenItems };

/** A data key as it is stored, beside the releases. */
export interface WrappedKey {
  readonly v: 1;
  /** The key that it is wrapped by. */
  readonly key: string;
  readonly wrapped: string;
}

export function isSealed(item: StoredItem): item is SealedItem {
  return "sealed" in item;
}

export function sealedOf(items: StoredItems): SealedItems {
  return Object.fromEntries(Object.entries(items).filter((entry): entry is [string, SealedItem] => isSealed(entry[1])));
}

/** Ids of the data keys that items need. */
export function dataKeysOf(items: StoredItems): string[] {
  return Object.values(items).flatMap((item) => (isSealed(item) ? (parseSealed(item.sealed)?.dataKey ?? []) : []));
}

/** An item for people: a secret is masked. */
export function shownItem(item: StoredItem): Item {
  if (!isSealed(item)) return item;
  const { format, expand } = item;
  return { format, value: MASK, ...(expand ? { expand } : {}), secret: true };
}

export function shownItems(items: StoredItems): Items {
  return Object.fromEntries(Object.entries(items).map(([key, item]) => [key, shownItem(item)]));
}

const SEALED = /^v1\.([0-9a-f]{32})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)$/;

export interface SealedParts {
  readonly dataKey: string;
  readonly nonce: string;
  readonly data: string;
}

/** Undefined when it does not have the form above. */
export function parseSealed(sealed: string): SealedParts | undefined {
  const [, dataKey, nonce, data] = SEALED.exec(sealed) ?? [];
  return dataKey === undefined || nonce === undefined || data === undefined ? undefined : { dataKey, nonce, data };
}

export function formatSealed({ dataKey, nonce, data }: SealedParts): string {
  return `v1.${dataKey}.${nonce}.${data}`;
}

/** The place that a value is bound to. Names contain no line break, so each place has its own text. */
export function associatedData(
  name: SetName,
  key: string,
  { format, expand, dataKey }: { format: Format; expand?: true | undefined; dataKey: string },
): string {
  return ["posthouse secret v1", setId(name), key, format, expand ? "expand" : "", dataKey].join("\n");
}

/** The place that a wrapped data key is bound to. */
export function wrappedData(set: string, dataKey: string, key: string): string {
  return ["posthouse data key v1", set, dataKey, key].join("\n");
}

/** Undefined when the record is malformed, which counts as missing. */
export function parseWrapped(value: Uint8Array): WrappedKey | undefined {
  try {
    const record = decodeJson<Partial<WrappedKey>>(value);
    const good = record.v === 1 && typeof record.key === "string" && typeof record.wrapped === "string";
    return good ? (record as WrappedKey) : undefined;
  } catch {
    return undefined;
  }
}
