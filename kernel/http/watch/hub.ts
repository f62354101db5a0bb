/**
 * A watch over HTTP. A hub encodes each change once and writes the same bytes to every subscriber of its topic; a
 * subscriber that does not read is dropped, and resumes where it was. Writers never wait for readers.
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { AppError, messageOf, randomId, type CounterChild, type GaugeChild, type Host } from "#base";
import { onGone } from "../caller.ts";
import { encodeFrame, WATCH_ID_HEADER, type Frame } from "../frames.ts";
import type { Principal } from "../principal.ts";
import { HttpErrors } from "../problem.ts";

/** Frames kept for resuming, and their bytes: minutes of a busy catalog, and a bound on memory. */
export const RING_FRAMES_MAX = 65_536;
export const RING_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes that may wait on one subscriber's socket, beside its largest frame, before it is dropped: some seconds of a slow link. */
export const BACKLOG_BYTES_MAX = 1024 * 1024;
/**
 * Milliseconds between heartbeats: a reader notices a server that is silent after two seconds (client/core/members.ts), and one
 * heartbeat costs some ten microseconds.
 */
export const HEARTBEAT_MS = 1_500;
/** Age of what is served, in milliseconds, above which all readers are told at once instead of at their next heartbeat. */
const AGE_TOLD_AT_ONCE_MS = 3_000;
/** Parts of the subscribers that get theirs one after the other: ten thousand writes at once would hold up all news. */
const HEARTBEAT_PARTS = 20;
/** Milliseconds that a reader of a snapshot may take none of it before it is dropped. */
const SNAPSHOT_STALL_MS_MAX = 30_000;
/** Times that a snapshot is sent anew because the ring passed it meanwhile, before the subscriber is dropped. */
const SNAPSHOT_TRIES_MAX = 3;

/** Milliseconds that a subscriber which acknowledges is still waited for once its stream was cut: it is coming back. */
export const SUBSCRIBER_GRACE_MS = 10_000;
const WATCH_ID_BYTES = 8;

export interface Delta {
  /** Whoever subscribes to any of these hears of it. */
  readonly topics: readonly string[];
  readonly data: unknown;
}

export interface Subscription {
  readonly topics: readonly string[];
  /** Last-Event-ID: all up to there is known. */
  readonly after: number | undefined;
  /** The state now, in pieces, each the data of one snapshot frame. Taken at once, sent at the reader's pace. */
  readonly snapshot: () => Iterable<unknown>;
  /**
   * Instead of the ring: what changed since a revision, for topics whose deltas are whole documents. Empty: nothing.
   * The ring then need not have seen the topic.
   */
  readonly since?: (revision: number) => Iterable<unknown>;
  /** Told once, when the subscriber has gone. */
  readonly onEnd?: () => void;
  /** The reader's own name, when it acknowledges what it has taken over. */
  readonly subscriber?: string | undefined;
  /** Who opened it: nobody else acknowledges for it, or passes for it once it was cut off. */
  readonly principal?: Pick<Principal, "id" | "name">;
}

/** One open watch, for operators. Revisions are those of the hub; `seenRevision` is 0 before an acknowledgement. */
export interface WatcherInfo {
  readonly id: string;
  readonly subscriber?: string;
  readonly principal: string;
  readonly topics: readonly string[];
  readonly since: string;
  readonly sentRevision: number;
  readonly seenRevision: number;
}

interface RingFrame {
  readonly revision: number;
  readonly topics: readonly string[];
  readonly bytes: Uint8Array;
}

class Subscriber {
  /** Up to where this reader was sent everything. */
  cursor = 0;
  live = false;
  /** Up to where it said that it has taken everything over. */
  seen = 0;
  /** Bytes of the largest frame that may still wait for it. */
  frameBytesMax = 0;
  /** The part of the subscribers that it gets its heartbeats with. */
  readonly part: number;
  readonly id: string;
  readonly sinceMs: number;
  readonly subscription: Subscription;
  readonly raw: ServerResponse;

  constructor(id: string, part: number, sinceMs: number, subscription: Subscription, raw: ServerResponse) {
    this.id = id;
    this.part = part;
    this.sinceMs = sinceMs;
    this.subscription = subscription;
    this.raw = raw;
  }
}

/** One that acknowledges and was cut off: what it goes by meanwhile, it has from before. */
interface Departed {
  readonly subscriber: string;
  readonly topics: readonly string[];
  readonly seen: number;
  readonly cancel: () => void;
}

export interface HubOptions {
  /**
   * Each delta is the whole of what its topic is about, or follows from what was told before; every subscription has one
   * topic and gives `since`. Nothing is then kept for resuming, and one revision is one frame.
   */
  readonly documents?: boolean;
  /** Milliseconds since the store's last sign of life; heartbeats tell it. */
  readonly ageMs?: () => number;
  /** Whether owners may still have to register again. */
  readonly cold?: () => boolean;
}

