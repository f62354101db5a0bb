/**
 * The default engine: revisions over LMDB in this process. A transaction is judged at once against what every key has
 * been (in memory, values aside), gets its revision, and waits for the disk with all others that came meanwhile: one
 * commit for many, one commit in flight. Reads, watches and answers see only what is on the disk.
 * When a write fails the engine ends: it never acknowledges, and never goes on from a state that the disk does not have.
 */
import type { Host } from "#base";
import { Lessor } from "../lessor.ts";
import { RecentRevisions } from "../recent.ts";
import { NO_VALUE, REVISION_FIRST, closed, compacted, futureRevision, holds } from "../rules.ts";
import type {
  Entry,
  Lease,
  LeaseId,
  Op,
  OpResult,
  RangeRequest,
  RangeResult,
  Revision,
  Store,
  StoreEvent,
  StoreStatus,
  TxnRequest,
  TxnResult,
  WatchBatch,
  WatchRequest,
} from "../types.ts";
import { validateCompact, validateRange, validateTtl, validateTxn, validateWatch } from "../validate.ts";
import { WatchHub, type History } from "../watch-hub.ts";
import { Disk, type Writes } from "./disk.ts";
import { KeyHistory } from "./history.ts";
import { META, encodeMeta, encodeRow, leaseKey, type Change, type Row } from "./layout.ts";

export interface EngineOptions {
  /** The data folder; made when it is not there, and readable by its owner only. */
  readonly folder: string;
  /** Called once when a write failed. The engine answers nothing any more; it must be disposed and opened again. */
  readonly onFatal?: (error: Error) => void;
  /** Revisions that wait for one slow watcher before it is dropped. */
  readonly watchQueueRevisionsMax?: number;
}

/** Bytes and transactions in one commit: enough to fill a disk's sync, little enough not to hold up the loop. */
const COMMIT_BYTES_MAX = 4 * 1024 * 1024;
const COMMIT_TXNS_MAX = 1024;

/** Changes that one commit forgets when nobody writes, and beside the writes of others. */
const FORGET_IDLE = 1000;
const FORGET_BUSY = 100;

/** Values read from the disk before other work gets its turn. */
const READ_CHUNK = 512;

/**
 * Opens a data folder for this process alone.
 * @throws STORE_LOCKED when another process has it, STORE_CORRUPT when it is not readable, STORE_FULL, STORE_UNAVAILABLE
 */
export async function openEngine(host: Host, options: EngineOptions): Promise<Store> {
  const disk = await Disk.open(options.folder);
  try {
    return new LmdbStore(host, disk, options);
  } catch (error) {
    await disk[Symbol.asyncDispose]();
    throw error;
  }
}

/** A change whose value is in memory until it is on the disk. */
interface Held extends Change {
  value: Buffer | undefined;
}

/** The changes of one revision while they are gathered. */
interface Draft {
  readonly changes: ({ readonly change: Held } & Pick<Row, "row" | "head">)[];
  readonly events: StoreEvent[];
}

/** What waits for the disk; without changes and meta, it waits for what came before it. */
interface Waiting extends Draft {
  readonly revision: Revision;
  readonly meta: Writes["meta"];
  readonly settled: PromiseWithResolvers<void>;
}

class LmdbStore implements Store {
  readonly #host: Host;
  readonly #disk: Disk;
  readonly #onFatal: (error: Error) => void;
  readonly #keys = new KeyHistory<Held>();
  readonly #hub: WatchHub;
  readonly #recent: RecentRevisions;
  readonly #lessor: Lessor;
  /** The last revision given out. */
  #head: Revision = REVISION_FIRST;
  /** The last revision on the disk. */
  #durable: Revision;
  #compacted: Revision;
  #queue: Waiting[] = [];
  #forgotten: Change[] = [];
  #flushing: Promise<void> | undefined;
  /** Reads that go over several turns, and whose records must stay meanwhile. */
  /** The listing that the latest range began or went on with, while there is more of it. */
  #listing: { readonly prefix: string; readonly revision: Revision; readonly found: readonly Held[] } | undefined;
  #longReads = 0;
  #failure: Error | undefined;
  #disposed = false;

