/**
 * The reference model: the whole contract of `Store` over plain maps, in one process and without a disk. Tests compare the results of the
 * other engines with its results. It is also for trials and simulations.
 */
import type { Host } from "#base";
import { Lessor } from "../lessor.ts";
import { OrderedKeys } from "../ordered-keys.ts";
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
  StoreEvent,
  StoreStatus,
  TxnRequest,
  TxnResult,
  WatchBatch,
  WatchRequest,
} from "../types.ts";
import { validateCompact, validateRange, validateTtl, validateTxn, validateWatch } from "../validate.ts";
import { WatchHub } from "../watch-hub.ts";

export interface MemoryStoreOptions {
  /** Revisions that wait for one slow watcher before it is dropped. */
  readonly watchQueueRevisionsMax?: number | undefined;
}

/** A store that loses everything when it is disposed. */
export function openMemoryStore(host: Host, options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(host, options);
}

interface Version {
  readonly revision: Revision;
  /** Absent when this revision deleted the key. */
  readonly entry?: StoreEntry;
}

class MemoryStore implements Store {
  readonly #host: Host;
  readonly #keys = new OrderedKeys();
  readonly #versions = new Map<string, Version[]>();
  readonly #hub: WatchHub;
  readonly #lessor: Lessor;
  #log: WatchBatch[] = [];
  #revision: Revision = REVISION_FIRST;
  #compacted: Revision = 0;
  #closed = false;

  constructor(host: Host, { watchQueueRevisionsMax }: MemoryStoreOptions) {
    this.#host = host;
    this.#hub = new WatchHub(host.clock, {
      revision: this.#revision,
      history: (after, limit) => this.#history(after, limit),
      queueRevisionsMax: watchQueueRevisionsMax,
    });
    this.#lessor = new Lessor(host.clock, (id) => this.#endLease(id));
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#assertOpen();
    validateRange(request);
    const { revision = this.#revision } = request;
    expectReadable(revision, { current: this.#revision, compacted: this.#compacted });
    return this.#range(request, revision, this.#revision);
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    this.#assertOpen();
    validateTxn(request);
    const { when = [], then = [], otherwise = [] } = request;
    const succeeded = when.every((compare) => holds(compare, this.#at(compare.key, this.#revision)));
    const ops = succeeded ? then : otherwise;
    this.#lessor.expectAll(ops);
    const events: StoreEvent[] = [];
    const results = ops.map((op) => this.#apply(op, events));
    this.#commit(events);
    return { succeeded, revision: this.#revision, results };
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    this.#assertOpen();
    validateWatch(request);
    return this.#hub.watch(request, request.after ?? this.#revision, request.signal);
  }

  async grant(ttlSeconds: number): Promise<Lease> {
    this.#assertOpen();
    validateTtl(ttlSeconds);
    const id = this.#lessor.add(this.#host.random, ttlSeconds);
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
    this.#endLease(lease);
  }

  async compact(through: Revision): Promise<void> {
    this.#assertOpen();
    validateCompact(through);
    expectCompactable(through, { current: this.#revision, compacted: this.#compacted });
    this.#compacted = through;
    this.#log = this.#log.filter((batch) => batch.revision > through);
    for (const [key, versions] of this.#versions) {
      const current = versions.findLastIndex((version) => version.revision <= through);
      const kept = versions.filter((version, index) => index > current || (index === current && version.entry));
      if (kept.length > 0) {
        this.#versions.set(key, kept);
        continue;
      }
      this.#versions.delete(key);
      this.#keys.delete(key);
    }
  }

  async status(): Promise<StoreStatus> {
    this.#assertOpen();
    return { engine: "memory", revision: this.#revision, compactedRevision: this.#compacted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#hub[Symbol.dispose]();
    this.#lessor[Symbol.dispose]();
  }

  #assertOpen(): void {
    if (this.#closed) throw closed();
  }

  /** The entry of a key at a revision. */
  #at(key: string, revision: Revision): StoreEntry | undefined {
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision)?.entry;
  }

  #range(request: RangeRequest, at: Revision, revision: Revision): RangeResult {
    const keys = "key" in request ? [request.key] : this.#keys.withPrefix(request.prefix, request.after);
    const found = keys.map((key) => this.#at(key, at)).filter((entry) => entry !== undefined);
    const { limit = Infinity, keysOnly = false } = request;
    const kept = found.slice(0, limit);
    const entries = keysOnly ? kept.map((entry) => Object.assign({}, entry, { value: NO_VALUE })) : kept;
    return { revision, entries, more: found.length > entries.length, count: found.length };
  }

  #apply(op: Op, events: StoreEvent[]): OpResult {
    if (op.type === "put") {
      this.#put(op.key, op.value, op.lease, events);
      return { type: "put" };
    }
    if (op.type === "delete") {
      const keys = "key" in op ? [op.key] : this.#keys.withPrefix(op.prefix);
      return { type: "delete", deleted: keys.filter((key) => this.#delete(key, events)).length };
    }
    const at = this.#revision + (events.length > 0 ? 1 : 0);
    return { type: "range", ...this.#range(op, at, at) };
  }

  #put(key: string, value: Uint8Array, lease: LeaseId | undefined, events: StoreEvent[]): void {
    const modRevision = this.#revision + 1;
    const before = this.#at(key, modRevision);
    const entry: StoreEntry = {
      key,
      value: Uint8Array.from(value),
      createRevision: before?.createRevision ?? modRevision,
      modRevision,
      version: (before?.version ?? 0) + 1,
      ...(lease === undefined ? {} : { lease }),
    };
    this.#lessor.detach(before?.lease, key);
    this.#lessor.attach(lease, key);
    this.#record(key, { revision: modRevision, entry });
    events.push({ type: "put", entry });
  }

  #delete(key: string, events: StoreEvent[]): boolean {
    const modRevision = this.#revision + 1;
    const before = this.#at(key, modRevision);
    if (!before) return false;
    this.#lessor.detach(before.lease, key);
    this.#record(key, { revision: modRevision });
    events.push({ type: "delete", key, modRevision });
    return true;
  }

  #record(key: string, version: Version): void {
    const versions = this.#versions.get(key);
    if (versions) versions.push(version);
    else this.#versions.set(key, [version]);
    this.#keys.add(key);
  }

  #endLease(id: LeaseId): void {
    const events: StoreEvent[] = [];
    for (const key of this.#lessor.keysOf(id)) this.#delete(key, events);
    this.#lessor.end(id);
    this.#commit(events);
  }

  #commit(events: readonly StoreEvent[]): void {
    if (events.length === 0) return;
    const batch = { revision: ++this.#revision, events };
    this.#log.push(batch);
    this.#hub.publish(batch);
  }

  #history(after: Revision, limit: number): { batches: readonly WatchBatch[]; through: Revision } {
    if (after < this.#compacted) throw compacted(after, this.#compacted);
    // Every revision after the compacted one has its batch, so the index of a batch is a difference of revisions.
    const start = Math.max(0, after - (this.#revision - this.#log.length));
    const batches = this.#log.slice(start, start + limit);
    return { batches, through: batches.at(-1)?.revision ?? this.#revision };
  }
}