/** One kind of watch, such as the catalog. Revisions only grow. */
export class WatchHub implements AsyncDisposable {
  readonly #ring: RingFrame[] = [];
  #ringBytes = 0;
  /** A reader that knows all up to here can be resumed from the ring. */
  #floor: number | undefined;
  #revision = 0;
  readonly #byTopic = new Map<string, Set<Subscriber>>();
  /** By id. */
  readonly #all = new Map<string, Subscriber>();
  readonly #parts = Array.from({ length: HEARTBEAT_PARTS }, () => new Set<Subscriber>());
  #attached = 0;
  /** By name and topics: several, when one subscriber is several processes. */
  readonly #departed = new Map<string, Departed[]>();
  readonly #seenListeners = new Set<() => void>();
  #cancelHeartbeat = () => {};
  readonly #host: Host;
  readonly #subscribers: GaugeChild;
  readonly #dropped: CounterChild;
  readonly #waiters = new Map<string, Set<() => void>>();
  #closed = false;
  readonly #documents: boolean;
  readonly #options: HubOptions;
  #wasOld = false;
  #wasCold = false;

  constructor(host: Host, name: string, options: HubOptions = {}) {
    const { documents = false } = options;
    this.#host = host;
    this.#options = options;
    this.#documents = documents;
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
    this.#beat();
  }

  /** All up to here was published. */
  get revision(): number {
    return this.#revision;
  }

