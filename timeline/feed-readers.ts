/**
 * The open feeds of a member. Each event is encoded once per set of permissions and written to all of its readers. A reader
 * that does not read is sent nothing until it has read what waits for it, and then one `reset`.
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import type { Host } from "#base";
import { type Action, maySee, onGone, type Principal, type ResourceField } from "#http";
import { FEED_TOPICS, type FeedTopic, TimelineErrors } from "./api.ts";

/** Feeds of one member: each is a browser. */
const FEEDS_MAX = 5_000;
/** Bytes that may wait for a reader: a minute of events. */
const BACKLOG_BYTES_MAX = 64 * 1024;
/** Milliseconds that a reader may read nothing before its feed ends. */
const STALL_MS_MAX = 60_000;

/** The action that each topic needs. */
const ACTIONS: Readonly<Record<FeedTopic, Action>> = {
  services: "registry:read",
  service: "registry:read",
  config: "config:read",
  routes: "gateway:read",
  rollouts: "config:read",
  locks: "locks:read",
  access: "access:manage",
  members: "registry:read",
  traffic: "registry:read",
  changes: "registry:read",
  problems: "registry:read",
};
/** The fields of a topic's names, in their order. Topics without a row have names that begin with a namespace. */
const NAMES: Readonly<Partial<Record<FeedTopic, readonly ResourceField[]>>> = {
  service: ["namespace", "service"],
  config: ["namespace", "app", "profile"],
  rollouts: ["namespace", "app", "profile"],
  locks: ["namespace", "lock"],
};

/** Callers with equal permissions: they receive the same bytes. */
export interface FeedAudience {
  readonly key: string;
  readonly principal: Principal;
  readonly readers: Set<FeedReader>;
}

interface FeedReader {
  readonly raw: ServerResponse;
  readonly isCurrent: () => boolean;
  /** Since when it has been sent nothing, because it does not read. */
  slowSinceMs: number | undefined;
}

export interface SentEvent {
  readonly event: string;
  readonly id: string;
  readonly data: unknown;
}

export class FeedReaders {
  readonly #host: Host;
  readonly #audiences = new Set<FeedAudience>();
  #count = 0;

  constructor(host: Host) {
    this.#host = host;
    host.metrics.gauge({
      name: "posthouse_feeds",
      help: "Open feeds of consoles.",
      collect: (family) => family.labels().set(this.#count),
    });
  }

  get count(): number {
    return this.#count;
  }

  audiences(): Iterable<FeedAudience> {
    return this.#audiences;
  }

  /** Hijacks the reply. `reset` makes the event for a reader that did not keep up. @throws TIMELINE_FEEDS_FULL */
  open(
    reply: FastifyReply,
    principal: Principal,
    reset: () => SentEvent,
  ): { readonly audience: FeedAudience; send(event: SentEvent): void } {
    if (this.#count >= FEEDS_MAX) {
      throw TimelineErrors.FEEDS_FULL(`This member has ${FEEDS_MAX} open feeds, the most allowed. Try another member.`);
    }
    reply.hijack();
    const { raw, request } = reply;
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
    raw.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    raw.flushHeaders();
    const key = JSON.stringify([principal.policies, principal.limits ?? null]);
    // After a change of a policy, the readers before it are an audience of their own until they have ended.
    const found = [...this.#audiences].find((one) => one.key === key && one.principal.rights === principal.rights);
    const audience = found ?? { key, principal, readers: new Set() };
    this.#audiences.add(audience);
    const reader: FeedReader = { raw, isCurrent: () => request.isCallerCurrent?.() ?? true, slowSinceMs: undefined };
    audience.readers.add(reader);
    this.#count++;
    onGone(raw, () => this.#forget(audience, reader));
    raw.on("drain", () => {
      if (reader.slowSinceMs === undefined) return;
      reader.slowSinceMs = undefined;
      this.#write(reader, encoded(reset()));
    });
    return { audience, send: (event) => this.#write(reader, encoded(event)) };
  }

  /** Sends one event to all readers of an audience. */
  send({ readers }: FeedAudience, event: SentEvent): void {
    const bytes = encoded(event);
    for (const reader of readers) this.#write(reader, bytes);
  }

  /** Ends feeds whose caller may no longer read, and feeds that are not read. */
  sweep(): void {
    const nowMs = this.#host.clock.monotonic();
    for (const audience of this.#audiences) {
      for (const reader of audience.readers) {
        const isStalled = reader.slowSinceMs !== undefined && nowMs - reader.slowSinceMs > STALL_MS_MAX;
        if (!isStalled && reader.isCurrent()) continue;
        this.#forget(audience, reader);
        if (isStalled) reader.raw.destroy();
        else reader.raw.end();
      }
    }
  }

  /** Ends all feeds; readers connect again elsewhere. */
  close(): void {
    for (const audience of this.#audiences) {
      for (const reader of audience.readers) {
        this.#forget(audience, reader);
        reader.raw.end();
      }
    }
  }

  #write(reader: FeedReader, bytes: Uint8Array): void {
    const { raw } = reader;
    if (reader.slowSinceMs !== undefined || raw.destroyed) return;
    raw.cork();
    raw.write(bytes);
    raw.uncork();
    if (raw.writableLength > BACKLOG_BYTES_MAX) reader.slowSinceMs = this.#host.clock.monotonic();
  }

  #forget(audience: FeedAudience, reader: FeedReader): void {
    if (!audience.readers.delete(reader)) return;
    this.#count--;
    if (audience.readers.size === 0) this.#audiences.delete(audience);
  }
}

function encoded({ event, id, data }: SentEvent): Uint8Array {
  return Buffer.from(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** Whether an audience may see a topic, or a name of it. */
export function isTopicVisible(principal: Principal, topic: FeedTopic, name: string | undefined): boolean {
  const fields = NAMES[topic] ?? ["namespace"];
  // The last field has the rest: names of locks have slashes, too.
  const parts = name?.split("/") ?? [];
  const values = [...parts.slice(0, fields.length - 1), parts.slice(fields.length - 1).join("/")];
  const named = fields.flatMap((field, index) => (values[index] ? [[field, values[index]] as const] : []));
  return maySee(principal, ACTIONS[topic], Object.fromEntries(named));
}

export function visibleTopics(principal: Principal): FeedTopic[] {
  return FEED_TOPICS.filter((topic) => isTopicVisible(principal, topic, undefined));
}
