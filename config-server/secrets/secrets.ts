/**
 * Secrets of sets: decrypts stored items, and encrypts given ones. A given value may be a mask, which represents the present
 * value of the key. A data key is stored before the release that needs it, so that every released secret can be read.
 */
import { hash, timingSafeEqual } from "node:crypto";
import { encodeJson, type Host, own, setOwn } from "#base";
import { StoreErrors, type Get, type Put, type Store } from "#store";
import { ConfigErrors, MASK, type Item, type SetName } from "../api.ts";
import { open, seal, unwrap } from "./cipher.ts";
import { dataKeyKey, SECRETS_PREFIX, setId } from "../core/keys.ts";
import {
  isSealed,
  parseSealed,
  parseWrapped,
  type OpenItem,
  type OpenItems,
  type SealedItem,
  type SealedItems,
  type StoredItem,
  type StoredItems,
  type Unreadable,
  type WrappedKey,
} from "../core/sealed.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** Data keys read or written in one transaction. */
const BATCH_MAX = 100;

/** Given items of a release or a draft: in the clear for checks, and as they will be stored. */
export interface Taken {
  readonly open: OpenItems;
  /** Keys of secrets that were given in the clear. */
  readonly known: ReadonlySet<string>;
  /** Encrypts new values, and stores their data keys. @throws CONFIG_SECRETS_UNCONFIGURED */
  seal(): Promise<StoredItems>;
}

export class Secrets {
  readonly keys: SecretKeys;
  readonly #host: Host;
  readonly #store: Store;

  constructor(host: Host, store: Store, keys: SecretKeys) {
    this.#host = host;
    this.#store = store;
    this.keys = keys;
    keys.onUse(() => this.exist());
  }

  /** Items of one set in the clear. An unreadable secret has the reason instead of a value, and does not affect other items. */
  async open(name: SetName, items: StoredItems): Promise<OpenItems> {
    const sealed = Object.entries(items).filter((entry): entry is [string, SealedItem] => isSealed(entry[1]));
    if (sealed.length === 0) return items as OpenItems;
    const wrapped = await this.#wrapped(
      name,
      sealed.flatMap(([, item]) => parseSealed(item.sealed)?.dataKey ?? []),
    );
    const opened = sealed.map(([key, item]) => [key, this.#open(name, key, item, wrapped)] as const);
    return { ...(items as OpenItems), ...Object.fromEntries(opened) };
  }

  #open(name: SetName, key: string, item: SealedItem, wrapped: ReadonlyMap<string, WrappedKey>): OpenItem {
    const { format, expand } = item;
    const as = (value: string): OpenItem => ({ format, value, ...(expand ? { expand } : {}), secret: true });
    const not = (why: string, keyId?: string): OpenItem => ({
      ...as(""),
      unreadable: {
        set: setId(name),
        key,
        message: `the secret "${key}" of "${setId(name)}" cannot be decrypted: ${why}`,
        ...(keyId === undefined ? {} : { keyId }),
      },
    });
    const changed = "its record in the store was changed, or moved there from elsewhere; release the secret again";
    const dataKey = parseSealed(item.sealed)?.dataKey;
    if (dataKey === undefined) return not(changed);
    const record = wrapped.get(dataKey);
    if (!record) return not("its data key is gone; release the secret again, or restore the store from a backup");
    const wrapping = this.keys.get(record.key);
    if (!wrapping)
      return not(`the key "${record.key}" is not here; restore the key, or release the secret again`, record.key);
    const bytes = unwrap(wrapping, { set: setId(name), dataKey }, record);
    const value = bytes && open(bytes, { name, key }, item);
    bytes?.fill(0);
    return value === undefined ? not(changed, record.key) : as(value);
  }

  /** @throws CONFIG_SECRET_UNREADABLE */
  async openOne(name: SetName, key: string, item: StoredItem): Promise<string> {
    const opened = own(await this.open(name, { [key]: item }), key);
    return readable(opened as OpenItem).value;
  }