  /** Topics somebody is subscribed to or waits for. */
  *topics(): Iterable<string> {
    yield* this.#byTopic.keys();
    for (const topic of this.#waiters.keys()) if (!this.#byTopic.has(topic)) yield topic;
  }

  /** Forgets the ring: the state was listed anew at this revision, and what lay between is not known. */
  reset(revision: number): void {
    this.#ring.length = 0;
    this.#ringBytes = 0;
    this.#floor = revision;
    this.#revision = revision;
    for (const subscriber of this.#all.values()) if (subscriber.live) this.#begin(subscriber, true);
    for (const topic of this.#waiters.keys()) this.#wakeWaiters(topic);
  }

  /** Publishes one whole revision; without deltas it only says that nothing concerned this hub. */
  publish(revision: number, deltas: readonly Delta[]): void {
    this.#floor ??= revision - 1;
    this.#revision = revision;
    // Several frames of one revision carry the revision before it, and a heartbeat closes them: a reader cut between
    // two of them resumes before the first, and hears of none of them by half.
    const several = deltas.length > 1 && !this.#documents;
    const stamp = several ? revision - 1 : revision;
    const touched = new Set<Subscriber>();
    for (const delta of deltas) {
      const frame = {
        revision,
        topics: delta.topics,
        bytes: encodeFrame({ event: "delta", revision: stamp, data: delta.data }),
      };
      if (!this.#documents) {
        this.#ring.push(frame);
        this.#ringBytes += frame.bytes.length;
      }
      for (const topic of delta.topics) {
        for (const subscriber of this.#byTopic.get(topic) ?? []) {
          if (!subscriber.live) continue;
          touched.add(subscriber);
          this.#write(subscriber, frame.bytes);
        }
        this.#wakeWaiters(topic);
      }
    }
    if (several) {
      const close = this.#heartbeat();
      for (const subscriber of touched) this.#write(subscriber, close);
    }
    for (const subscriber of touched) subscriber.cursor = revision;
    this.#trim();
  }

  /** Resolves true at the next publication on any of the topics, false when `ms` passed or the signal aborted first. */
  next(topics: readonly string[], ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (news: boolean) => {
        cancel();
        signal.removeEventListener("abort", stop);
        for (const topic of topics) {
          const waiters = this.#waiters.get(topic);
          waiters?.delete(wake);
          if (waiters?.size === 0) this.#waiters.delete(topic);
        }
        resolve(news);
      };
      const wake = () => done(true);
      const stop = () => done(false);
      const cancel = this.#host.clock.after(ms, stop);
      for (const topic of topics) {
        const waiters = this.#waiters.get(topic) ?? new Set();
        this.#waiters.set(topic, waiters.add(wake));
      }
      if (signal.aborted || this.#closed) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
  }

  /** Notes that a principal's watch has taken over everything up to a revision; false when it has no such watch here. */
  acknowledge(id: string, { principal, revision }: { principal: Pick<Principal, "id">; revision: number }): boolean {
    const subscriber = this.#all.get(id);
    if (!subscriber || subscriber.subscription.principal?.id !== principal.id) return false;
    if (revision > subscriber.seen) {
      subscriber.seen = revision;
      this.#tellSeen();
    }
    return true;
  }

  /** Names of those that acknowledge, are or were just now subscribed to any of the topics, and have not come so far. */
  unseen(topics: readonly string[], revision: number): string[] {
    const names = new Set<string>();
    for (const topic of topics) {
      for (const { subscription, seen } of this.#byTopic.get(topic) ?? []) {
        if (subscription.subscriber !== undefined && seen < revision) names.add(subscription.subscriber);
      }
    }
    for (const { subscriber, topics: theirs, seen } of [...this.#departed.values()].flat()) {
      if (seen < revision && theirs.some((topic) => topics.includes(topic))) names.add(subscriber);
    }
    return [...names].sort();
  }

  /** Called when `unseen` may have become less. */
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
        // A live reader was sent all there is on its topics, also where nothing of it concerned them.
        sentRevision: live ? this.#revision : cursor,
        seenRevision: seen,
      };
    }
  }

  /** Takes the reply over and streams until the reader goes or the hub closes. */
  attach(reply: FastifyReply, subscription: Subscription): void {
    if (this.#closed) throw HttpErrors.UNAVAILABLE("The server is stopping; try again shortly.");
    reply.hijack();
    const { raw } = reply;
    // Headers set by hooks (the trace) go out with ours; hijacked replies do not send them by themselves.
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
    const id = randomId(this.#host.random, WATCH_ID_BYTES);
    raw.writeHead(200, {
      [WATCH_ID_HEADER]: id,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    raw.flushHeaders();
    const part = this.#attached++ % HEARTBEAT_PARTS;
    const subscriber = new Subscriber(id, part, this.#host.clock.now(), subscription, raw);
    this.#all.set(id, subscriber);
    this.#parts[part]?.add(subscriber);
    this.#back(subscription);
    for (const topic of subscription.topics) {
      const set = this.#byTopic.get(topic) ?? new Set();
      this.#byTopic.set(topic, set.add(subscriber));
    }
    this.#subscribers.set(this.#all.size);
    onGone(raw, () => this.#forget(subscriber));
    this.#begin(subscriber, false);
  }

  /** Ends every stream in good order; readers reconnect elsewhere. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#cancelHeartbeat();
    for (const { cancel } of [...this.#departed.values()].flat()) cancel();
    this.#departed.clear();
    for (const subscriber of this.#all.values()) {
      this.#forget(subscriber);
      subscriber.raw.end();
    }
    for (const topic of this.#waiters.keys()) this.#wakeWaiters(topic);
  }

  /** What cannot be told just now ends the stream: the reader comes again, and is then told why. */
  #begin(subscriber: Subscriber, again: boolean): void {
    this.#start(subscriber, again).catch((error: unknown) => {
      this.#forget(subscriber);
      subscriber.raw.destroy();
      const { log } = this.#host;
      if (error instanceof AppError) log.debug({ code: error.code }, `a watch cannot go on: ${error.message}`);
      else log.error({ err: error }, `a watch failed: ${messageOf(error)}`);
    });
  }

  /** Brings a subscriber up to date, from where it says it is or from nothing, and then makes it live. */
  async #start(subscriber: Subscriber, again: boolean): Promise<void> {
    subscriber.live = false;
    const { after, since } = subscriber.subscription;
    if (!again && after !== undefined && after <= this.#revision) {
      if (since) {
        for (const data of since(after))
          this.#write(subscriber, encodeFrame({ event: "delta", revision: this.#revision, data }));
        return this.#goLive(subscriber);
      }
      if (this.#floor !== undefined && after >= this.#floor) {
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
        // What came while the snapshot was read is in the document as it is now.
        for (const data of since?.(revision) ?? [])
          this.#write(subscriber, encodeFrame({ event: "delta", revision: this.#revision, data }));
        return this.#goLive(subscriber);
      }
      if (this.#floor === undefined || revision >= this.#floor) {
        if (this.#replay(subscriber)) return this.#goLive(subscriber);
      }
    }
    this.#drop(subscriber);
  }

  /** Sends from the ring what came after the cursor. False when the subscriber has gone. */
  #replay(subscriber: Subscriber): boolean {
    const topics = new Set(subscriber.subscription.topics);
    const first = lowerBound(this.#ring, subscriber.cursor);
    for (let i = first; i < this.#ring.length; i++) {
      const frame = this.#ring[i] as RingFrame;
      if (frame.topics.some((topic) => topics.has(topic))) this.#write(subscriber, frame.bytes);
    }
    return this.#all.has(subscriber.id);
  }

  /** Whether the reader took what waited, within its time. */
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

  #state(): Pick<Frame, "ageMs" | "cold"> {
    const { ageMs, cold } = this.#options;
    return { ...(ageMs ? { ageMs: ageMs() } : {}), ...(cold?.() ? { cold: true } : {}) };
  }

  #write(subscriber: Subscriber, bytes: Uint8Array): void {
    if (!this.#all.has(subscriber.id)) return;
    const { raw } = subscriber;
    // The largest frame that waits is not held against the reader: else whoever is told one above the limit is dropped.
    subscriber.frameBytesMax = Math.max(raw.writableLength === 0 ? 0 : subscriber.frameBytesMax, bytes.length);
    // Corked by itself, a chunked answer leaves in the next tick: the first of ten thousand would wait for the last.
    raw.cork();
    raw.write(bytes);
    raw.uncork();
    if (raw.writableLength > BACKLOG_BYTES_MAX + subscriber.frameBytesMax) this.#drop(subscriber);
  }

  #drop(subscriber: Subscriber): void {
    this.#dropped.inc();
    this.#forget(subscriber);
    subscriber.raw.destroy();
  }

  #forget(subscriber: Subscriber): void {
    if (!this.#all.delete(subscriber.id)) return;
    this.#parts[subscriber.part]?.delete(subscriber);
    this.#gone(subscriber);
    for (const topic of subscriber.subscription.topics) {
      const set = this.#byTopic.get(topic);
      set?.delete(subscriber);
      if (set?.size === 0) this.#byTopic.delete(topic);
    }
    this.#subscribers.set(this.#all.size);
    subscriber.subscription.onEnd?.();
  }

  #gone({ subscription, seen }: Subscriber): void {
    const { subscriber, topics } = subscription;
    if (subscriber === undefined || this.#closed) return;
    const key = departedKey(subscription);
    const cancel = this.#host.clock.after(SUBSCRIBER_GRACE_MS, () => {
      this.#noLongerAwaited(key, departed);
      this.#tellSeen();
    });
    const departed = { subscriber, topics, seen, cancel };
    this.#departed.set(key, [...(this.#departed.get(key) ?? []), departed]);
  }

  #noLongerAwaited(key: string, departed: Departed): void {
    departed.cancel();
    const others = this.#departed.get(key)?.filter((one) => one !== departed) ?? [];
    if (others.length > 0) this.#departed.set(key, others);
    else this.#departed.delete(key);
  }

