/**
 * A shared cache of answers by RFC 9111. The rules are in core/decision/stored-answer.ts. It is in memory and bounded
 * in bytes; the least recently used answer is evicted first. Against poisoning, the key consists of everything that the
 * gateway itself sends (route, method, host, canonical target, identity), `Vary` is respected, a GET with a body
 * bypasses the cache, and an answer that sets a cookie is never stored.
 */
import type { CounterChild, Host } from "#base";
import type { RequestHead } from "../core/request/head.ts";
import { headerList } from "../core/request/header-list.ts";
import type { AnswerHeaders } from "../core/request/header-list.ts";
import {
  cacheStatus,
  clientHas,
  forKeeping,
  forwardReason,
  headersNow,
  isFreshFor,
  isVariantOf,
  revalidation,
  withCacheStatus,
  type AskedHeaders,
  type ForwardReason,
} from "../core/decision/stored-answer.ts";
import type { CallPlan, CallSink } from "../upstream/call-plan.ts";
import { NO_TRANSFER, type Transfer } from "../upstream/transfer.ts";
import { Asking } from "./cache-asking.ts";
import {
  askedBy,
  changedBy,
  hasCondition,
  isCacheable,
  isUnsafe,
  cacheKeyOf,
  onlyIfCached,
  resourceOf,
} from "./cache-rules.ts";
import type { StartCall } from "./start-call.ts";
import { changedPlan, Relay } from "./relay.ts";
import type { CachedAnswer } from "./cache-entry.ts";
import type { Outcome } from "./cache-entry.ts";

/** Bytes of all stored bodies. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that an entry costs besides its body: headers and key. */
const ENTRY_OVERHEAD_BYTES = 4 * 1024;
/** Variants of one key. Beyond that the oldest is dropped: a header that always differs cannot be cached by. */
const VARIANTS_MAX = 8;
/**
 * Milliseconds that callers wait for the body of a request in progress, whose client may read slowly. After that each
 * caller sends its own request.
 */
const BODY_WAIT_MS = 1_000;

/** Changes that are remembered, so that an answer requested before a change is not stored after it. */
const CHANGES_MAX = 512;

const HIT = { outcome: "hit", status: cacheStatus() } as const;

export class ResponseCache {
  readonly #host: Host;
  readonly #bytesMax: number;
  readonly #entries = new Map<string, CachedAnswer[]>();
  /** The keys of stored answers, by resource. */
  readonly #keys = new Map<string, Set<string>>();
  /** The number of each resource's last change, oldest first. Changes are numbered from 1. */
  readonly #changes = new Map<string, number>();
  #changed = 0;
  /** The last change that was dropped from the list. */
  #forgotten = 0;
  /** A route with a cache was used. Until then changes need not be watched. */
  #used = false;
  /** Requests in progress, by key. Each resolves when it is known whether its answer was stored. */
  readonly #flights = new Map<string, Promise<void>>();
  readonly #outcomes: Record<Outcome, CounterChild>;
  #bytes = 0;