  constructor(host: Host, disk: Disk, { onFatal, watchQueueRevisionsMax }: EngineOptions) {
    this.#host = host;
    this.#disk = disk;
    this.#onFatal = onFatal ?? (() => {});
    this.#lessor = new Lessor(host.clock, (id) => void this.#endLease(id).catch(() => {}));
    this.#compacted = disk.number(META.compacted) ?? 0;
    this.#load();
    this.#durable = this.#head;
    this.#recent = new RecentRevisions(this.#head);
    this.#hub = new WatchHub(host.clock, {
      revision: this.#head,
      history: (after, limit) => this.#history(after, limit),
      ...(watchQueueRevisionsMax === undefined ? {} : { queueRevisionsMax: watchQueueRevisionsMax }),
    });
    if (this.#compacted > 0) void this.#forget(this.#compacted);
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#assertOpen();
    validateRange(request);
    const { revision = this.#durable, limit = Infinity, keysOnly = false } = request;
    if (revision > this.#durable) throw futureRevision(revision, this.#durable);
    if (revision < this.#compacted) throw compacted(revision, this.#compacted);
    const { found, from } = this.#select(request, revision);
    const count = found.length - from;
    const answer = { revision: this.#durable, more: count > limit, count };
    const kept = found.slice(from, from + limit);
    this.#listing = answer.more && "prefix" in request ? { prefix: request.prefix, revision, found } : undefined;
    if (keysOnly || kept.length <= READ_CHUNK) return { ...answer, entries: this.#entries(kept, keysOnly) };
    const entries: Entry[] = [];
    this.#longReads++;
    try {
      for (let at = 0; at < kept.length; at += READ_CHUNK) {
        if (at > 0) await nextTurn();
        this.#assertOpen();
        entries.push(...this.#entries(kept.slice(at, at + READ_CHUNK), false));
      }
    } finally {
      this.#longReads--;
      this.#flush();
    }
    return { ...answer, entries };
  }

  /** What a range is about, and from where; the next page of a listing goes on in what its first page found. */
  #select(request: RangeRequest, revision: Revision): { found: readonly Held[]; from: number } {
    const { after } = request;
    const listing = this.#listing;
    if (
      after !== undefined &&
      "prefix" in request &&
      listing?.prefix === request.prefix &&
      listing.revision === revision
    ) {
      return { found: listing.found, from: firstAfter(listing.found, after) };
    }
    return { found: this.#keys.select(request, revision), from: 0 };
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    this.#assertOpen();
    validateTxn(request);
    const { when = [], then = [], otherwise = [] } = request;
    const succeeded = when.every((compare) => holds(compare, this.#keys.at(compare.key, this.#head)));
    const ops = succeeded ? then : otherwise;
    for (const op of ops) if (op.type === "put" && op.lease !== undefined) this.#lessor.expect(op.lease);
    const draft: Draft = { changes: [], events: [] };
    const results = ops.map((op) => this.#apply(op, draft));
    const durable = this.#commit(draft);
    const answer = { succeeded, revision: this.#head, results };
    await durable;
    return answer;
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    this.#assertOpen();
    validateWatch(request);
    return this.#hub.watch(request, request.after ?? this.#durable, request.signal);
  }

  async grant(ttlSeconds: number): Promise<Lease> {
    this.#assertOpen();
    validateTtl(ttlSeconds);
    const id = this.#lessor.add(this.#host.random, ttlSeconds);
    await this.#commit(NOTHING, [{ key: leaseKey(id), value: encodeMeta(leaseKey(id), ttlSeconds) }]);
    this.#lessor.start(id);
    return { id, ttlSeconds };
  }

  async keepAlive(lease: LeaseId): Promise<void> {
    this.#assertOpen();
    this.#lessor.renew(lease);
  }

  async revoke(lease: LeaseId): Promise<void> {
    this.#assertOpen();
    this.#lessor.expect(lease);
    await this.#endLease(lease);
  }

  async compact(through: Revision): Promise<void> {
    this.#assertOpen();
    validateCompact(through);
    if (through > this.#durable) throw futureRevision(through, this.#durable);
    if (through <= this.#compacted) throw compacted(through, this.#compacted);
    this.#compacted = through;
    this.#recent.forget(through);
    await this.#commit(NOTHING, [
      { key: META.compacted, value: encodeMeta(META.compacted, through) },
      { key: META.revision, value: encodeMeta(META.revision, this.#head) },
    ]);
    void this.#forget(through);
  }

  async status(): Promise<StoreStatus> {
    this.#assertOpen();
    return {
      engine: "lmdb",
      revision: this.#durable,
      compactedRevision: this.#compacted,
      sizeBytes: this.#disk.sizeBytes(),
    };
  }

  /** What was asked for before is still written. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#failure ??= closed();
    this.#lessor[Symbol.dispose]();
    this.#hub[Symbol.dispose]();
    while (this.#flushing) await this.#flushing;
    await this.#disk[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#failure) throw this.#failure;
  }

  #load(): void {
    for (const change of this.#disk.load()) {
      const held: Held = { ...change, value: undefined };
      this.#keys.record(held);
      if (held.modRevision > this.#head) this.#head = held.modRevision;
    }
    this.#head = Math.max(this.#head, this.#disk.number(META.revision) ?? 0);
    for (const { id, ttlSeconds } of this.#disk.leases()) {
      this.#lessor.restore(id, ttlSeconds);
    }
    for (const { lease, key } of this.#keys.current()) this.#lessor.attach(lease, key);
  }

  #apply(op: Op, draft: Draft): OpResult {
    if (op.type === "put") {
      this.#put(op.key, op.value, op.lease, draft);
      return { type: "put" };
    }
    if (op.type === "delete") {
      const found = this.#keys.select(op, this.#head + 1);
      for (const before of found) this.#delete(before, draft);
      return { type: "delete", deleted: found.length };
    }
    const revision = this.#head + (draft.changes.length > 0 ? 1 : 0);
    const { limit = Infinity, keysOnly = false } = op;
    const found = this.#keys.select(op, revision);
    const entries = this.#entries(found.slice(0, limit), keysOnly);
    return { type: "range", revision, entries, more: found.length > limit, count: found.length };
  }

  #put(key: string, bytes: Uint8Array, lease: LeaseId | undefined, draft: Draft): void {
    const revision = this.#head + 1;
    const before = this.#keys.at(key, revision);
    const change: Held = {
      key,
      modRevision: revision,
      sub: draft.changes.length,
      createRevision: before?.createRevision ?? revision,
      version: (before?.version ?? 0) + 1,
      lease,
      value: undefined,
    };
    const { row, head, value } = encodeRow(change, bytes);
    change.value = value;
    this.#lessor.detach(before?.lease, key);
    this.#lessor.attach(lease, key);
    this.#keys.record(change);
    draft.changes.push({ change, row, head });
    draft.events.push({ type: "put", entry: entryOf(change, value) });
  }

  #delete({ key, lease }: Held, draft: Draft): void {
    const revision = this.#head + 1;
    const sub = draft.changes.length;
    const change: Held = {
      key,
      modRevision: revision,
      sub,
      createRevision: 0,
      version: 0,
      lease: undefined,
      value: undefined,
    };
    this.#lessor.detach(lease, key);
    this.#keys.record(change);
    draft.changes.push({ change, ...encodeRow(change, NO_VALUE) });
    draft.events.push({ type: "delete", key, modRevision: revision });
  }

  /** Ends a lease at once; resolves when its end is on the disk. */
  #endLease(id: LeaseId): Promise<void> {
    const draft: Draft = { changes: [], events: [] };
    for (const key of this.#lessor.keysOf(id)) {
      const before = this.#keys.at(key, this.#head);
      if (before) this.#delete(before, draft);
    }
    this.#lessor.end(id);
    return this.#commit(draft, [{ key: leaseKey(id) }]);
  }

  /** Gives the draft its revision; resolves when it, and all before it, is on the disk. */
  #commit(draft: Draft, meta: Writes["meta"] = []): Promise<void> {
    if (draft.changes.length > 0) this.#head++;
    else if (meta.length === 0 && this.#head === this.#durable) return Promise.resolve();
    const settled = Promise.withResolvers<void>();
    this.#queue.push({ ...draft, revision: this.#head, meta, settled });
    this.#flush();
    return settled.promise;
  }

  /** Starts writing what waits, unless that is under way. */
  #flush(): void {
    this.#flushing ??= this.#flushAll().finally(() => {
      this.#flushing = undefined;
    });
  }

  async #flushAll(): Promise<void> {
    for (;;) {
      // One turn, so that what is asked for at once shares one commit, and timers get theirs under constant load.
      await nextTurn();
      if (this.#failure && !this.#disposed) return;
      const group = this.#takeGroup();
      const forgotten = this.#takeForgotten(group.length > 0);
      if (group.length === 0 && forgotten.length === 0) return;
      const changes = group.flatMap((waiting) => waiting.changes);
      const meta = group.flatMap((waiting) => waiting.meta);
      try {
        if (changes.length + meta.length + forgotten.length > 0) await this.#disk.write({ changes, meta, forgotten });
      } catch (error) {
        this.#fail(error as Error, group);
        return;
      }
      for (const waiting of group) this.#settle(waiting);
    }
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < COMMIT_TXNS_MAX && bytes < COMMIT_BYTES_MAX) {
      for (const { row } of (this.#queue[count] as Waiting).changes) bytes += row.byteLength;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #takeForgotten(busy: boolean): Change[] {
    if (this.#longReads > 0 || this.#disposed) return [];
    return this.#forgotten.splice(0, busy ? FORGET_BUSY : FORGET_IDLE);
  }

  #settle({ changes, events, revision, settled }: Waiting): void {
    for (const { change } of changes) change.value = undefined;
    if (events.length > 0) {
      this.#durable = revision;
      const batch = { revision, events };
      this.#recent.push(batch);
      if (!this.#disposed) this.#hub.publish(batch);
    }
    settled.resolve();
  }

  #fail(error: Error, group: readonly Waiting[]): void {
    this.#failure = error;
    for (const waiting of [...group, ...this.#queue]) waiting.settled.reject(error);
    this.#queue = [];
    this.#hub.fail(error);
    this.#lessor[Symbol.dispose]();
    this.#host.log.error({ err: error }, "a write to the store failed");
    this.#onFatal(error);
  }

  /** Drops what a compaction made needless, some keys per turn, and leaves its records to the commits to come. */
  async #forget(through: Revision): Promise<void> {
    for (const forgotten of this.#keys.compact(through)) {
      for (const change of forgotten) this.#forgotten.push(change);
      this.#flush();
      await nextTurn();
      if (this.#failure) return;
    }
  }

  #entries(changes: readonly Held[], keysOnly: boolean): Entry[] {
    return changes.map((change) => entryOf(change, keysOnly ? NO_VALUE : (change.value ?? this.#disk.valueOf(change))));
  }

  #history(after: Revision, limit: number): History {
    if (after < this.#compacted) throw compacted(after, this.#compacted);
    const recent = this.#recent.after(after, limit, this.#durable);
    if (recent) return recent;
    const batches: { revision: Revision; events: StoreEvent[] }[] = [];
    let through = this.#durable;
    this.#disk.scan(after + 1, (change, value) => {
      // Nothing beyond what was published, though the disk may have it already.
      if (change.modRevision > this.#durable) return false;
      let batch = batches.at(-1);
      if (batch?.revision !== change.modRevision) {
        if (batches.length === limit) {
          through = batches.at(-1)?.revision ?? after;
          return false;
        }
        batches.push((batch = { revision: change.modRevision, events: [] }));
      }
      batch.events.push(eventOf(change, value));
      return true;
    });
    return { batches, through };
  }
}

const NOTHING: Draft = { changes: [], events: [] };

function entryOf(change: Change, value: Uint8Array): Entry {
  const { key, createRevision, modRevision, version, lease } = change;
  return lease === undefined
    ? { key, value, createRevision, modRevision, version }
    : { key, value, createRevision, modRevision, version, lease };
}

function eventOf(change: Change, value: Uint8Array): StoreEvent {
  if (change.version === 0) return { type: "delete", key: change.key, modRevision: change.modRevision };
  return { type: "put", entry: entryOf(change, value) };
}

/** The index of the first change after a key, in changes that are in order of key. */
function firstAfter(changes: readonly Change[], key: string): number {
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((changes[middle] as Change).key <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
