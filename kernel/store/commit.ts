/**
 * A command as a transaction: read, plan, try; and when another writer was first, plan again from what the store just
 * returned. The plan is a pure function, so it may run more than once.
 */
import { StoreErrors, type Compare, type Delete, type Entry, type Get, type KeyOrPrefix, type Put } from "./types.ts";
import type { Revision, Store, TxnResult } from "./types.ts";

/** What was read, by key. A key that is not there is absent. */
export type Known = ReadonlyMap<string, Entry>;

export interface Plan<T> {
  /** Absent or empty: nothing is written, and the result rests on what was read. */
  readonly writes?: readonly (Put | Delete)[];
  readonly result: T;
}

export interface Committed<T> {
  readonly result: T;
  /** Of the writes; when nothing was written, the revision at which `known` was true. */
  readonly revision: Revision;
}

export interface CommitOptions {
  /** Plans before giving up. */
  readonly tries?: number;
  /** What a view holds of `reads`: all of it, as of one moment. The first try then needs no read. */
  readonly known?: Known;
}

/** Plans before giving up: when three writers in a row were first, the caller should slow down and not we. */
export const COMMIT_TRIES = 3;

/**
 * Runs `plan` on what `reads` name and writes what it says, unless any key that was read has changed meanwhile; then it
 * plans again from the new state. A prefix guards the entries found under it (up to TXN_OPS_MAX comparisons in all), not
 * against new ones beside them: let writers that add under a prefix also write one key that all of them read.
 * An error thrown by the plan passes through, and nothing is written.
 * @throws STORE_CONTENDED after so many tries, and what `Store.txn` throws
 */
export async function commit<T>(
  store: Store,
  reads: readonly KeyOrPrefix[],
  plan: (known: Known) => Plan<T>,
  { tries = COMMIT_TRIES, known: handed }: CommitOptions = {},
): Promise<Committed<T>> {
  const gets = reads.map((read): Get => ({ type: "range", ...read }));
  let at: { known: Known; revision?: Revision } = handed
    ? { known: handed }
    : knownFrom(await store.txn({ then: gets }));
  for (let attempt = 0; attempt < tries; attempt++) {
    const { writes = [], result } = plan(at.known);
    // What the store itself returned is true as of its revision, and needs no second look.
    if (writes.length === 0 && at.revision !== undefined) return { result, revision: at.revision };
    const answer = await store.txn({ when: unchanged(reads, at.known), then: writes, otherwise: gets });
    if (answer.succeeded) return { result, revision: answer.revision };
    at = knownFrom(answer);
  }
  const names = reads.map((read) => ("key" in read ? read.key : `${read.prefix}…`)).join(", ");
  throw StoreErrors.CONTENDED(`Others changed ${names} during ${tries} tries. Try again a little later.`);
}

function knownFrom({ results, revision }: TxnResult): { known: Known; revision: Revision } {
  const known = new Map<string, Entry>();
  for (const result of results) {
    if (result.type === "range") for (const entry of result.entries) known.set(entry.key, entry);
  }
  return { known, revision };
}

function unchanged(reads: readonly KeyOrPrefix[], known: Known): Compare[] {
  const keys = new Set(known.keys());
  for (const read of reads) if ("key" in read) keys.add(read.key);
  return [...keys].map((key) => ({ key, target: "modRevision", is: "equal", value: known.get(key)?.modRevision ?? 0 }));
}
