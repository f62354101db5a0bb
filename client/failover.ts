/**
 * Several members of the control plane as one transport. When a member does not answer or its data is old, watches and repeatable
 * calls move to a better one at once, other calls only when nothing was sent. Members that are not good are probed in the
 * background. `core/members.ts` judges them; this file carries that out.
 */
import { AppError, deadline, type Clock } from "#base";
import { ageIn, DATA_AGE_HEADER } from "#http/frames";
import { hasBetter, isProbeDue, judge, order, PROBE_MS, UNKNOWN_MEMBER, type MemberFact } from "./core/members.ts";
import { ClientErrors } from "./errors.ts";
import type { TransportResponse } from "./carry.ts";
import type { Transport, TransportRequest } from "./transport.ts";

/** Milliseconds between looks at members that owe an answer or are not good. */
const LOOK_MS = 250;

/** One member, with the transport that reaches only it. */
export interface MemberTransport {
  /** Shown in messages. */
  readonly name: string;
  readonly transport: Transport;
}

/** A call or a watch under way at a member. */
interface OpenCall {
  readonly sinceMs: number;
  /** Whether the member owes a byte: the begin of its answer, or the next heartbeat. */
  owes: boolean;
  readonly isWatch: boolean;
  /** Ends it, so that it continues at another member; absent when it may not be repeated. */
  readonly leave: ((why: string) => void) | undefined;
}

export class FailoverTransport implements Transport {
  readonly #clock: Clock;
  readonly #ways: readonly MemberTransport[];
  readonly #records = [] as ReturnType<typeof judge>[];
  readonly #open: Set<OpenCall>[];
  readonly #probes = new AbortController();
  #preferred = 0;
  #looking = false;

  constructor(clock: Clock, ways: readonly MemberTransport[], preferred = 0) {
    this.#clock = clock;
    this.#ways = ways;
    this.#preferred = preferred % ways.length;
    this.#records = ways.map(() => UNKNOWN_MEMBER);
    this.#open = ways.map(() => new Set());
  }

