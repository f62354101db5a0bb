/**
 * A shared cache of answers by RFC 9111, whose rules http-cache-semantics knows. In memory, bounded in bytes, the
 * longest unused first out. What a poisoner would need is not there: the key is all that the gateway itself sends
 * (route, method, host, canonical target, identity), `Vary` is kept, a GET with a body passes by, and an answer that
 * sets a cookie is never kept.
 */
import type CachePolicy from "http-cache-semantics";
import type { CounterChild, Host } from "#base";
import { headerList, type AnswerHeaders } from "../core/headers.ts";
import type { CallPlan, CallSink } from "../upstream/call.ts";
import { NO_TRANSFER, type Transfer } from "../upstream/transfer.ts";
import { Asking } from "./cache-asking.ts";
import { conditions, hasIt, keyOf, requestOf, sameVariant, sameVary } from "./cache-rules.ts";
import type { StartCall } from "./chain.ts";
import { changedPlan } from "./relay.ts";

/** Bytes of all bodies kept. */
export const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that an entry costs beside its body: headers, policy, key. */
const ENTRY_OVERHEAD_BYTES = 4 * 1024;
/** Variants of one key; beyond, the oldest goes, for a header that always differs makes no cache. */
const VARIANTS_MAX = 8;
/**
 * Milliseconds that callers wait for the body of the one who asks already, who may read slowly; then each asks for
 * himself.
 */
const BODY_WAIT_MS = 1_000;

export interface Entry {
  readonly policy: CachePolicy;
  readonly status: number;
  readonly body: Buffer;
}

export type Outcome = "hit" | "miss" | "revalidated" | "stale" | "bypass";

export class ResponseCache {
  readonly #host: Host;
  readonly #bytesMax: number;
  readonly #entries = new Map<string, Entry[]>();
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
    const request = requestOf(plan);
    if (!request) {
      this.#outcomes.bypass.inc();
      return call(plan, sink);
    }
    const key = keyOf(plan.forward, plan.method);
    const known = this.#fresh(key, request);
    if (known) return this.answer(sink, known, "hit", request);
    const flight = this.#flights.get(key);
    if (!flight) return this.#ask(key, request, plan, sink, call);
    return this.#wait(flight, () => {
      const kept = this.#fresh(key, request);
      return kept ? this.answer(sink, kept, "hit", request) : this.#ask(key, request, plan, sink, call);
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
      abort: () => {
        over = true;
        transfer?.abort();
      },
    };
  }

  #fresh(key: string, request: CachePolicy.HttpRequest): Entry | undefined {
    const entry = this.#entries.get(key)?.find(({ policy }) => policy.satisfiesWithoutRevalidation(request));
    if (entry) this.#touch(key);
    return entry;
  }

  /** The only one who asks; the others of its key wait until it has an answer that can be kept, or none. */
  #ask(key: string, request: CachePolicy.HttpRequest, plan: CallPlan, sink: CallSink, call: StartCall): Transfer {
    const landed = Promise.withResolvers<void>();
    const first = !this.#flights.has(key);
    if (first) this.#flights.set(key, landed.promise);
    const land = () => {
      if (first && this.#flights.get(key) === landed.promise) this.#flights.delete(key);
      landed.resolve();
    };
    const stale = this.#entries.get(key)?.find(({ policy }) => sameVary(policy, request));
    const more = stale ? conditions(stale.policy, request) : [];
    const asked =
      more.length === 0 ? plan : changedPlan(plan, {}, (one) => ({ ...one, headers: [...one.headers, ...more] }));
    const landLater = () => void this.#host.clock.after(BODY_WAIT_MS, land);
    const asking = new Asking(this, { key, request, forward: plan.forward, stale, land, landLater }, sink);
    return asking.over(call(asked, asking));
  }

  count(outcome: Outcome): void {
    this.#outcomes[outcome].inc();
  }

  /** Answers from what is kept. */
  answer(
    sink: CallSink,
    { policy, status, body }: Entry,
    outcome: "hit" | "stale" | "revalidated",
    request?: CachePolicy.HttpRequest,
  ): Transfer {
    this.count(outcome);
    const headers: AnswerHeaders = policy.responseHeaders();
    headers["cache-status"] =
      outcome === "hit" ? "posthouse; hit" : `posthouse; hit; fwd=stale${outcome === "stale" ? "; detail=error" : ""}`;
    // The client has this very answer: it is told so, and not sent it again.
    if (request && hasIt(request, headers)) {
      delete headers["content-length"];
      sink.onWhole(304, headerList(headers), undefined);
      return NO_TRANSFER;
    }
    headers["content-length"] = String(body.length);
    sink.onWhole(status, headerList(headers), body);
    return NO_TRANSFER;
  }

  keep(key: string, entry: Entry): void {
    const others = (this.#entries.get(key) ?? []).filter(({ policy }) => !sameVariant(policy, entry.policy));
    this.#drop(key);
    const kept = [entry, ...others].slice(0, VARIANTS_MAX);
    this.#entries.set(key, kept);
    this.#bytes += kept.reduce((sum, one) => sum + sizeOf(one), 0);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(oldest);
    }
  }

  /** The same answer, found to be good for longer. */
  renew(key: string, before: Entry, after: Entry): void {
    const entries = this.#entries.get(key);
    if (!entries) return;
    this.#entries.set(
      key,
      entries.map((entry) => (entry === before ? after : entry)),
    );
  }

  #drop(key: string): void {
    for (const entry of this.#entries.get(key) ?? []) this.#bytes -= sizeOf(entry);
    this.#entries.delete(key);
  }

  /** Last in the map is last to go. */
  #touch(key: string): void {
    const entries = this.#entries.get(key);
    if (!entries) return;
    this.#entries.delete(key);
    this.#entries.set(key, entries);
  }
}

function sizeOf({ body }: Entry): number {
  return body.length + ENTRY_OVERHEAD_BYTES;
}
