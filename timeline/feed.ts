/**
 * The feed: tells consoles what changed, so that they read it again. One watch of the store serves all feeds. Changes are
 * gathered, and sent at most four times a second, once this member's views include them.
 */
import { AppError, fullJitter, messageOf, type CancelTimer, type Host } from "#base";
import type { FastifyReply } from "fastify";
import type { Principal } from "#http";
import { keyOfEvent, type Store, StoreErrors } from "#store";
import type { FeedHello, FeedReset, FeedTopic } from "./api.ts";
import { ChangedTopics } from "./core/changed-topics.ts";
import { topicsOfKey } from "./core/topics.ts";
import { type FeedAudience, FeedReaders, isTopicVisible, type SentEvent, visibleTopics } from "./feed-readers.ts";

/** Milliseconds between two events: a person does not read faster, and a browser should not draw more often. */
const EVENT_MS = 250;
const HEARTBEAT_MS = 15_000;
/** Milliseconds between two looks at callers, problems and stalled readers. */
const SWEEP_MS = 1_000;
/** Events kept for readers that reconnect: about a minute of a busy fleet. */
const KEPT_EVENTS_MAX = 240;
/** Milliseconds that an event may wait for this member's views. */
const SETTLE_MS_MAX = 2_000;
const RETRY = { baseMs: 100, capMs: 5_000 };
const STORE_PREFIX = "/";

export interface FeedSources {
  /** Identifies this start of this member. */
  readonly member: string;
  /** The revision up to which the view behind a topic is complete. */
  readonly appliedTo: (topic: FeedTopic) => number;
  /** The revision that a reader of everything sees. */
  readonly revision: () => number;
  /** Identifies the present problems: it changes when one begins or ends. */
  readonly problems: () => string;
}

export class Feed implements AsyncDisposable {
  readonly #host: Host;
  readonly #store: Store;
  readonly #sources: FeedSources;
  readonly #readers: FeedReaders;
  #pending = new ChangedTopics();
  /** By topic: the revision of its last change that was not sent. */
  readonly #awaited = new Map<FeedTopic, number>();
  readonly #kept: { readonly number: number; readonly changed: ChangedTopics }[] = [];
  #number = 0;
  #revision: number | undefined;
  #timer: CancelTimer | undefined;
  #sentMs = -Infinity;
  #dueMs = 0;
  #problems: string | undefined;
  #heartbeatMs = 0;

  constructor(host: Host, store: Store, sources: FeedSources) {
    this.#host = host;
    this.#store = store;
    this.#sources = sources;
    this.#readers = new FeedReaders(host);
  }