  /**
   * Reads given items against the present secrets of the set, `standing`. A secret stays a secret until `secret: false`. In a
   * release, a secret with an unchanged value stays as it is stored. A draft is always encrypted again, because its author
   * may not read the secret, and an unchanged record would confirm a guess.
   * @throws CONFIG_SECRET_MASKED, CONFIG_SECRET_UNREADABLE for a mask of an unreadable secret
   */
  async take(
    name: SetName,
    given: StoredItems,
    { standing, draft = false }: { readonly standing: SealedItems; readonly draft?: boolean },
  ): Promise<Taken> {
    const looked: Record<string, StoredItem> = {};
    for (const [key, item] of Object.entries(given)) {
      const current = own(standing, key);
      if (isSealed(item)) setOwn(looked, key, item);
      else if (current) setOwn(looked, key, current);
    }
    const standingOpen = await this.open(name, looked);
    const known = new Set<string>();
    const open: Record<string, OpenItem> = {};
    const stored: Record<string, StoredItem> = {};
    const toSeal: [key: string, item: Item][] = [];
    for (const [key, item] of Object.entries(given)) {
      if (isSealed(item)) {
        setOwn(open, key, readable(own(standingOpen, key) as OpenItem));
        setOwn(stored, key, item);
        continue;
      }
      const current = own(standing, key);
      const masked = item.value === MASK;
      if (masked && (!current || item.secret === false)) throw maskNotValue(name, key, item);
      const { secret = current !== undefined, ...rest } = item;
      if (!secret) {
        setOwn(open, key, rest);
        // A draft keeps `secret: false` for its release.
        setOwn(stored, key, draft ? item : rest);
        continue;
      }
      const was = masked ? readable(own(standingOpen, key) as OpenItem) : own(standingOpen, key);
      const now: Item = { ...rest, secret, value: masked && was ? was.value : rest.value };
      setOwn(open, key, now);
      if (!masked) known.add(key);
      const keeps =
        current?.format === now.format &&
        current.expand === now.expand &&
        was?.unreadable === undefined &&
        (masked || (!draft && was !== undefined && equal(was.value, now.value)));
      if (keeps) setOwn(stored, key, current);
      else toSeal.push([key, now]);
    }
    return { open, known, seal: () => this.#seal(name, stored, toSeal) };
  }

  async #seal(name: SetName, kept: StoredItems, toSeal: readonly (readonly [string, Item])[]): Promise<StoredItems> {
    if (toSeal.length === 0) return kept;
    const wrapping = await this.keys.need();
    const sealed = toSeal.map(([key, item]) => [key, seal(this.#host.random, wrapping, { name, key }, item)] as const);
    for (let at = 0; at < sealed.length; at += BATCH_MAX) {
      const puts = sealed.slice(at, at + BATCH_MAX).map(([, { dataKey, wrapped }]): Put => ({
        type: "put",
        key: dataKeyKey(name, dataKey),
        value: encodeJson(wrapped),
      }));
      const { succeeded } = await this.#store.txn({
        when: puts.map(({ key }) => ({ key, target: "createRevision", is: "equal", value: 0 })),
        then: puts,
      });
      // Random ids of 128 bits do not collide. If they did, the data key of another value would not be overwritten.
      if (!succeeded) throw StoreErrors.CONTENDED("A data key with that id already exists. Try again.");
    }
    return { ...kept, ...Object.fromEntries(sealed.map(([key, { item }]) => [key, item])) };
  }

  /**
   * Keys of equal secrets on both sides. Without `compare`, only those with an equal stored form: comparing a draft by value
   * would confirm a guess of its author.
   * @throws CONFIG_SECRET_UNREADABLE
   */
  async same(
    before: { readonly name: SetName; readonly items: StoredItems },
    after: { readonly name: SetName; readonly items: StoredItems },
    { compare }: { readonly compare: boolean },
  ): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    const [left, right]: [Record<string, StoredItem>, Record<string, StoredItem>] = [{}, {}];
    for (const [key, was] of Object.entries(before.items)) {
      const is = own(after.items, key);
      if (!is || !isSealed(was) || !isSealed(is) || was.format !== is.format || was.expand !== is.expand) continue;
      if (was.sealed === is.sealed) found.add(key);
      else if (compare) {
        setOwn(left, key, was);
        setOwn(right, key, is);
      }
    }
    const [a, b] = await Promise.all([this.open(before.name, left), this.open(after.name, right)]);
    for (const key of Object.keys(left)) {
      const was = readable(own(a, key) as OpenItem);
      if (equal(was.value, readable(own(b, key) as OpenItem).value)) found.add(key);
    }
    return found;
  }

  /** Whether the store has any secret. */
  async exist(): Promise<boolean> {
    return (await this.#store.range({ prefix: SECRETS_PREFIX, limit: 1, keysOnly: true })).count > 0;
  }

  async #wrapped(name: SetName, dataKeys: readonly string[]): Promise<Map<string, WrappedKey>> {
    const found = new Map<string, WrappedKey>();
    const ids = [...new Set(dataKeys)];
    for (let at = 0; at < ids.length; at += BATCH_MAX) {
      const batch = ids.slice(at, at + BATCH_MAX);
      const then = batch.map((id): Get => ({ type: "range", key: dataKeyKey(name, id) }));
      const { results } = await this.#store.txn({ then });
      for (const [index, result] of results.entries()) {
        const value = result.type === "range" ? result.entries[0]?.value : undefined;
        const record = value && parseWrapped(value);
        if (record) found.set(batch[index] as string, record);
      }
    }
    return found;
  }
}

/** Takes the same time for any values. Callers that may compare values may know their lengths. */
function equal(a: string, b: string): boolean {
  return timingSafeEqual(hash("sha256", a, "buffer"), hash("sha256", b, "buffer"));
}

/** @throws CONFIG_SECRET_UNREADABLE */
function readable(item: OpenItem): OpenItem {
  if (item.unreadable) throw unreadable(item.unreadable);
  return item;
}

export function unreadable({ set, key, message, keyId }: Unreadable) {
  return ConfigErrors.SECRET_UNREADABLE(`${message.slice(0, 1).toUpperCase()}${message.slice(1)}.`, {
    extra: { set, key, ...(keyId === undefined ? {} : { keyId }) },
  });
}

function maskNotValue(name: SetName, key: string, { secret }: Item) {
  const way =
    secret === false
      ? "to make the key public, give its value"
      : `the key has no secret to keep; give a value with "secret": true`;
  return ConfigErrors.SECRET_MASKED(
    `Key "${key}" of "${setId(name)}" has the mask ${MASK} instead of a value: ${way}.`,
    {
      extra: { field: `/items/${key}/value` },
    },
  );
}