  async request(request: TransportRequest): Promise<TransportResponse> {
    const [only] = this.#ways;
    if (this.#ways.length === 1 && only) return only.transport.request(request);
    const tried: string[] = [];
    let failure: unknown;
    for (const index of order(this.#records, this.#preferred)) {
      request.signal.throwIfAborted();
      const way = this.#ways[index] as MemberTransport;
      tried.push(way.name);
      try {
        const answer = await this.#attempt(index, way, request);
        this.#preferred = index;
        return answer;
      } catch (error) {
        request.signal.throwIfAborted();
        failure = error;
        if (!isRepeatable(request) && !isUnsent(error)) break;
      }
    }
    // The one error that names what to change.
    if (tried.length === 1 || ClientErrors.UNTRUSTED.is(failure)) throw failure;
    throw ClientErrors.UNREACHABLE(
      `No answer from ${tried.join(" or ")}. The last error was: ${failure instanceof Error ? failure.message : String(failure)}`,
      { cause: failure },
    );
  }

  /** One call to one member. It ends with CLIENT_UNREACHABLE when a better member is found meanwhile. */
  async #attempt(index: number, { transport }: MemberTransport, request: TransportRequest): Promise<TransportResponse> {
    const left = new AbortController();
    const isWatch = request.headers?.["accept"] === "text/event-stream";
    const open: OpenCall = {
      sinceMs: this.#clock.monotonic(),
      owes: true,
      isWatch,
      leave: isRepeatable(request) ? (why) => left.abort(ClientErrors.UNREACHABLE(why)) : undefined,
    };
    const opens = this.#open[index] as Set<OpenCall>;
    opens.add(open);
    this.#look();
    const over = () => void opens.delete(open);
    let answer: TransportResponse;
    try {
      answer = await transport.request({ ...request, signal: AbortSignal.any([request.signal, left.signal]) });
    } catch (error) {
      over();
      request.signal.throwIfAborted();
      if (!left.signal.aborted) this.#note(index, { type: "unanswered" });
      throw error;
    }
    open.owes = isWatch;
    this.#note(index, ageFactOf(answer));
    return {
      status: answer.status,
      header: (name) => answer.header(name),
      headers: () => answer.headers(),
      text: async () => {
        try {
          return await answer.text();
        } finally {
          over();
        }
      },
      stream: () => this.#read(index, answer, { isWatch, over }),
    };
  }

  async *#read(
    index: number,
    answer: TransportResponse,
    { isWatch, over }: { isWatch: boolean; over: () => void },
  ): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of answer.stream()) {
        const ageMs = isWatch ? ageIn(chunk) : undefined;
        this.#note(index, ageMs === undefined ? { type: "heard" } : { type: "age", ageMs });
        yield chunk;
      }
    } finally {
      over();
    }
  }

  #note(index: number, fact: MemberFact): void {
    const before = this.#records[index] ?? UNKNOWN_MEMBER;
    const record = judge(before, fact, this.#clock.monotonic());
    this.#records[index] = record;
    if (record.standing !== "good") this.#look();
    if (record.standing !== before.standing) this.#leaveWorse();
  }

  /** Ends the calls that may continue elsewhere, at each member with a better one. */
  #leaveWorse(): void {
    for (const [index, opens] of this.#open.entries()) {
      if (!hasBetter(this.#records, index)) continue;
      const why = `${this.#ways[index]?.name} is ${this.#records[index]?.standing}; the call moves to another member.`;
      for (const open of opens) open.leave?.(why);
    }
  }

  /** Looks at the members repeatedly, for as long as a call is under way or a member is not good. */
  #look(): void {
    if (this.#looking || this.#probes.signal.aborted) return;
    this.#looking = true;
    this.#clock.after(LOOK_MS, () => {
      this.#looking = false;
      const nowMs = this.#clock.monotonic();
      let again = false;
      for (const [index, record] of this.#records.entries()) {
        const owing = [...(this.#open[index] ?? [])].filter(({ owes }) => owes).map(({ sinceMs }) => sinceMs);
        again ||= owing.length > 0 || record.standing !== "good";
        const owesSinceMs = owing.length === 0 ? undefined : Math.min(...owing);
        if (isProbeDue(record, owesSinceMs, nowMs)) void this.#probe(index, nowMs);
      }
      if (again) this.#look();
    });
  }

  async #probe(index: number, nowMs: number): Promise<void> {
    const record = this.#records[index] ?? UNKNOWN_MEMBER;
    this.#records[index] = { ...record, probedMs: nowMs };
    using late = deadline(this.#clock, PROBE_MS);
    const signal = AbortSignal.any([late.signal, this.#probes.signal]);
    try {
      const answer = await this.#ways[index]?.transport.request({
        method: "GET",
        path: "/livez",
        isProbe: true,
        signal,
      });
      await answer?.text();
      if (answer) this.#note(index, ageFactOf(answer));
    } catch {
      if (!this.#probes.signal.aborted) this.#note(index, { type: "unanswered" });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#probes.abort(new Error("closed"));
    await Promise.all(this.#ways.map(({ transport }) => transport[Symbol.asyncDispose]()));
  }
}

/** Whether a repetition changes nothing: true for reads, and for calls that their caller marks. */
function isRepeatable({ method, repeatable = method === "GET" || method === "HEAD" }: TransportRequest): boolean {
  return repeatable;
}

/** Whether nothing was sent, so that nothing can have happened. */
function isUnsent(error: unknown): boolean {
  if (!(error instanceof AppError)) return false;
  const cause = error.cause as { code?: unknown; isUnsent?: boolean } | undefined;
  const code = cause?.code;
  return (
    ClientErrors.UNTRUSTED.is(error) ||
    cause?.isUnsent === true ||
    code === "ECONNREFUSED" ||
    code === "UND_ERR_CONNECT_TIMEOUT"
  );
}

function ageFactOf(answer: TransportResponse): MemberFact {
  const age = answer.header(DATA_AGE_HEADER);
  return { type: "age", ageMs: age !== undefined && /^\d{1,16}$/.test(age) ? Number(age) : undefined };
}
