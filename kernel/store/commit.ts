/**
 * A command as a transaction: read, plan, try. When another writer was first, plan again from the state that the store returned. The plan
 * is a pure function, so it may run more than once.
 */
import {
  StoreErrors,
  type Compare,
  type Delete,
  type StoreEntry,
  type Get,
  type KeyOrPrefix,
  type Put,
} from "./types.ts";
import type { Revision, Store, TxnResult } from "./types.ts";

/** The entries that were read, by key. Missing keys are absent. */
export type KnownEntries = ReadonlyMap<string, StoreEntry>;

export interface CommitPlan<T> {
  /** Absent or empty: nothing is written, and the result depends on the reads only. */
  readonly writes?: readonly (Put | Delete)[];
  readonly result: T;
}

export interface Committed<T> {
  readonly result: T;
  /** The revision of the writes. Without writes, the revision of the reads. */
  readonly revision: Revision;
}

export interface CommitOptions {
  /** Plans before giving up. */
  readonly tries?: number;
  /** The entries of `reads` in a view: all of them, at one revision. The first try then needs no read. */
  readonly known?: KnownEntries;
}

/** Plans before giving up. When three writers in a row were first, the caller should slow down. */
export const COMMIT_TRIES = 3;

/**
 * Runs `plan` on the entries of `reads` and writes its result, unless a key that was read has changed meanwhile; then it plans again from
 * the new state. A prefix guards the entries found under it (up to TXN_OPS_MAX comparisons in all), but not against new ones: writers
 * that add under a prefix should also write one key that all of them read. An error of the plan passes through, and nothing is written.
 * @throws STORE_CONTENDED after so many tries, and what `Store.txn` throws
 */
export async function commit<T>(
  store: Store,
  reads: readonly KeyOrPrefix[],
  plan: (known: KnownEntries) => CommitPlan<T>,
  { tries = COMMIT_TRIES, known: handed }: CommitOptions = {},
): Promise<Committed<T>> {
  const gets = reads.map((read): Get => ({ type: "range", ...read }));
  let at: { known: KnownEntries; revision?: Revision } = handed
    ? { known: handed }
    : knownFrom(await store.txn({ then: gets }));
  for (let attempt = 0; attempt < tries; attempt++) {
    const { writes = [], result } = plan(at.known);
    // Entries that the store returned are current as of its revision, so they need no comparison.
    if (writes.length === 0 && at.revision !== undefined) return { result, revision: at.revision };
    const answer = await store.txn({ when: unchanged(reads, at.known), then: writes, otherwise: gets });
    if (answer.succeeded) return { result, revision: answer.revision };
    at = knownFrom(answer);
  }
  const names = reads.map((read) => ("key" in read ? read.key : `${read.prefix}…`)).join(", ");
  throw StoreErrors.CONTENDED(`Other writers changed ${names} during all ${tries} tries. Try again shortly.`);
}

function knownFrom({ results, revision }: TxnResult): { known: KnownEntries; revision: Revision } {
  const known = new Map<string, StoreEntry>();
  for (const result of results) {
    if (result.type === "range") for (const entry of result.entries) known.set(entry.key, entry);
  }
  return { known, revision };
}

function unchanged(reads: readonly KeyOrPrefix[], known: KnownEntries): Compare[] {
  const keys = new Set(known.keys());
  for (const read of reads) if ("key" in read) keys.add(read.key);
  return [...keys].map((key) => ({ key, target: "modRevision", is: "equal", value: known.get(key)?.modRevision ?? 0 }));
}