  constructor(host: Host, bytesMax = CACHE_BYTES_MAX) {
    this.#host = host;
    this.#bytesMax = bytesMax;
    const counter = host.metrics.counter({
      name: "posthouse_gateway_cache_total",
      help: "Requests to routes with a cache, by its result: hit, miss, revalidated, stale or bypass.",
      labelNames: ["result"],
    });
    const outcome = (name: Outcome) => counter.labels(name);
    this.#outcomes = {
      hit: outcome("hit"),
      miss: outcome("miss"),
      revalidated: outcome("revalidated"),
      stale: outcome("stale"),
      bypass: outcome("bypass"),
    };
  }

  get bytes(): number {
    return this.#bytes;
  }

  serve(plan: CallPlan, sink: CallSink, call: StartCall): Transfer {
    this.#used = true;
    const request = askedBy(plan);
    const key = request && cacheKeyOf(plan.forward);
    const known = request && this.#fresh(key as string, request);
    if (request && known) return this.answer(sink, known, HIT, { request, method: plan.method });
    if (onlyIfCached(plan)) {
      this.count("miss");
      sink.onFailure({
        error: "NOT_CACHED",
        detail: "The request has only-if-cached, and the cache holds no fresh answer.",
      });
      return NO_TRANSFER;
    }
    if (!request || key === undefined || plan.method === "HEAD") {
      this.#outcomes.bypass.inc();
      const reason =
        request && key !== undefined ? this.#reason(key, request) : isCacheable(plan.method) ? "bypass" : "method";
      return call(plan, this.watch(plan, new Passing(reason, sink)));
    }
    const flight = this.#flights.get(key);
    if (!flight) return this.#ask(key, request, plan, sink, call);
    return this.#wait(flight, () => {
      const kept = this.#fresh(key, request);
      return kept
        ? this.answer(sink, kept, HIT, { request, method: plan.method })
        : this.#ask(key, request, plan, sink, call);
    });
  }

  /** Calls `then` once the request in progress has its result. */
  #wait(flight: Promise<void>, then: () => Transfer): Transfer {
    let transfer: Transfer | undefined;
    let over = false;
    const go = () => {
      if (over) return;
      over = true;
      transfer = then();
    };
    void flight.then(go);
    return {
      resume: () => transfer?.resume(),
      abort: (late) => {
        over = true;
        transfer?.abort(late);
      },
    };
  }

  #fresh(key: string, request: AskedHeaders): CachedAnswer | undefined {
    const entry = this.#entries.get(key)?.find(({ head }) => isFreshFor(head, request, this.now().nowMs));
    if (entry) this.#touch(key);
    return entry;
  }

  #reason(key: string, request: AskedHeaders): ForwardReason {
    const heads = (this.#entries.get(key) ?? []).map(({ head }) => head);
    return forwardReason(heads, request, this.now().nowMs);
  }

  /** Sends the request to the service. Others with its key wait until its answer is stored, or known not to be. */
  #ask(key: string, request: AskedHeaders, plan: CallPlan, sink: CallSink, call: StartCall): Transfer {
    const landed = Promise.withResolvers<void>();
    const first = !this.#flights.has(key);
    if (first) this.#flights.set(key, landed.promise);
    const land = () => {
      if (first && this.#flights.get(key) === landed.promise) this.#flights.delete(key);
      landed.resolve();
    };
    const stale = this.#entries.get(key)?.find(({ head }) => isVariantOf(head, request));
    // A client's own conditions stay as they are: the answer to them is for the client.
    const more = stale && !hasCondition(request) ? revalidation(stale.head) : [];
    const asked =
      more.length === 0 ? plan : changedPlan(plan, {}, (one) => ({ ...one, headers: [...one.headers, ...more] }));
    const landLater = () => void this.#host.clock.after(BODY_WAIT_MS, land);
    const resource = resourceOf(plan.forward.request.head);
    const question = {
      key,
      resource,
      askedAt: this.#changed,
      request,
      reason: this.#reason(key, request),
      forward: plan.forward,
      stale,
      land,
      landLater,
    };
    const asking = new Asking(this, question, sink);
    return asking.over(call(asked, asking));
  }

  count(outcome: Outcome): void {
    this.#outcomes[outcome].inc();
  }

  /** The time on both clocks. */
  now(): { readonly nowMs: number; readonly wallMs: number } {
    return { nowMs: this.#host.clock.monotonic(), wallMs: this.#host.clock.now() };
  }

  /** Answers with a stored answer. `more`: fields for this client only. */
  answer(
    sink: CallSink,
    { head, body }: CachedAnswer,
    { outcome, status: said }: { readonly outcome: "hit" | "stale" | "revalidated"; readonly status: string },
    asked?: { readonly request: AskedHeaders; readonly method: string },
    more?: AnswerHeaders,
  ): Transfer {
    const { status } = head;
    this.count(outcome);
    const headers: AnswerHeaders = { ...headersNow(head, this.now().nowMs), ...more };
    headers["cache-status"] = withCacheStatus(headers, said);
    // The client already has this answer, so it receives a 304.
    if (asked && clientHas(head, asked.request)) {
      delete headers["content-length"];
      sink.onWhole(304, headerList(headers), undefined);
      return NO_TRANSFER;
    }
    headers["content-length"] = String(body.length);
    sink.onWhole(status, headerList(headers), asked?.method === "HEAD" ? undefined : body);
    return NO_TRANSFER;
  }

  keep(key: string, entry: CachedAnswer): void {
    const others = (this.#entries.get(key) ?? []).filter(({ head }) => !isVariantOf(head, entry.head.asked));
    this.#drop(key);
    this.#put(key, [{ ...entry, head: forKeeping(entry.head) }, ...others].slice(0, VARIANTS_MAX));
  }

  #put(key: string, kept: CachedAnswer[]): void {
    const [first] = kept;
    if (!first) return;
    this.#entries.set(key, kept);
    const keys = this.#keys.get(first.resource);
    if (keys) keys.add(key);
    else this.#keys.set(first.resource, new Set([key]));
    this.#bytes += kept.reduce((sum, one) => sum + sizeOf(one), 0);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(oldest);
    }
  }

  /** Replaces an entry, or removes it: its service extended its lifetime, or no longer allows storing it. */
  replace(key: string, before: CachedAnswer, after: CachedAnswer | undefined): void {
    const entries = this.#entries.get(key);
    if (!entries?.includes(before)) return;
    const others = entries.filter((entry) => entry !== before);
    this.#drop(key);
    if (!after) return this.#put(key, others);
    const unlike = others.filter(({ head }) => !isVariantOf(head, after.head.asked));
    this.#put(key, [{ ...after, head: forKeeping(after.head) }, ...unlike]);
  }

  #drop(key: string): void {
    for (const entry of this.#entries.get(key) ?? []) {
      this.#bytes -= sizeOf(entry);
      const keys = this.#keys.get(entry.resource);
      keys?.delete(key);
      if (keys?.size === 0) this.#keys.delete(entry.resource);
    }
    this.#entries.delete(key);
  }

  /** The sink for a call on any route: an unsafe request may change stored resources. */
  watch(plan: CallPlan, sink: CallSink): CallSink {
    return this.#used && isUnsafe(plan.method) ? new Changing(this, plan.forward.request.head, sink) : sink;
  }

  /** Drops the stored answers for a resource, and prevents storing those requested before now. */
  invalidate(resource: string): void {
    for (const key of this.#keys.get(resource) ?? []) this.#drop(key);
    this.#changes.delete(resource);
    this.#changes.set(resource, ++this.#changed);
    if (this.#changes.size <= CHANGES_MAX) return;
    const [[oldest, at] = ["", 0]] = this.#changes;
    this.#changes.delete(oldest);
    this.#forgotten = at;
  }

  changedSince(resource: string, at: number): boolean {
    return this.#forgotten > at || (this.#changes.get(resource) ?? 0) > at;
  }

  /** The last in the map is evicted last. */
  #touch(key: string): void {
    const entries = this.#entries.get(key);
    if (!entries) return;
    this.#entries.delete(key);
    this.#entries.set(key, entries);
  }
}

