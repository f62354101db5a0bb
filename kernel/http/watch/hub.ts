/**
 * A watch over HTTP. A hub encodes each change once and writes the same bytes to every subscriber of its topic; a
 * subscriber that does not read is dropped, and resumes where it was. Writers never wait for readers. A watch ends with the
 * token or session that opened it.
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { AppError, KeyedWaiters, messageOf, randomId, type CounterChild, type GaugeChild, type Host } from "#base";
import { onGone } from "../caller.ts";
import { encodeFrame, WATCH_ID_HEADER } from "../frames.ts";
import type { Principal } from "../principal.ts";
import { HttpErrors } from "../problem.ts";
import { Departures } from "./departures.ts";
import { Heartbeats, type DataState } from "./heartbeats.ts";
import { FrameRing } from "./ring.ts";
import { Subscriber } from "./subscriber.ts";
import type { Subscription, WatcherInfo } from "./subscription.ts";
import { decidedOnce } from "./topic-filter.ts";

/**
 * Bytes that may wait on one subscriber's socket, its largest frame apart, before it is dropped: some seconds of a slow
 * link.
 */
const BACKLOG_BYTES_MAX = 1024 * 1024;
/** Milliseconds that a reader of a snapshot may read nothing before it is dropped. */
const SNAPSHOT_STALL_MS_MAX = 30_000;
/** Snapshots sent to one subscriber, because the ring moved on before it read the previous one, before it is dropped. */
const SNAPSHOT_TRIES_MAX = 3;
const WATCH_ID_BYTES = 8;

export interface Delta {
  /** Every subscriber of any of these topics receives it. */
  readonly topics: readonly string[];
  readonly data: unknown;
}

export interface HubOptions {
  /**
   * Each delta is a whole document, or follows from the previous one; every subscription has one topic and provides
   * `since`. Nothing is kept for resuming then, and one revision is one frame.
   */
  readonly documents?: boolean;
  /** Milliseconds since the store's last sign of life. Heartbeats carry it. */
  readonly ageMs?: () => number;
  /** Whether owners may still have to register again. */
  readonly cold?: () => boolean;
}

/** One kind of watch, such as the catalog. Revisions only increase. */
export class WatchHub implements AsyncDisposable {
  readonly #ring = new FrameRing();
  #revision = 0;
  readonly #byTopic = new Map<string, Set<Subscriber>>();
  /** By id. */
  readonly #all = new Map<string, Subscriber>();
  readonly #heartbeats: Heartbeats<Subscriber>;
  readonly #departures: Departures;
  readonly #seenListeners = new Set<() => void>();
  readonly #host: Host;
  readonly #subscribers: GaugeChild;
  readonly #dropped: CounterChild;
  readonly #waiters = new KeyedWaiters();
  #closed = false;
  readonly #documents: boolean;
  readonly #options: HubOptions;

