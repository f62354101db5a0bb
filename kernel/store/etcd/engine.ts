/**
 * State in an etcd cluster: ranges, transactions and leases over etcd3's calls, watches over a separate stream. One stream carries the
 * whole namespace for all watchers, so ten thousand of them cost etcd one.
 */
import type { Host } from "#base";
import type { Etcd3, IDuplexStream } from "etcd3";
import { closed, compacted, futureRevision, leaseNotFound } from "../rules.ts";
import {
  StoreErrors,
  type Lease,
  type LeaseId,
  type RangeRequest,
  type RangeResult,
  type Revision,
  type Store,
  type StoreStatus,
  type TxnRequest,
  type TxnResult,
  type WatchBatch,
  type WatchRequest,
} from "../types.ts";
import { validateCompact, validateRange, validateTtl, validateTxn, validateWatch } from "../validate.ts";
import { Leases } from "./leases.ts";
import { CALL_DEADLINE_MS, Members, isCompacted, isFuture, isLeaseNotFound, streamCut } from "./members.ts";
import type { MembersOptions } from "./members.ts";
import { Feed } from "./watch.ts";
import { Wire, leaseIdOf, whole } from "./wire.ts";

export interface EtcdStoreOptions extends MembersOptions {
  /** Prefix of every key in etcd, so that other programs may share the cluster. Printable ASCII. */
  readonly namespace?: string;
  /** Revisions that wait for one slow watcher before it is dropped. */
  readonly watchQueueRevisionsMax?: number;
}