/** Adds to an answer why the cache was bypassed. */
class Passing extends Relay {
  readonly #said: readonly string[];

  constructor(reason: ForwardReason, to: CallSink) {
    super(to);
    this.#said = ["cache-status", cacheStatus(reason)];
  }

  override onHead(status: number, headers: readonly string[], more: boolean): void {
    super.onHead(status, [...headers, ...this.#said], more);
  }

  override onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    super.onWhole(status, [...headers, ...this.#said], body);
  }
}

/** Watches whether an unsafe request succeeded. The cache is updated before the client receives the answer. */
class Changing extends Relay {
  readonly #cache: ResponseCache;
  readonly #head: RequestHead;

  constructor(cache: ResponseCache, head: RequestHead, to: CallSink) {
    super(to);
    this.#cache = cache;
    this.#head = head;
  }

  override onHead(status: number, headers: readonly string[], more: boolean): void {
    this.#answered(status, headers);
    super.onHead(status, headers, more);
  }

  override onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.#answered(status, headers);
    super.onWhole(status, headers, body);
  }

  #answered(status: number, headers: readonly string[]): void {
    if (status < 200 || status >= 400) return;
    for (const resource of changedBy(this.#head, headers)) this.#cache.invalidate(resource);
  }
}

function sizeOf({ body }: CachedAnswer): number {
  return body.length + ENTRY_OVERHEAD_BYTES;
}
