/**
 * A shared cache of answers by RFC 9111, whose rules are in core/decision/stored-answer.ts. In memory, bounded in bytes, the
 * longest unused first out. What a poisoner would need is not there: the key is all that the gateway itself sends
 * (route, method, host, canonical target, identity), `Vary` is kept, a GET with a body passes by, and an answer that
 * sets a cookie is never kept.
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

/** Bytes of all bodies kept. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that an entry costs beside its body: headers, key. */
const ENTRY_OVERHEAD_BYTES = 4 * 1024;
/** Variants of one key; beyond, the oldest goes, for a header that always differs makes no cache. */
const VARIANTS_MAX = 8;
/**
 * Milliseconds that callers wait for the body of the one who asks already, who may read slowly; then each asks for
 * himself.
 */
const BODY_WAIT_MS = 1_000;

/** Changes that are remembered, so that an answer on its way from before them is not kept. */
const CHANGES_MAX = 512;

const HIT = { outcome: "hit", status: cacheStatus() } as const;

export class ResponseCache {
  readonly #host: Host;
  readonly #bytesMax: number;
  readonly #entries = new Map<string, CachedAnswer[]>();
  /** The keys of what is kept, by what it tells of. */
  readonly #keys = new Map<string, Set<string>>();
  /** When a resource changed, in the order of that; numbered from 1. */
  readonly #changes = new Map<string, number>();
  #changed = 0;
  /** The last change that is no longer remembered. */
  #forgotten = 0;
  /** A route has a cache; until then nobody need look at changes. */
  #used = false;
  /** Who is asked for already; resolves when it is known whether the answer was kept. */
  readonly #flights = new Map<string, Promise<void>>();
  readonly #outcomes: Record<Outcome, CounterChild>;
  #bytes = 0;

  constructor(host: Host, bytesMax = CACHE_BYTES_MAX) {
    this.#host = host;
    this.#bytesMax = bytesMax;
    const counter = host.metrics.counter({
      name: "posthouse_gateway_cache_total",
      help: "Requests to routes with a cache, by what it had for them.",
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
      sink.onFailure({ error: "NOT_CACHED", detail: "Nothing fresh is kept, and only that was asked for." });
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

  /** `then` has its turn once the flight has landed. */
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

  /** The only one who asks; the others of its key wait until it has an answer that can be kept, or none. */
  #ask(key: string, request: AskedHeaders, plan: CallPlan, sink: CallSink, call: StartCall): Transfer {
    const landed = Promise.withResolvers<void>();
    const first = !this.#flights.has(key);
    if (first) this.#flights.set(key, landed.promise);
    const land = () => {
      if (first && this.#flights.get(key) === landed.promise) this.#flights.delete(key);
      landed.resolve();
    };
    const stale = this.#entries.get(key)?.find(({ head }) => isVariantOf(head, request));
    // A client's own conditions are left alone, for the answer to them is the client's.
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

  /** By both clocks. */
  now(): { readonly nowMs: number; readonly wallMs: number } {
    return { nowMs: this.#host.clock.monotonic(), wallMs: this.#host.clock.now() };
  }

  /** Answers from what is kept. `more`: fields for this client alone. */
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
    // The client has this very answer: it is told so, and not sent it again.
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

  /** An entry's place is another's, or nobody's: its service said that it is good for longer, or no longer to be kept. */
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

  /** What listens to a call in the place of `sink`, by whatever route: it may change what is kept. */
  watch(plan: CallPlan, sink: CallSink): CallSink {
    return this.#used && isUnsafe(plan.method) ? new Changing(this, plan.forward.request.head, sink) : sink;
  }

  /** What was kept of it is gone, and what is on its way is not kept. */
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

  /** Last in the map is last to go. */
  #touch(key: string): void {
    const entries = this.#entries.get(key);
    if (!entries) return;
    this.#entries.delete(key);
    this.#entries.set(key, entries);
  }
}

/** Says in an answer that the cache has no part in why that is so. */
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

/** Hears whether an unsafe request did what it was to do; the client hears of it after the cache. */
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
