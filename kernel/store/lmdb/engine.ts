/**
 * The default engine: revisions over LMDB in this process. A transaction is evaluated at once against the history of every key
 * (in memory, without values), gets its revision, and waits for the disk. Reads, watches and results see only what is on the
 * disk. When a write fails, the engine ends: it never acknowledges a state that the disk does not have, nor builds on one.
 */
import { firstIndexWhere, invariant, type Host } from "#base";
import { Lessor } from "../lessor.ts";
import { RecentRevisions } from "../recent.ts";
import { NO_VALUE, REVISION_FIRST, closed, compacted, expectCompactable, expectReadable, holds } from "../rules.ts";
import type {
  StoreEntry,
  Lease,
  LeaseId,
  Op,
  OpResult,
  RangeRequest,
  RangeResult,
  Revision,
  Store,
  StoreStatus,
  TxnRequest,
  TxnResult,
  WatchBatch,
  WatchRequest,
} from "../types.ts";
import { validateCompact, validateRange, validateTtl, validateTxn, validateWatch } from "../validate.ts";
import { WatchHub, type History } from "../watch-hub.ts";
import { CommitQueue, nextTurn, type PendingChange, type RevisionDraft } from "./commit-queue.ts";
import { Disk, type Writes } from "./disk.ts";
import { KeyHistory } from "./history.ts";
import { META, encodeMeta, encodeRow, leaseKey } from "./layout.ts";
import { entryOf, readHistory } from "./past.ts";

export interface EngineOptions {
  /** The data folder. Created when it does not exist; only its owner can read it. */
  readonly folder: string;
  /** Called once when a write failed. Every later call is rejected; dispose the engine and open it again. */
  readonly onFatal?: (error: Error) => void;
  /** Revisions that wait for one slow watcher before it is dropped. */
  readonly watchQueueRevisionsMax?: number | undefined;
}

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

