/**
 * The stream of revisions of the whole namespace, over etcd's raw watch stream, while there is at least one watch. It has its own cursor:
 * etcd stamps a catch-up batch with the *current* revision although it contains only older events, so a stream that resumed at its header
 * + 1 (as etcd3's own watcher does) lost 19,000 of 20,000 revisions when it was cut.
 */
import type { Readable } from "node:stream";
import type { Etcd3, IDuplexStream, IWatchRequest, IWatchResponse } from "etcd3";
import { fullJitter, messageOf, type CancelTimer, type Host } from "#base";
import { RecentRevisions } from "../recent.ts";
import { compacted } from "../rules.ts";
import { StoreErrors, type Revision, type StoreEvent } from "../types.ts";
import { WatchHub, type History } from "../watch-hub.ts";
import { REQUIRE_LEADER, streamCut, type Members } from "./members.ts";
import { whole, type Wire } from "./wire.ts";

/**
 * Milliseconds of silence before a stream is asked for its progress, and then before it counts as cut. Their sum is less than
 * VIEW_AGE_MS_MAX, so that one dead member of etcd does not make a view old.
 */
const SILENCE_MS = 1000;
const ANSWER_MS = 1000;

/** Revisions of a catch-up that are published in one turn, so that a quick reader keeps its queue short. */
const PUBLISH_REVISIONS = 256;

/** Milliseconds until the next attempt after a cut. */
const RECONNECT = { baseMs: 50, capMs: 2000 };

/**
 * From these versions on, etcd answers a progress request only when every watcher of the stream is up to date, so that the answer is a
 * bookmark. Earlier versions may answer before the events. @see etcd CHANGELOG 3.4.25, 3.5.8 (#15220)
 */
const PROGRESS_IN_ORDER = { "3.4": 25, "3.5": 8 } as const;

export interface FeedOptions {
  readonly members: Members;
  readonly wire: Wire;
  /** Everything after this revision is fed. */
  readonly after: Revision;
  readonly queueRevisionsMax?: number | undefined;
}

type Stream = IDuplexStream<IWatchRequest, IWatchResponse> & Pick<Readable, "pause" | "resume">;

type Batch = { readonly revision: Revision; readonly events: StoreEvent[] };

export class Feed implements Disposable {
  readonly hub: WatchHub;
  readonly #host: Host;
  readonly #options: FeedOptions;
  readonly #recent: RecentRevisions;
  readonly #stop = new AbortController();
  readonly #established = Promise.withResolvers<void>();
  /** Everything up to here was published. */
  #cursor: Revision;
  #compacted: Revision = 0;
  #ended = false;

  constructor(host: Host, options: FeedOptions) {
    const { after, queueRevisionsMax } = options;
    this.#host = host;
    this.#options = options;
    this.#cursor = after;
    this.#recent = new RecentRevisions(after);
    this.hub = new WatchHub(host.clock, {
      revision: after,
      history: (from, limit) => this.#history(from, limit),
      confirmed: true,
      queueRevisionsMax,
    });
    this.#established.promise.catch(() => {});
    void this.#run();
  }

  /** Resolves when etcd has confirmed the watch. @throws STORE_UNAVAILABLE when etcd is unreachable at the start */
  get established(): Promise<void> {
    return this.#established.promise;
  }

  /** Whether a watch after this revision can be served from here. */
  covers(after: Revision): boolean {
    return !this.#ended && after >= this.#recent.base;
  }