  constructor(host: Host, name: string, options: HubOptions = {}) {
    const { documents = false } = options;
    this.#host = host;
    this.#options = options;
    this.#documents = documents;
    this.#departures = new Departures(host.clock, () => this.#notifySeen());
    this.#subscribers = host.metrics
      .gauge({ name: "posthouse_watch_subscribers", help: "Open watches, by kind.", labelNames: ["watch"] })
      .labels(name);
    this.#dropped = host.metrics
      .counter({
        name: "posthouse_watch_dropped_total",
        help: "Watches dropped because their reader was too slow, by kind.",
        labelNames: ["watch"],
      })
      .labels(name);
    this.#heartbeats = new Heartbeats(
      host.clock,
      () => this.#state(),
      (subscribers) => {
        const bytes = this.#heartbeat();
        for (const subscriber of subscribers) {
          if (!subscriber.isAllowed()) this.#end(subscriber);
          else if (subscriber.live) this.#write(subscriber, bytes);
        }
      },
    );
  }

  /** Everything up to here was published. */
  get revision(): number {
    return this.#revision;
  }

  /** Topics with a subscriber or a waiting reader. */
  *topics(): Iterable<string> {
    yield* this.#byTopic.keys();
    for (const topic of this.#waiters.keys()) if (!this.#byTopic.has(topic)) yield topic;
  }

  /** Starts over: the state was listed at this revision, and the changes before it are unknown. */
  reset(revision: number): void {
    this.#ring.reset(revision);
    this.#revision = revision;
    for (const subscriber of this.#all.values()) if (subscriber.live) this.#begin(subscriber, true);
    this.#waiters.wakeAll();
  }

  /** Publishes one whole revision. Without deltas, nothing in it concerned this hub. */
  publish(revision: number, deltas: readonly Delta[]): void {
    this.#ring.begin(revision);
    this.#revision = revision;
    // Several frames of one revision carry the revision before it, and a heartbeat closes them. A reader that was cut
    // between two of them resumes before the first, so it never keeps half a revision.
    const several = deltas.length > 1 && !this.#documents;
    const stamp = several ? revision - 1 : revision;
    const touched = new Set<Subscriber>();
    for (const delta of deltas) {
      const frame = {
        revision,
        topics: delta.topics,
        bytes: encodeFrame({ event: "delta", revision: stamp, data: delta.data }),
      };
      if (!this.#documents) this.#ring.push(frame);
      const isShown = decidedOnce(delta.topics);
      for (const topic of delta.topics) {
        for (const subscriber of this.#byTopic.get(topic) ?? []) {
          if (!subscriber.live || !isShown(subscriber.subscription.sees)) continue;
          touched.add(subscriber);
          this.#write(subscriber, frame.bytes);
        }
        this.#waiters.wake(topic);
      }
    }
    if (several) {
      const close = this.#heartbeat();
      for (const subscriber of touched) this.#write(subscriber, close);
    }
    for (const subscriber of touched) subscriber.cursor = revision;
    this.#ring.trim();
  }

  /** Ends the watches whose caller has lost its token or whose rights changed. Their readers open them again. */
  sweep(): void {
    for (const subscriber of this.#all.values()) if (!subscriber.isAllowed()) this.#end(subscriber);
  }

  /** Resolves true at the next publication on any of the topics, false when `ms` passed or the signal aborted first. */
  async next(topics: readonly string[], ms: number, signal: AbortSignal): Promise<boolean> {
    if (this.#closed) return false;
    return (await this.#waiters.wait(topics, { limit: { clock: this.#host.clock, ms }, signal })) === "woken";
  }

  /** Notes that a principal's watch has everything up to a revision; false when it has no such watch here. */
  acknowledge(id: string, { principal, revision }: { principal: Pick<Principal, "id">; revision: number }): boolean {
    const subscriber = this.#all.get(id);
    if (!subscriber || subscriber.subscription.principal?.id !== principal.id) return false;
    if (revision > subscriber.seen) {
      subscriber.seen = revision;
      this.#notifySeen();
    }
    return true;
  }

  /**
   * Names of acknowledging subscribers of any of the topics that have not acknowledged a revision. Includes subscribers whose
   * stream was cut a moment ago.
   */
  unseen(topics: readonly string[], revision: number): string[] {
    const names = new Set<string>();
    const isShown = decidedOnce(topics);
    for (const topic of topics) {
      for (const { subscription, seen } of this.#byTopic.get(topic) ?? []) {
        const { subscriber, sees } = subscription;
        if (subscriber !== undefined && seen < revision && isShown(sees)) names.add(subscriber);
      }
    }
    for (const name of this.#departures.unseen(topics, revision)) names.add(name);
    return [...names].sort();
  }

  /** The listener is called when `unseen` may have become shorter. */
  onSeen(listener: () => void): () => void {
    this.#seenListeners.add(listener);
    return () => void this.#seenListeners.delete(listener);
  }

  /** Open watches on any of the topics, or all of them. */
  *watchers(topics?: readonly string[]): Iterable<WatcherInfo> {
    for (const { id, subscription, sinceMs, cursor, live, seen } of this.#all.values()) {
      if (topics && !subscription.topics.some((topic) => topics.includes(topic))) continue;
      yield {
        id,
        ...(subscription.subscriber === undefined ? {} : { subscriber: subscription.subscriber }),
        principal: subscription.principal?.name ?? "",
        topics: subscription.topics,
        since: new Date(sinceMs).toISOString(),
        // A live reader has everything on its topics, even when the last revisions did not concern them.
        sentRevision: live ? this.#revision : cursor,
        seenRevision: seen,
      };
    }
  }

  /** Hijacks the reply and streams until the reader leaves or the hub closes. */
  attach(reply: FastifyReply, subscription: Subscription): void {
    if (this.#closed) throw HttpErrors.UNAVAILABLE("The server is stopping. Try again shortly.");
    reply.hijack();
    const { raw } = reply;
    // A hijacked reply does not send the headers that hooks set (the trace), so they are copied.
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
    const id = randomId(this.#host.random, WATCH_ID_BYTES);
    raw.writeHead(200, {
      [WATCH_ID_HEADER]: id,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    raw.flushHeaders();
    const subscriber = new Subscriber(id, this.#host.clock.now(), subscription, reply);
    this.#all.set(id, subscriber);
    this.#heartbeats.add(subscriber);
    this.#departures.returned(subscription);
    for (const topic of subscription.topics) {
      const set = this.#byTopic.get(topic) ?? new Set();
      this.#byTopic.set(topic, set.add(subscriber));
    }
    this.#subscribers.set(this.#all.size);
    onGone(raw, () => this.#forget(subscriber));
    this.#begin(subscriber, false);
  }

  /** Ends every stream cleanly; readers reconnect elsewhere. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#heartbeats[Symbol.dispose]();
    this.#departures.clear();
    for (const subscriber of this.#all.values()) this.#end(subscriber);
    this.#waiters.wakeAll();
  }

  /** Ends the stream when the state cannot be read now; the reader reconnects and receives the reason as an error. */
  #begin(subscriber: Subscriber, again: boolean): void {
    this.#start(subscriber, again).catch((error: unknown) => {
      this.#forget(subscriber);
      subscriber.raw.destroy();
      const { log } = this.#host;
      if (error instanceof AppError) log.debug({ code: error.code }, `a watch cannot continue: ${error.message}`);
      else log.error({ err: error }, `a watch failed: ${messageOf(error)}`);
    });
  }

  /** Brings a subscriber up to date, from its last revision or from nothing, and then makes it live. */
  async #start(subscriber: Subscriber, again: boolean): Promise<void> {
    subscriber.live = false;
    const { after, since } = subscriber.subscription;
    if (!again && after !== undefined && after <= this.#revision) {
      if (since) {
        for (const data of since(after))
          this.#write(subscriber, encodeFrame({ event: "delta", revision: this.#revision, data }));
        return this.#goLive(subscriber);
      }
      if (this.#ring.floor !== undefined && after >= this.#ring.floor) {
        subscriber.cursor = after;
        if (this.#replay(subscriber)) return this.#goLive(subscriber);
      }
    }
    if (again || after !== undefined)
      this.#write(subscriber, encodeFrame({ event: "reset", revision: this.#revision }));
    for (let attempt = 0; attempt < SNAPSHOT_TRIES_MAX; attempt++) {
      const revision = this.#revision;
      if (attempt > 0) this.#write(subscriber, encodeFrame({ event: "reset", revision }));
      const pieces = [...subscriber.subscription.snapshot()];
      for (const data of pieces) {
        if (!this.#all.has(subscriber.id)) return;
        const room = subscriber.raw.write(encodeFrame({ event: "snapshot", revision, data }));
        if (!room && !(await this.#drained(subscriber.raw))) return this.#drop(subscriber);
      }
      if (!this.#all.has(subscriber.id)) return;
      this.#write(subscriber, encodeFrame({ event: "synced", revision, ...this.#state() }));
      subscriber.cursor = revision;
      if (this.#documents) {
        // The current document includes what changed while the snapshot was read.
        for (const data of since?.(revision) ?? [])
          this.#write(subscriber, encodeFrame({ event: "delta", revision: this.#revision, data }));
        return this.#goLive(subscriber);
      }
      if (this.#ring.floor === undefined || revision >= this.#ring.floor) {
        if (this.#replay(subscriber)) return this.#goLive(subscriber);
      }
    }
    this.#drop(subscriber);
  }

  /** Sends the frames of the ring after the cursor. False when the subscriber has gone. */
  #replay(subscriber: Subscriber): boolean {
    const { topics, sees } = subscriber.subscription;
    for (const frame of this.#ring.after(subscriber.cursor, new Set(topics))) {
      if (!sees || sees(frame.topics)) this.#write(subscriber, frame.bytes);
    }
    return this.#all.has(subscriber.id);
  }

  /** Whether the reader emptied its backlog within the limit. */
  #drained(raw: ServerResponse): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (taken: boolean) => {
        cancel();
        raw.off("drain", drain);
        raw.off("close", drain);
        resolve(taken);
      };
      const drain = () => done(true);
      const cancel = this.#host.clock.after(SNAPSHOT_STALL_MS_MAX, () => done(false));
      raw.on("drain", drain);
      raw.on("close", drain);
    });
  }

  #goLive(subscriber: Subscriber): void {
    if (!this.#all.has(subscriber.id)) return;
    subscriber.live = true;
    subscriber.cursor = this.#revision;
    this.#write(subscriber, this.#heartbeat());
  }

  #heartbeat(): Uint8Array {
    return encodeFrame({ event: "heartbeat", revision: this.#revision, ...this.#state() });
  }

  #state(): DataState {
    const { ageMs, cold } = this.#options;
    return { ...(ageMs ? { ageMs: ageMs() } : {}), ...(cold?.() ? { cold: true } : {}) };
  }

  #write(subscriber: Subscriber, bytes: Uint8Array): void {
    if (!this.#all.has(subscriber.id)) return;
    const { raw } = subscriber;
    // The largest waiting frame does not count, or a single frame above the limit would drop its reader.
    subscriber.frameBytesMax = Math.max(raw.writableLength === 0 ? 0 : subscriber.frameBytesMax, bytes.length);
    // Without a cork, a chunked response leaves in the next tick: the first of ten thousand would wait for the last.
    raw.cork();
    raw.write(bytes);
    raw.uncork();
    if (raw.writableLength > BACKLOG_BYTES_MAX + subscriber.frameBytesMax) this.#drop(subscriber);
  }

  /** Ends a stream cleanly. The reader connects again, and is then rejected when its token or session was the reason. */
  #end(subscriber: Subscriber): void {
    this.#forget(subscriber);
    subscriber.raw.end();
  }

  #drop(subscriber: Subscriber): void {
    this.#dropped.inc();
    this.#forget(subscriber);
    subscriber.raw.destroy();
  }

  #forget(subscriber: Subscriber): void {
    if (!this.#all.delete(subscriber.id)) return;
    this.#heartbeats.delete(subscriber);
    if (!this.#closed) this.#departures.add(subscriber.subscription, subscriber.seen);
    for (const topic of subscriber.subscription.topics) {
      const set = this.#byTopic.get(topic);
      set?.delete(subscriber);
      if (set?.size === 0) this.#byTopic.delete(topic);
    }
    this.#subscribers.set(this.#all.size);
    subscriber.subscription.onEnd?.();
  }

  #notifySeen(): void {
    for (const listener of this.#seenListeners) listener();
  }
}