class LmdbStore implements Store {
  readonly #host: Host;
  readonly #disk: Disk;
  readonly #onFatal: (error: Error) => void;
  readonly #keys = new KeyHistory<PendingChange>();
  readonly #hub: WatchHub;
  readonly #recent: RecentRevisions;
  readonly #lessor: Lessor;
  readonly #commits: CommitQueue;
  /** The last revision given out. */
  #head: Revision = REVISION_FIRST;
  /** The last revision on the disk. */
  #durable: Revision;
  #compacted: Revision;
  /** The rest of the latest listing, while it has further pages. */
  #listing:
    | { readonly prefix: string; readonly revision: Revision; readonly found: readonly PendingChange[] }
    | undefined;
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
    this.#commits = new CommitQueue(disk, {
      onDurable: (draft, revision) => this.#publish(draft, revision),
      onFailure: (error) => this.#fail(error),
    });
    this.#hub = new WatchHub(host.clock, {
      revision: this.#head,
      history: (after, limit) => this.#history(after, limit),
      queueRevisionsMax: watchQueueRevisionsMax,
    });
    if (this.#compacted > 0) void this.#forget(this.#compacted);
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#assertOpen();
    validateRange(request);
    const { revision = this.#durable, limit = Infinity, keysOnly = false } = request;
    expectReadable(revision, { current: this.#durable, compacted: this.#compacted });
    const { found, from } = this.#select(request, revision);
    const count = found.length - from;
    const answer = { revision: this.#durable, more: count > limit, count };
    const kept = found.slice(from, from + limit);
    this.#listing = answer.more && "prefix" in request ? { prefix: request.prefix, revision, found } : undefined;
    if (keysOnly || kept.length <= READ_CHUNK) return { ...answer, entries: this.#entries(kept, keysOnly) };
    const entries: StoreEntry[] = [];
    using _ = this.#commits.longRead();
    for (let at = 0; at < kept.length; at += READ_CHUNK) {
      if (at > 0) await nextTurn();
      this.#assertOpen();
      entries.push(...this.#entries(kept.slice(at, at + READ_CHUNK), false));
    }
    return { ...answer, entries };
  }

  /** The changes that a range selects, and where it begins among them. Later pages reuse what the first page found. */
  #select(request: RangeRequest, revision: Revision): { found: readonly PendingChange[]; from: number } {
    const { after } = request;
    const listing = this.#listing;
    if (
      after !== undefined &&
      "prefix" in request &&
      listing?.prefix === request.prefix &&
      listing.revision === revision
    ) {
      const { found } = listing;
      return { found, from: firstIndexWhere(found.length, (index) => (found[index] as PendingChange).key > after) };
    }
    return { found: this.#keys.select(request, revision), from: 0 };
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    this.#assertOpen();
    validateTxn(request);
    const { when = [], then = [], otherwise = [] } = request;
    const succeeded = when.every((compare) => holds(compare, this.#keys.at(compare.key, this.#head)));
    const ops = succeeded ? then : otherwise;
    this.#lessor.expectAll(ops);
    const draft: RevisionDraft = { changes: [], events: [] };
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
    expectCompactable(through, { current: this.#durable, compacted: this.#compacted });
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

  /** Pending writes are still written. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#failure ??= closed();
    this.#lessor[Symbol.dispose]();
    this.#hub[Symbol.dispose]();
    await this.#commits.close();
    await this.#disk[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#failure) throw this.#failure;
  }

  #load(): void {
    for (const change of this.#disk.load()) {
      const held: PendingChange = { ...change, value: undefined };
      this.#keys.record(held);
      if (held.modRevision > this.#head) this.#head = held.modRevision;
    }
    this.#head = Math.max(this.#head, this.#disk.number(META.revision) ?? 0);
    for (const { id, ttlSeconds } of this.#disk.leases()) {
      this.#lessor.restore(id, ttlSeconds);
    }
    for (const { lease, key } of this.#keys.current()) this.#lessor.attach(lease, key);
  }

  #apply(op: Op, draft: RevisionDraft): OpResult {
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

  #put(key: string, bytes: Uint8Array, lease: LeaseId | undefined, draft: RevisionDraft): void {
    const revision = this.#head + 1;
    const before = this.#keys.at(key, revision);
    const change: PendingChange = {
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

  #delete({ key, lease }: PendingChange, draft: RevisionDraft): void {
    const revision = this.#head + 1;
    const sub = draft.changes.length;
    const change: PendingChange = {
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

  /** Ends a lease immediately. Resolves when its end is on the disk. */
  #endLease(id: LeaseId): Promise<void> {
    const draft: RevisionDraft = { changes: [], events: [] };
    for (const key of this.#lessor.keysOf(id)) {
      const before = this.#keys.at(key, this.#head);
      if (before) this.#delete(before, draft);
    }
    this.#lessor.end(id);
    return this.#commit(draft, [{ key: leaseKey(id) }]);
  }

  /** Gives the draft its revision. Resolves when it, and every draft before it, is on the disk. */
  #commit(draft: RevisionDraft, meta: Writes["meta"] = []): Promise<void> {
    if (draft.changes.length > 0) this.#head++;
    else if (meta.length === 0 && this.#head === this.#durable) return Promise.resolve();
    return this.#commits.push(draft, this.#head, meta);
  }

  /** The draft is on the disk. */
  #publish({ changes, events }: RevisionDraft, revision: Revision): void {
    for (const { change } of changes) change.value = undefined;
    if (events.length === 0) return;
    invariant(revision > this.#durable, "revisions reach the disk in order");
    this.#durable = revision;
    const batch = { revision, events };
    this.#recent.push(batch);
    if (!this.#disposed) this.#hub.publish(batch);
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#hub.fail(error);
    this.#lessor[Symbol.dispose]();
    this.#host.log.error({ err: error }, `a write to the store failed: ${error.message}`);
    this.#onFatal(error);
  }

  /** Drops what a compaction made unnecessary, some keys per turn. The next commits remove the records. */
  async #forget(through: Revision): Promise<void> {
    for (const forgotten of this.#keys.compact(through)) {
      this.#commits.forget(forgotten);
      await nextTurn();
      if (this.#failure) return;
    }
  }

  #entries(changes: readonly PendingChange[], keysOnly: boolean): StoreEntry[] {
    return changes.map((change) => entryOf(change, keysOnly ? NO_VALUE : (change.value ?? this.#disk.valueOf(change))));
  }

  #history(after: Revision, limit: number): History {
    if (after < this.#compacted) throw compacted(after, this.#compacted);
    const recent = this.#recent.after(after, limit, this.#durable);
    if (recent) return recent;
    return readHistory(this.#disk, after, { limit, last: this.#durable });
  }
}

const NOTHING: RevisionDraft = { changes: [], events: [] };