/** @throws STORE_UNAVAILABLE when no member answers, or all reject the credentials */
export async function openEtcdStore(host: Host, options: EtcdStoreOptions): Promise<Store> {
  const store = new EtcdStore(host, options);
  try {
    await store.status();
    return store;
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

class EtcdStore implements Store {
  readonly #host: Host;
  readonly #options: EtcdStoreOptions;
  readonly #members: Members;
  readonly #wire: Wire;
  readonly #leases: Leases;
  /** Feeds with the number of watches on each. A watch joins the first feed that covers it. */
  readonly #feeds = new Map<Feed, number>();
  /** Reads of the current revision for new watches. Later writes wait for them. */
  readonly #starting = new Set<Promise<unknown>>();
  #closed = false;

  constructor(host: Host, options: EtcdStoreOptions) {
    this.#host = host;
    this.#options = options;
    this.#members = new Members(host, options);
    this.#wire = new Wire(options.namespace ?? "");
    this.#leases = new Leases(host, this.#members, options.namespace ?? "");
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#assertOpen();
    validateRange(request);
    try {
      const message = this.#wire.rangeRequest(request);
      return this.#wire.rangeResult(await this.#members.read((client) => client.kv.range(message)));
    } catch (error) {
      throw await this.#refusal(error, request.revision ?? 0);
    }
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    this.#assertOpen();
    validateTxn(request);
    const { when = [], then = [], otherwise = [] } = request;
    const message = {
      compare: when.map((compare) => this.#wire.compare(compare)),
      success: then.map((op) => this.#wire.op(op)),
      failure: otherwise.map((op) => this.#wire.op(op)),
    };
    await Promise.allSettled(this.#starting);
    const writes = [...then, ...otherwise].some((op) => op.type !== "range");
    try {
      const call = (client: Etcd3) => client.kv.txn(message);
      const answer = await (writes ? this.#members.write(call) : this.#members.read(call));
      const revision = whole(answer.header.revision);
      const ops = answer.succeeded ? then : otherwise;
      const results = ops.map((op, index) => {
        const response = answer.responses[index];
        if (!response)
          throw StoreErrors.UNAVAILABLE(`etcd answered ${answer.responses.length} of ${ops.length} operations.`);
        return this.#wire.opResult(op, response);
      });
      return { succeeded: answer.succeeded, revision, results };
    } catch (error) {
      if (!isLeaseNotFound(error)) throw error;
      const leases = [...then, ...otherwise].flatMap((op) => (op.type === "put" && op.lease ? [op.lease] : []));
      throw leaseNotFound([...new Set(leases)].join('" or "'));
    }
  }

  watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    this.#assertOpen();
    validateWatch(request);
    return this.#watch(request, request.after === undefined ? this.#now() : Promise.resolve(request.after));
  }

  async grant(ttlSeconds: number): Promise<Lease> {
    this.#assertOpen();
    validateTtl(ttlSeconds);
    return this.#leases.grant(ttlSeconds);
  }

  async keepAlive(lease: LeaseId): Promise<void> {
    this.#assertOpen();
    // Renewing is idempotent, so another member may be tried.
    const answer = await this.#members.read(async (client) =>
      this.#once(await client.leaseClient.leaseKeepAlive(), { ID: leaseIdOf(lease) }),
    );
    if (whole(answer.TTL) <= 0) {
      this.#leases.ended(lease);
      throw leaseNotFound(lease);
    }
    this.#leases.renewed(lease);
  }

  async revoke(lease: LeaseId): Promise<void> {
    this.#assertOpen();
    try {
      await this.#members.write((client) => client.leaseClient.leaseRevoke({ ID: leaseIdOf(lease) }));
      this.#leases.ended(lease);
    } catch (error) {
      throw isLeaseNotFound(error) ? leaseNotFound(lease) : error;
    }
  }

  async compact(through: Revision): Promise<void> {
    this.#assertOpen();
    validateCompact(through);
    try {
      await this.#members.write((client) => client.kv.compact({ revision: through }));
      for (const feed of this.#feeds.keys()) feed.forget(through);
    } catch (error) {
      throw await this.#refusal(error, through);
    }
  }

  async status(): Promise<StoreStatus> {
    this.#assertOpen();
    const revision = await this.#revision();
    const { dbSize } = await this.#members.read((client) => client.maintenance.status());
    return {
      engine: "etcd",
      revision,
      compactedRevision: await this.#compactedRevision(),
      sizeBytes: whole(dbSize),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const feed of this.#feeds.keys()) feed[Symbol.dispose]();
    this.#leases[Symbol.dispose]();
    this.#members[Symbol.dispose]();
  }

  #assertOpen(): void {
    if (this.#closed) throw closed();
  }

  async *#watch({ signal, ...selector }: WatchRequest, start: Promise<Revision>): AsyncGenerator<WatchBatch, void> {
    const after = await untilAborted(signal, start);
    if (after === undefined) return;
    this.#assertOpen();
    const feed = this.#feedFor(after);
    this.#feeds.set(feed, (this.#feeds.get(feed) ?? 0) + 1);
    try {
      const batches = feed.hub.watch(selector, after, signal);
      await untilAborted(signal, feed.established);
      yield* batches;
    } finally {
      const others = (this.#feeds.get(feed) ?? 1) - 1;
      if (others > 0) {
        this.#feeds.set(feed, others);
      } else {
        this.#feeds.delete(feed);
        feed[Symbol.dispose]();
      }
    }
  }

  /** The feed that has everything after a revision; a new one when no feed goes back that far. */
  #feedFor(after: Revision): Feed {
    for (const feed of this.#feeds.keys()) if (feed.covers(after)) return feed;
    return new Feed(this.#host, {
      members: this.#members,
      wire: this.#wire,
      after,
      queueRevisionsMax: this.#options.watchQueueRevisionsMax,
    });
  }

  /** The revision at the call. Later writes of this process wait until it is known. */
  #now(): Promise<Revision> {
    const now = this.#revision();
    this.#starting.add(now);
    const forget = (): void => void this.#starting.delete(now);
    now.then(forget, forget);
    return now;
  }

  async #revision(): Promise<Revision> {
    const message = this.#wire.rangeRequest({ prefix: "", limit: 0 });
    return whole((await this.#members.read((client) => client.kv.range(message))).header.revision);
  }

  /** etcd reveals its compacted revision to watches only. 0 when it was never compacted. */
  async #compactedRevision(): Promise<Revision> {
    const message = this.#wire.rangeRequest({ key: "-", limit: 0, revision: 1 });
    try {
      await this.#members.read((client) => client.kv.range(message));
      return 0;
    } catch (error) {
      if (!isCompacted(error)) throw error;
    }
    return this.#members.read(async (client) => {
      const stream = await client.watchClient.watch();
      const create = { create_request: { ...this.#wire.range({ key: "-" }), start_revision: 1 } };
      const answer = await this.#once(stream, create, (response) => response.compact_revision !== "0");
      return whole(answer.compact_revision);
    });
  }

  /** Converts etcd's errors about a revision. */
  async #refusal(error: unknown, revision: Revision): Promise<unknown> {
    if (isCompacted(error)) return compacted(revision, await this.#compactedRevision());
    if (isFuture(error)) return futureRevision(revision, await this.#revision());
    return error;
  }

  /** Sends one request over a stream, and returns the first answer that counts. */
  async #once<Request, Answer>(
    stream: IDuplexStream<Request, Answer>,
    request: Request,
    counts: (answer: Answer) => boolean = () => true,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const cancelTimer = this.#host.clock.after(this.#options.deadlineMs ?? CALL_DEADLINE_MS, () =>
      reject(streamCut("no answer within the deadline")),
    );
    let answered = false;
    try {
      stream.on("error", reject);
      stream.on("end", () => reject(streamCut("the server ended the stream")));
      stream.on("data", (answer: Answer) => {
        if (counts(answer)) resolve(answer);
      });
      stream.write(request);
      const answer = await promise;
      answered = true;
      return answer;
    } finally {
      cancelTimer();
      // A cancel would count as the member's failure.
      if (answered) stream.end();
      else stream.cancel();
    }
  }
}

/** The result of a promise; undefined when the signal aborts first. */
async function untilAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  const aborted = Promise.withResolvers<undefined>();
  const abort = (): void => aborted.resolve(undefined);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
