/**
 * The log of changes in the store. A module that commits a change adds its entry to the same transaction, so that neither
 * exists without the other. Entries end with a lease of a week; the timeline removes the oldest beyond a number.
 */
import { encodeJson, randomId, type Host } from "#base";
import { SharedLease, type Put, type Store } from "#store";
import { CHANGE_TEXT_CHARS_MAX, CHANGES_DAYS, type Change } from "./api.ts";

export const CHANGES_PREFIX = "/changes/log/";
/** Digits of the time in a key, in milliseconds since 1970: enough until the year 33658. */
const TIME_DIGITS = 15;
const ID_BYTES = 4;
const DAY_SECONDS = 86_400;

/** A change as it is stored. Its id is in the key, and its text is made by the reader. */
export type StoredChange = Omit<Change, "id" | "text">;

/** Makes the write of an entry for a transaction. `index` tells apart several changes of one transaction. */
export type ChangeEntry = (change: StoredChange, index?: number) => Put;

export class ChangeLog {
  readonly #host: Host;
  readonly #lease: SharedLease;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#lease = new SharedLease(host, store, CHANGES_DAYS * DAY_SECONDS);
  }

  /**
   * Runs a transaction whose writes include `entry(…)`. It may run twice, and each plan of it makes its entries
   * again: only the writes that are committed count.
   */
  use<T>(run: (entry: ChangeEntry) => Promise<T>): Promise<T> {
    const id = randomId(this.#host.random, ID_BYTES);
    return this.#lease.use((lease) => run((change, index = 0) => changePut(change, `${id}${index}`, lease)));
  }
}

/** The id of a change is the end of its key, so ids sort by time. */
export function changeId(atMs: number, rest: string): string {
  return `${String(Math.max(0, Math.floor(atMs))).padStart(TIME_DIGITS, "0")}-${rest}`;
}

function changePut(change: StoredChange, id: string, lease: string): Put {
  const { reason, ...rest } = change;
  const kept =
    reason === undefined || reason === "" ? rest : { ...rest, reason: reason.slice(0, CHANGE_TEXT_CHARS_MAX) };
  const key = `${CHANGES_PREFIX}${changeId(Date.parse(change.at), id)}`;
  return { type: "put", key, value: encodeJson(kept), lease };
}
