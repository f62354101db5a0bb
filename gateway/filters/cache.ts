/**
 * A shared cache of answers by RFC 9111, whose rules http-cache-semantics knows. In memory, bounded in bytes, the
 * longest unused first out. What a poisoner would need is not there: the key is all that the gateway itself sends
 * (route, method, host, canonical target, identity), `Vary` is kept, a GET with a body passes by, and an answer that
 * sets a cookie is never kept.
 */
import { Readable, Transform } from "node:stream";
import CachePolicy from "http-cache-semantics";
import type { CounterChild, Host } from "#base";
import { downstreamHeaders, type AnswerHeaders } from "../core/headers.ts";
import type { Forward } from "../core/pipeline.ts";
import type { UpstreamAnswer, UpstreamCall, UpstreamFailure } from "../upstream/call.ts";
import { NO_SPAN } from "../upstream/no-span.ts";
import { hasCondition, hasIt, keyOf, mayKeep, requestOf, sameVariant, sameVary } from "./cache-rules.ts";

/** Bytes of all bodies kept. */
export const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that an entry costs beside its body: headers, policy, key. */
const ENTRY_OVERHEAD_BYTES = 4 * 1024;
/** Variants of one key; beyond, the oldest goes, for a header that always differs makes no cache. */
const VARIANTS_MAX = 8;
/** Milliseconds that callers wait for the body of the one who asks already, who may read slowly; then each asks for himself. */
const BODY_WAIT_MS = 1_000;

interface Entry {
  readonly policy: CachePolicy;
  readonly status: number;
  readonly body: Buffer;
}

type Run = (call: UpstreamCall) => Promise<UpstreamAnswer | UpstreamFailure>;
type Outcome = "hit" | "miss" | "revalidated" | "stale" | "bypass";

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

  async serve(call: UpstreamCall, run: Run): Promise<UpstreamAnswer | UpstreamFailure> {
    const { forward } = call;
    if (!forward.route.cache) return run(call);
    const request = requestOf(forward, call);
    if (!request) {
      this.#outcomes.bypass.inc();
      return run(call);
    }
    const key = keyOf(forward, call.method);
    const known = this.#fresh(key, request);
    if (known) return this.#hit(forward, known, "hit", request);
    const flight = this.#flights.get(key);
    if (!flight) return this.#ask(key, request, call, run);
    await unlessAborted(flight, call.signal);
    const kept = this.#fresh(key, request);
    return kept ? this.#hit(forward, kept, "hit", request) : this.#ask(key, request, call, run);
  }

  #fresh(key: string, request: CachePolicy.HttpRequest): Entry | undefined {
    const entry = this.#entries.get(key)?.find(({ policy }) => policy.satisfiesWithoutRevalidation(request));
    if (entry) this.#touch(key);
    return entry;
  }

  /** The only one who asks; the others of its key wait until it has an answer that can be kept, or none. */
  async #ask(key: string, request: CachePolicy.HttpRequest, call: UpstreamCall, run: Run) {
    const landed = Promise.withResolvers<void>();
    const first = !this.#flights.has(key);
    if (first) this.#flights.set(key, landed.promise);
    const land = () => {
      if (first) this.#flights.delete(key);
      landed.resolve();
    };
    const stale = this.#entries.get(key)?.find(({ policy }) => sameVary(policy, request));
    const answer = await run(stale ? conditional(call, stale.policy, request) : call);
    return this.#settle(key, request, call, { answer, stale, land });
  }

  #settle(
    key: string,
    request: CachePolicy.HttpRequest,
    call: UpstreamCall,
    { answer, stale, land }: { answer: UpstreamAnswer | UpstreamFailure; stale: Entry | undefined; land: () => void },
  ): UpstreamAnswer | UpstreamFailure {
    const { forward } = call;
    const failed = !answer.ok || answer.status >= 500;
    if (stale && failed && this.#mayBeStale(stale, forward)) {
      if (answer.ok) discard(answer);
      land();
      return this.#hit(forward, stale, "stale");
    }
    if (!answer.ok) {
      land();
      return answer;
    }
    const response = { status: answer.status, headers: cacheHeaders(answer.headers) };
    // A 304 to a client's own condition is the client's.
    if (stale && answer.status === 304 && !hasCondition(request)) {
      const { policy } = stale.policy.revalidatedPolicy(request, response);
      const renewed: Entry = { ...stale, policy };
      this.#replace(key, stale, renewed);
      discard(answer);
      land();
      return this.#hit(forward, renewed, "revalidated");
    }
    this.#outcomes.miss.inc();
    const policy = new CachePolicy(request, response, { shared: true });
    if (!mayKeep(policy, request, answer)) {
      land();
      return marked(answer, "posthouse; fwd=miss");
    }
    return this.#keeping(key, { policy, answer, bytesMax: forward.route.cache?.entryBytesMax ?? 0, land });
  }

  /** The answer as it passes, kept once it has passed whole. */
  #keeping(
    key: string,
    {
      policy,
      answer,
      bytesMax,
      land,
    }: { policy: CachePolicy; answer: UpstreamAnswer; bytesMax: number; land: () => void },
  ): UpstreamAnswer {
    this.#host.clock.after(BODY_WAIT_MS, land);
    let chunks: Buffer[] | undefined = [];
    let bytes = 0;
    const tee = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        bytes += chunk.length;
        if (bytes > bytesMax) {
          chunks = undefined;
          land();
        }
        chunks?.push(chunk);
        done(null, chunk);
      },
      flush: (done) => {
        const length = answer.headers["content-length"];
        if (chunks && (length === undefined || Number(length) === bytes)) {
          this.#store(key, { policy, status: answer.status, body: Buffer.concat(chunks) });
        }
        land();
        done();
      },
    });
    answer.stream.on("error", (error: Error) => tee.destroy(error));
    tee.on("close", () => {
      land();
      if (!answer.stream.readableEnded) answer.stream.destroy();
    });
    return marked({ ...answer, stream: answer.stream.pipe(tee) }, "posthouse; fwd=miss; stored");
  }

  /** @see RFC 5861 §4; what must be revalidated is never served without. */
  #mayBeStale({ policy }: Entry, { route }: Forward): boolean {
    const control = String(policy.responseHeaders()["cache-control"] ?? "");
    if (/\b(must-revalidate|proxy-revalidate|s-maxage|no-cache)\b/i.test(control)) return false;
    const said = /\bstale-if-error=(\d+)/i.exec(control)?.[1];
    const seconds = said === undefined ? (route.cache?.staleIfErrorSeconds ?? 0) : Number(said);
    return policy.age() <= policy.maxAge() + seconds;
  }

  #hit(
    forward: Forward,
    { policy, status, body }: Entry,
    outcome: "hit" | "stale" | "revalidated",
    request?: CachePolicy.HttpRequest,
  ): UpstreamAnswer {
    this.#outcomes[outcome].inc();
    const headers: AnswerHeaders = policy.responseHeaders();
    headers["cache-status"] =
      outcome === "hit" ? "posthouse; hit" : `posthouse; hit; fwd=stale${outcome === "stale" ? "; detail=error" : ""}`;
    // The client has this very answer: it is told so, and not sent it again.
    if (request && hasIt(request, headers)) {
      delete headers["content-length"];
      return cached(forward, 304, headers, Buffer.alloc(0));
    }
    headers["content-length"] = String(body.length);
    return cached(forward, status, headers, body);
  }

  #store(key: string, entry: Entry): void {
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

  #replace(key: string, before: Entry, after: Entry): void {
    const entries = this.#entries.get(key);
    if (entries)
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