  #back(subscription: Subscription): void {
    if (subscription.subscriber === undefined) return;
    const key = departedKey(subscription);
    // Which of several it was, nobody knows; that which had come furthest is missed the least.
    const [furthest] = (this.#departed.get(key) ?? []).toSorted((a, b) => b.seen - a.seen);
    if (furthest) this.#noLongerAwaited(key, furthest);
  }

  #tellSeen(): void {
    for (const listener of this.#seenListeners) listener();
  }

  #wakeWaiters(topic: string): void {
    for (const wake of this.#waiters.get(topic) ?? []) wake();
  }

  #trim(): void {
    let cut = 0;
    while (this.#ring.length - cut > RING_FRAMES_MAX || this.#ringBytes > RING_BYTES_MAX) {
      const frame = this.#ring[cut++] as RingFrame;
      this.#ringBytes -= frame.bytes.length;
      this.#floor = frame.revision;
    }
    // Half of one revision is no place to resume from, so its remaining frames go with it.
    while (cut > 0 && this.#ring[cut]?.revision === this.#floor)
      this.#ringBytes -= (this.#ring[cut++] as RingFrame).bytes.length;
    if (cut > 0) this.#ring.splice(0, cut);
  }

  #beat(part = 0): void {
    this.#cancelHeartbeat = this.#host.clock.after(HEARTBEAT_MS / HEARTBEAT_PARTS, () => {
      const { ageMs = 0, cold = false } = this.#state();
      const isOld = ageMs > AGE_TOLD_AT_ONCE_MS;
      const turned = (isOld && !this.#wasOld) || cold !== this.#wasCold;
      this.#wasOld = isOld;
      this.#wasCold = cold;
      const parts = turned ? this.#parts : [this.#parts[part] as Set<Subscriber>];
      if (parts.some(({ size }) => size > 0)) {
        const bytes = this.#heartbeat();
        for (const subscribers of parts)
          for (const subscriber of subscribers) if (subscriber.live) this.#write(subscriber, bytes);
      }
      this.#beat((part + 1) % HEARTBEAT_PARTS);
    });
  }
}

/** Only the principal whose stream was cut comes back as that subscriber. */
function departedKey({ subscriber = "", topics, principal }: Subscription): string {
  return `${subscriber} ${principal?.id ?? ""} ${topics.join(" ")}`;
}

/** Index of the first frame after a revision. */
function lowerBound(ring: readonly RingFrame[], revision: number): number {
  let low = 0;
  let high = ring.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ring[middle] as RingFrame).revision <= revision) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The revision that a reader asks to resume after, or undefined; nonsense counts as absent. */
export function lastEventId(headers: Record<string, string | string[] | undefined>): number | undefined {
  const value = headers["last-event-id"];
  if (typeof value !== "string" || !/^\d{1,15}$/.test(value)) return undefined;
  return Number(value);
}