  /** The store was compacted, so revisions that etcd has forgotten are not served from memory either. */
  forget(through: Revision): void {
    this.#compacted = through;
    this.#recent.forget(through);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#stop.abort();
    this.hub[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    let failures = 0;
    let wasEstablished = false;
    while (!this.#ended) {
      try {
        await this.#connect(() => {
          failures = 0;
          wasEstablished = true;
          this.hub.paused = false;
          this.#established.resolve();
        });
      } catch (error) {
        if (this.#ended) break;
        this.hub.paused = true;
        if (!wasEstablished || StoreErrors.COMPACTED.is(error)) {
          this.#ended = true;
          this.#established.reject(error);
          this.hub.fail(error as Error);
          break;
        }
        if (failures === 0)
          this.#host.log.warn({ err: error }, `the watch of etcd was cut and reconnects: ${messageOf(error)}`);
        await this.#host.clock
          .sleep(fullJitter(this.#host.random, failures++, RECONNECT), this.#stop.signal)
          .catch(() => {});
      }
    }
    this.#established.reject(StoreErrors.UNAVAILABLE("The watch has ended."));
  }

  /** Follows one connection. Rejects when it is cut. */
  #connect(onEstablished: () => void): Promise<void> {
    const { members, wire } = this.#options;
    return members.read(async (_client, streams) => {
      // A call first, because etcd3 renews an expired token for calls only, not for streams.
      await streams.kv.range(wire.rangeRequest({ key: "-", limit: 0 }));
      const bookmarks = isProgressInOrder((await streams.maintenance.status()).version);
      this.#stop.signal.throwIfAborted();
      await this.#follow(streams, { bookmarks, onEstablished });
    });
  }

  async #follow(
    streams: Etcd3,
    { bookmarks, onEstablished }: { bookmarks: boolean; onEstablished: () => void },
  ): Promise<void> {
    const stream = (await streams.watchClient.watch(REQUIRE_LEADER)) as Stream;
    const cut = Promise.withResolvers<never>();
    const pulse = new Pulse(this.#host, {
      ask: () => stream.write({ progress_request: {} }),
      dead: () => cut.reject(streamCut(`silent for ${SILENCE_MS + ANSWER_MS} ms`)),
    });
    const stop = (): void => cut.reject(new Error("stopping"));
    this.#stop.signal.addEventListener("abort", stop, { once: true });
    let held: Batch | undefined;
    let over = false;
    const answer = async (response: IWatchResponse): Promise<void> => {
      pulse.beat();
      if (response.canceled) throw this.#cancelled(response);
      if (response.created) {
        onEstablished();
        return this.hub.confirm();
      }
      held = await this.#take(response, held);
      // An answer to a progress request has no watch id. A progress notification that etcd sends on its own has one.
      const isProgress = response.events.length === 0 && (bookmarks || response.watch_id === "0");
      if (isProgress) this.#progress(whole(response.header.revision));
      this.hub.confirm();
    };
    try {
      stream.on("error", (error: Error) => cut.reject(error));
      stream.on("end", () => cut.reject(streamCut("the server ended the stream")));
      stream.on("data", (response: IWatchResponse) => {
        if (over) return;
        // One response at a time, so that backpressure reaches the link, and then etcd.
        stream.pause();
        answer(response).then(() => stream.resume(), cut.reject);
      });
      stream.write({
        create_request: {
          ...this.#options.wire.range({ prefix: "" }),
          // At the cursor and not after it, so that etcd reports when revisions after the cursor are compacted. A compaction at exactly
          // the next revision would otherwise silently drop that revision's deletes.
          start_revision: Math.max(1, this.#cursor),
          progress_notify: true,
          fragment: true,
        },
      });
      await cut.promise;
    } finally {
      pulse[Symbol.dispose]();
      this.#stop.signal.removeEventListener("abort", stop);
      over = true;
      // A cancel would count as the member's failure, so a stream that ends regularly is not cancelled.
      if (this.#ended) stream.end();
      else stream.cancel();
    }
  }

  /** Publishes whole revisions. The last one of a fragment may continue in the next fragment, so it is held back and returned. */
  async #take(response: IWatchResponse, held: Batch | undefined): Promise<Batch | undefined> {
    const { wire, queueRevisionsMax = Infinity } = this.#options;
    const perTurn = Math.min(PUBLISH_REVISIONS, Math.ceil(queueRevisionsMax / 2));
    let published = 0;
    let batch = held;
    for (const { type, kv } of response.events) {
      const modRevision = whole(kv.mod_revision);
      if (batch && batch.revision !== modRevision) {
        this.#publish(batch);
        batch = undefined;
        if (++published % perTurn === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      batch ??= { revision: modRevision, events: [] };
      batch.events.push(
        isDelete(type)
          ? { type: "delete", key: wire.keyFrom(kv.key), modRevision }
          : { type: "put", entry: wire.entry(kv) },
      );
    }
    if (response.fragment) return batch;
    if (batch) this.#publish(batch);
    return undefined;
  }

  #publish(batch: Batch): void {
    // A resumed stream begins with the revision that was seen last.
    if (batch.revision <= this.#cursor) return;
    this.#cursor = batch.revision;
    this.#recent.push(batch);
    this.hub.publish(batch);
  }

  #progress(revision: Revision): void {
    if (revision <= this.#cursor) return;
    this.#cursor = revision;
    this.hub.progress(revision);
  }

  #cancelled({ compact_revision, cancel_reason }: IWatchResponse): Error {
    const compactedRevision = whole(compact_revision);
    return compactedRevision > 0
      ? compacted(this.#cursor, compactedRevision)
      : new Error(`etcd cancelled the watch: ${cancel_reason || "no reason given"}`);
  }

  #history(from: Revision, limit: number): History {
    const history = this.#recent.after(from, limit, this.hub.revision);
    if (history) return history;
    if (from < this.#compacted) throw compacted(from, this.#compacted);
    throw StoreErrors.WATCH_LAGGED(`Revision ${from} is no longer in memory. Watch again after it.`, {
      extra: { revision: from },
    });
  }
}

/** Requests a sign of life from a silent stream, and reports when there is none. */
class Pulse implements Disposable {
  readonly #host: Host;
  readonly #act: { readonly ask: () => void; readonly dead: () => void };
  #cancel: CancelTimer = () => {};
  #beats = 0;

  constructor(host: Host, act: { ask: () => void; dead: () => void }) {
    this.#host = host;
    this.#act = act;
    this.#await(SILENCE_MS, false);
  }

  beat(): void {
    this.#beats++;
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #await(ms: number, asked: boolean): void {
    const before = this.#beats;
    this.#cancel = this.#host.clock.after(ms, () => {
      if (this.#beats > before) return this.#await(SILENCE_MS, false);
      if (asked) return this.#act.dead();
      this.#act.ask();
      return this.#await(ANSWER_MS, true);
    });
  }
}

function isProgressInOrder(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  const needed: number | undefined = PROGRESS_IN_ORDER[`${major}.${minor}` as keyof typeof PROGRESS_IN_ORDER];
  return needed === undefined ? major > 3 || (major === 3 && minor > 5) : patch >= needed;
}

/** proto-loader returns names, although etcd3's types say numbers. */
function isDelete(type: unknown): boolean {
  return type === "Delete";
}
