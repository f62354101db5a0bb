/**
 * The only interface to state, with etcd's semantics: a key space with one revision clock, transactions, watches and leases. Three
 * engines implement it: memory (the model), LMDB (this process) and etcd (a cluster). Eight methods, because these semantics are known,
 * small and proven.
 */
import { defineErrors } from "#base";

/** Counts committed changes of the whole store, from 1. A double holds a million a second for 285 years. */
export type Revision = number;

/** Names a lease. Opaque: engines choose its form. */
export type LeaseId = string;

/** Longest key in bytes. LMDB with 8 KB pages takes 1978, less what the engine adds. */
export const KEY_BYTES_MAX = 1024;

/** Largest value in bytes. etcd refuses requests above 1.5 MiB (embed.DefaultMaxRequestBytes). */
export const VALUE_BYTES_MAX = 1024 * 1024;

/** Operations in one transaction, comparisons apart. etcd refuses more by default (embed.DefaultMaxTxnOps). */
export const TXN_OPS_MAX = 128;

/** Bytes of all values put by one transaction: what etcd takes in one request, less its framing. */
export const TXN_BYTES_MAX = 1400 * 1024;

/** Shortest and longest life of a lease, in whole seconds. etcd refuses more than nine billion; a year is enough. */
export const LEASE_TTL_SECONDS_MIN = 1;
export const LEASE_TTL_SECONDS_MAX = 31_536_000;

export interface StoreEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision at which this key was created. A key that is put after a delete counts as a new key. */
  readonly createRevision: Revision;
  /** Revision of the last change. */
  readonly modRevision: Revision;
  /** Puts since creation, from 1. */
  readonly version: number;
  /** The lease that the key is attached to, if any. */
  readonly lease?: LeaseId;
}

/** One key, or all that begin with a prefix ("" is everything). */
export type KeyOrPrefix = { readonly key: string } | { readonly prefix: string };

export type RangeRequest = KeyOrPrefix & {
  /** With a prefix: only keys after this one, for paging. */
  readonly after?: string;
  /** Maximum number of entries; `more` is then true if there are others. */
  readonly limit?: number;
  /** Read the past. @throws STORE_COMPACTED, STORE_FUTURE_REVISION */
  readonly revision?: Revision;
  /** Leave the values empty. */
  readonly keysOnly?: boolean;
};

export interface RangeResult {
  /** The store's revision at the time of the read (not the requested one). */
  readonly revision: Revision;
  /** In order of key. */
  readonly entries: readonly StoreEntry[];
  readonly more: boolean;
  /** How many keys match without the limit (and after `after`). */
  readonly count: number;
}

/** Holds when the key's number relates to `value` as `is` says. An absent key has 0 for all three. */
export interface Compare {
  readonly key: string;
  readonly target: "modRevision" | "createRevision" | "version";
  readonly is: "equal" | "notEqual" | "less" | "greater";
  readonly value: number;
}

export type Put = { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: LeaseId };
export type Delete = { readonly type: "delete" } & KeyOrPrefix;
export type Get = { readonly type: "range" } & Omit<RangeRequest, "revision"> & KeyOrPrefix;
export type Op = Put | Delete | Get;

/**
 * When all comparisons hold, `then` is executed, else `otherwise`; all of it at one revision or not at all.
 * A key may be put at most once in a transaction, and not be both put and deleted, as in etcd.
 */
export interface TxnRequest {
  readonly when?: readonly Compare[];
  readonly then?: readonly Op[];
  readonly otherwise?: readonly Op[];
}

export type OpResult =
  | { readonly type: "put" }
  | { readonly type: "delete"; readonly deleted: number }
  | ({ readonly type: "range" } & RangeResult);

export interface TxnResult {
  readonly succeeded: boolean;
  /** The revision of the writes; the store's current one when nothing was written. */
  readonly revision: Revision;
  /** One per operation of the branch taken, in its order. A range sees the store as the operations before it left it. */
  readonly results: readonly OpResult[];
}

