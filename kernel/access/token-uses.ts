/**
 * When and from where tokens and sign-ins were last used. A request costs a look-up. Once a minute a member writes what it noted, in one
 * transaction for all of them.
 */
import { AppError, decodeJson, encodeJson, own, type Host } from "#base";
import { commit, type Store } from "#store";
import { mergedShard, minuteOf, shardOf, USE_SHARDS, USE_STEP_MS, type Use, type UseShard } from "./core/use-book.ts";
import { ACCESS_PREFIX } from "./token-record.ts";

export const USES_PREFIX = `${ACCESS_PREFIX}uses/`;
/** Milliseconds of a minute by which members differ, so that they do not all write at once. */
const SPREAD_MS = 10_000;
/** Characters of an address that are kept: the longest of IPv6 with a zone. */
const ADDRESS_LENGTH_MAX = 64;
/** Plans of a write before it waits for the next minute: other members write the same records. */
const TRIES = 8;

export interface LastUse {
  readonly at: string;
  readonly from: string;
}

export class TokenUses {
  readonly #host: Host;
  readonly #store: Store;
  readonly #isKnown: (id: string) => boolean;
  readonly #stored = new Map<string, UseShard>();
  /** Uses that are not written yet, and those of the last minute. */
  #noted = new Map<string, Use>();

  /** `isKnown`: whether a token or sign-in still exists. */
  constructor(host: Host, store: Store, isKnown: (id: string) => boolean) {
    this.#host = host;
    this.#store = store;
    this.#isKnown = isKnown;
  }

  /** Access calls this and the next two for what its view reads. */
  clear(): void {
    this.#stored.clear();
  }

  put(shard: string, value: Uint8Array): void {
    this.#stored.set(shard, decodeJson(value));
  }

  delete(shard: string): void {
    this.#stored.delete(shard);
  }

  note(id: string, address: string): void {
    const minute = minuteOf(this.#host.clock.now());
    if (this.#noted.get(id)?.[0] === minute) return;
    this.#noted.set(id, [minute, address.slice(0, ADDRESS_LENGTH_MAX)]);
  }

  lastUse(id: string): LastUse | undefined {
    const stored = own(this.#stored.get(shardOf(id)) ?? {}, id);
    const noted = this.#noted.get(id);
    const use = stored && (!noted || stored[0] > noted[0]) ? stored : noted;
    return use && { at: new Date(use[0] * USE_STEP_MS).toISOString(), from: use[1] };
  }

  /** Writes uses once a minute, and once more at the end. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#host.clock.sleep(USE_STEP_MS - this.#host.random.float() * SPREAD_MS, signal).catch(() => {});
      await this.flush();
    }
  }

  /** Writes what was noted. Uses that cannot be written wait for the next time. */
  async flush(): Promise<void> {
    const noted = this.#noted;
    if (noted.size === 0) return;
    this.#noted = new Map();
    const byShard = Map.groupBy(noted, ([id]) => shardOf(id));
    const shards = [...byShard.keys()].slice(0, USE_SHARDS);
    try {
      await commit(
        this.#store,
        shards.map((shard) => ({ key: `${USES_PREFIX}${shard}` })),
        (known) => ({
          writes: shards.flatMap((shard) => {
            const key = `${USES_PREFIX}${shard}`;
            const entry = known.get(key);
            const stored = entry ? decodeJson<UseShard>(entry.value) : {};
            const merged = mergedShard(stored, new Map(byShard.get(shard)), this.#isKnown);
            return merged === undefined ? [] : [{ type: "put", key, value: encodeJson(merged) }];
          }),
          result: undefined,
        }),
        { tries: TRIES },
      );
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // A later use is in the new map already.
      this.#noted = new Map([...noted, ...this.#noted]);
      this.#host.log.debug({ code: error.code }, `last uses of tokens are not written: ${error.message}`);
    }
  }
}