function cached({ endpoint }: Forward, status: number, headers: AnswerHeaders, body: Buffer): UpstreamAnswer {
  const stream = Readable.from(body.length === 0 ? [] : [body], { objectMode: false });
  return { ok: true, status, headers, stream, endpoint, span: NO_SPAN, release() {} };
}

/** Waits for a promise, but not longer than anybody is interested. */
function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve(), { once: true });
  return Promise.race([promise, aborted]);
}

function sizeOf({ body }: Entry): number {
  return body.length + ENTRY_OVERHEAD_BYTES;
}

/** Asks only for what is new. A client's own conditions are left alone, for the answer to them is the client's. */
function conditional(call: UpstreamCall, policy: CachePolicy, request: CachePolicy.HttpRequest): UpstreamCall {
  if (hasCondition(request)) return call;
  const asked = policy.revalidationHeaders(request);
  const more = (["if-none-match", "if-modified-since"] as const).flatMap((name) =>
    typeof asked[name] === "string" ? [name, asked[name]] : [],
  );
  return more.length === 0
    ? call
    : { ...call, headers: (endpoint, span) => [...call.headers(endpoint, span), ...more] };
}

function cacheHeaders(headers: AnswerHeaders): Record<string, string | string[]> {
  return downstreamHeaders(headers);
}

function discard(answer: UpstreamAnswer): void {
  answer.stream.on("error", () => {}).resume();
  answer.span.end();
  answer.release();
}

function marked(answer: UpstreamAnswer, status: string): UpstreamAnswer {
  return { ...answer, headers: { ...answer.headers, "cache-status": status } };
}