  /** Answers with the feed, from `lastEventId` on if that is possible. @throws TIMELINE_FEEDS_FULL */
  attach(reply: FastifyReply, principal: Principal, lastEventId: string | undefined): void {
    const opened = this.#readers.open(reply, principal, () => this.#reset("slow"));
    const send = (event: SentEvent) => opened.send(event);
    const hello: FeedHello = {
      revision: this.#sources.revision(),
      member: this.#sources.member,
      topics: visibleTopics(principal),
    };
    send(this.#event("hello", hello));
    if (lastEventId === undefined) return;
    const missed = this.#missed(lastEventId);
    if (missed === undefined) return send(this.#reset("gap"));
    const event = this.#changedFor(opened.audience, missed);
    if (event) send(event);
  }

  /** Announces problems that are not those of the last look. Look before each read of them, so that whatever a reader saw is compared. */
  lookAtProblems(): void {
    const problems = this.#sources.problems();
    if (problems === this.#problems) return;
    this.#problems = problems;
    this.#pending.add("problems", undefined);
    this.#arm();
  }

  /** Ends the feeds whose caller has lost its token or whose rights changed. */
  sweep(): void {
    this.#readers.sweep();
  }

  /** Follows the store until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#sweep(signal)]);
    this.#timer?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.();
    this.#readers.close();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#host;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const after = this.#revision === undefined ? {} : { after: this.#revision };
        for await (const { revision, events } of this.#store.watch({ prefix: STORE_PREFIX, ...after, signal })) {
          this.#revision = revision;
          failures = 0;
          for (const event of events) this.#noteKey(keyOfEvent(event), revision);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof AppError)) throw error;
        const isLost = StoreErrors.COMPACTED.is(error) || StoreErrors.FUTURE_REVISION.is(error);
        if (isLost || StoreErrors.WATCH_LAGGED.is(error)) this.#reload();
        log.debug({ code: error.code }, `the feed does not follow the store, retrying: ${messageOf(error)}`);
        await clock.sleep(fullJitter(random, failures++, RETRY), signal).catch(() => {});
      }
    }
  }

  /** Changes may have been missed. */
  #reload(): void {
    this.#revision = undefined;
    this.#kept.length = 0;
    this.#number++;
    for (const audience of this.#readers.audiences()) this.#readers.send(audience, this.#reset("reload"));
  }

  #noteKey(key: string, revision: number): void {
    topicsOfKey(key, (topic, name) => {
      this.#pending.add(topic, name);
      this.#awaited.set(topic, revision);
    });
    if (!this.#pending.isEmpty) this.#arm();
  }

  #arm(): void {
    if (this.#timer) return;
    const nowMs = this.#host.clock.monotonic();
    this.#dueMs = nowMs + SETTLE_MS_MAX;
    this.#wait(Math.max(EVENT_MS / 10, this.#sentMs + EVENT_MS - nowMs));
  }

  #wait(ms: number): void {
    this.#timer = this.#host.clock.after(ms, () => {
      this.#timer = undefined;
      const isLate = this.#host.clock.monotonic() >= this.#dueMs;
      const isApplied = [...this.#awaited].every(([topic, revision]) => this.#sources.appliedTo(topic) >= revision);
      if (isApplied || isLate) this.#send();
      else this.#wait(EVENT_MS / 10);
    });
  }

  #send(): void {
    const changed = this.#pending;
    this.#pending = new ChangedTopics();
    this.#awaited.clear();
    this.#sentMs = this.#host.clock.monotonic();
    this.#kept.push({ number: ++this.#number, changed });
    if (this.#kept.length > KEPT_EVENTS_MAX) this.#kept.shift();
    for (const audience of this.#readers.audiences()) {
      const event = this.#changedFor(audience, changed);
      if (event) this.#readers.send(audience, event);
    }
  }

  #changedFor({ principal }: FeedAudience, changed: ChangedTopics): SentEvent | undefined {
    const topics = changed.seenBy((topic, name) => isTopicVisible(principal, topic, name));
    return topics.length === 0 ? undefined : this.#event("changed", { revision: this.#sources.revision(), topics });
  }

  /** The changes after an event; undefined when they are not known. */
  #missed(lastEventId: string): ChangedTopics | undefined {
    const [member, text = ""] = lastEventId.split(".");
    const number = Number(text);
    if (member !== this.#sources.member || !/^\d{1,15}$/.test(text) || number > this.#number) return undefined;
    const first = this.#kept[0]?.number ?? this.#number + 1;
    if (number < first - 1) return undefined;
    const missed = new ChangedTopics();
    for (const one of this.#kept) if (one.number > number) missed.merge(one.changed);
    return missed;
  }

  #reset(reason: FeedReset["reason"]): SentEvent {
    return this.#event("reset", { revision: this.#sources.revision(), reason } satisfies FeedReset);
  }

  #event(event: string, data: unknown): SentEvent {
    return { event, id: `${this.#sources.member}.${this.#number}`, data };
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#host.clock.sleep(SWEEP_MS, signal).catch(() => {});
      if (signal.aborted || this.#readers.count === 0) continue;
      this.#readers.sweep();
      this.lookAtProblems();
      const nowMs = this.#host.clock.monotonic();
      if (nowMs - this.#heartbeatMs < HEARTBEAT_MS) continue;
      this.#heartbeatMs = nowMs;
      const heartbeat = this.#event("heartbeat", { revision: this.#sources.revision() });
      for (const audience of this.#readers.audiences()) this.#readers.send(audience, heartbeat);
    }
  }
}