export type StoreEvent =
  | { readonly type: "put"; readonly entry: StoreEntry }
  /** A delete by hand, by prefix or by the lapse of a lease. */
  | { readonly type: "delete"; readonly key: string; readonly modRevision: Revision };

export function keyOfEvent(event: StoreEvent): string {
  return event.type === "put" ? event.entry.key : event.key;
}

/** One whole revision, never split, events in order of the operations. No events: a bookmark, everything up to here was delivered. */
export interface WatchBatch {
  readonly revision: Revision;
  readonly events: readonly StoreEvent[];
}

export type WatchRequest = KeyOrPrefix & {
  /** Everything after this revision. Absent: everything after the revision current at the call. */
  readonly after?: Revision;
  /** Ends the watch: the iteration then returns. */
  readonly signal: AbortSignal;
};

export interface Lease {
  readonly id: LeaseId;
  /** The granted time: the requested one or longer. The lease may lapse late, never early. */
  readonly ttlSeconds: number;
}

export interface StoreStatus {
  readonly engine: "memory" | "lmdb" | "etcd";
  readonly revision: Revision;
  readonly compactedRevision: Revision;
  /** Bytes on disk, when the engine knows. */
  readonly sizeBytes?: number;
}

/**
 * State with one order. A write is durable when its promise resolves. When it rejects with STORE_UNAVAILABLE, the write may or may not
 * have happened, so writers compare on a revision.
 */
export interface Store extends AsyncDisposable {
  /** @throws STORE_INVALID, STORE_COMPACTED, STORE_FUTURE_REVISION, STORE_UNAVAILABLE */
  range(request: RangeRequest): Promise<RangeResult>;
  /** @throws STORE_INVALID before anything is written, STORE_LEASE_NOT_FOUND, STORE_FULL, STORE_UNAVAILABLE */
  txn(request: TxnRequest): Promise<TxnResult>;
  /**
   * Batches in order: each revision once, whole, none missing. Bookmarks come at the start (so that the caller knows that the watch is
   * established) and regularly while there is nothing else.
   * @throws STORE_COMPACTED (`extra.compactedRevision`) when `after` is below what is kept,
   *   STORE_WATCH_LAGGED (`extra.revision`, the last one delivered) when the reader is too slow; writers never wait
   */
  watch(request: WatchRequest): AsyncIterable<WatchBatch>;
  /** A lease of at least `ttlSeconds` (whole seconds). When it lapses, its keys are deleted in one revision. */
  grant(ttlSeconds: number): Promise<Lease>;
  /**
   * Renews a lease for its full time. Consumes no revision, so heartbeats do not wake watchers.
   * @throws STORE_LEASE_NOT_FOUND when it has lapsed; the owner must grant a new one and register again.
   */
  keepAlive(lease: LeaseId): Promise<void>;
  /** Ends a lease now, and deletes its keys in one revision. @throws STORE_LEASE_NOT_FOUND */
  revoke(lease: LeaseId): Promise<void>;
  /** Forgets the past up to and including this revision, except for current entries. @throws STORE_COMPACTED, STORE_FUTURE_REVISION */
  compact(through: Revision): Promise<void>;
  status(): Promise<StoreStatus>;
}

export const StoreErrors = defineErrors("STORE", {
  INVALID: { status: 400, title: "Invalid store request" },
  COMPACTED: { status: 410, title: "Revision compacted" },
  FUTURE_REVISION: { status: 400, title: "Revision not reached yet" },
  WATCH_LAGGED: { status: 410, title: "Watcher too slow" },
  LEASE_NOT_FOUND: { status: 404, title: "Lease not found" },
  CONTENDED: { status: 409, title: "Too many writers at once" },
  FULL: { status: 507, title: "No space left for the store" },
  UNAVAILABLE: { status: 503, title: "Store unavailable" },
  LOCKED: { status: 500, title: "Data folder in use" },
  CORRUPT: { status: 500, title: "Data folder unreadable" },
});
