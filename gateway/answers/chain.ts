/**
 * The steps between a decision and the upstream. On the way up: body filters, the cache, mirrors. On the way down: the
 * cookie of a sticky session, changes by filters and the route, and compression. Lanes call `start` in place of the
 * upstream. A route that uses no step calls the upstream directly.
 */
import type { Log } from "#base";
import { BODY_VERDICTS, verdictOf, type CompiledFilter } from "../core/request/filter.ts";
import { refuse, type StickyCookies } from "../core/decision/pipeline.ts";
import type { CallFailure, CallPlan, CallSink } from "../upstream/call-plan.ts";
import { NO_TRANSFER, type Transfer } from "../upstream/transfer.ts";
import { AnswerChanges, changesAnswer } from "./answer-changes.ts";
import { BodyBudget, bufferedBody, Gathering, type NotGathered } from "./buffered-body.ts";
import type { ResponseCache } from "./cache.ts";
import { compressedTargets, Compressing } from "./compress.ts";
import type { Mirrors } from "./mirrors.ts";
import { changedPlan, filterFailed } from "./relay.ts";
import type { StartCall } from "./start-call.ts";

export interface ChainParts {
  readonly log: Log;
  readonly call: StartCall;
  readonly cache: ResponseCache;
  readonly mirrors: Mirrors;
  readonly sticky: StickyCookies;
}

/** Bytes collected of one request's body, whatever limit its filters have. */
const BUFFERED_BYTES_MAX = 8 * 1024 * 1024;

interface BodyFilter {
  readonly name: string;
  readonly body: NonNullable<CompiledFilter["built"]["body"]>;
}
const NO_BODY_FILTERS: readonly BodyFilter[] = [];
const NO_BYTES = Buffer.alloc(0);

export class Chain {
  readonly #parts: ChainParts;
  readonly #budget = new BodyBudget();
  readonly #compressed = compressedTargets();

  constructor(parts: ChainParts) {
    this.#parts = parts;
  }

  /** Never throws. May call `sink` before it returns. */
  start(plan: CallPlan, sink: CallSink): Transfer {
    const { forward } = plan;
    const { compress } = forward.route;
    const compressing = compress && new Compressing(plan, { compress, targets: this.#compressed }, sink);
    const next = compressing ?? sink;
    const to = changesAnswer(forward) ? new AnswerChanges(forward, this.#parts, next) : next;
    const filters = forward.filters.length === 0 ? NO_BODY_FILTERS : forward.filters.flatMap(bodyFilter);
    const transfer = filters.length === 0 ? this.#send(plan, to) : this.#check(plan, filters, to);
    return compressing ? compressing.over(transfer) : transfer;
  }

  #send(plan: CallPlan, sink: CallSink): Transfer {
    const { cache } = this.#parts;
    if (plan.forward.route.cache) return cache.serve(plan, sink, this.#call);
    return this.#call(plan, cache.watch(plan, sink));
  }

  readonly #call: StartCall = (plan, sink) => {
    if (plan.forward.mirrors.length > 0) this.#parts.mirrors.beside(plan);
    return this.#parts.call(plan, sink);
  };

  /** Sends the request on once its filters have checked the body. */
  #check(plan: CallPlan, filters: readonly BodyFilter[], sink: CallSink): Transfer {
    const { route } = plan.forward;
    if (!plan.body) {
      const failure = this.#refused(plan, filters, NO_BYTES);
      if (!failure) return this.#send(plan, sink);
      sink.onFailure(failure);
      return NO_TRANSFER;
    }
    const bytesMax = Math.min(BUFFERED_BYTES_MAX, route.bodyBytesMax, ...filters.map(({ body }) => body.bytesMax));
    return new Gathering(
      plan.body,
      { bytesMax, budget: this.#budget },
      (gathered) => {
        const failure = this.#refused(plan, filters, gathered.bytes);
        if (failure) {
          sink.onFailure(failure);
          return NO_TRANSFER;
        }
        const body = bufferedBody(gathered);
        return this.#send(
          changedPlan(plan, { body }, (request) => ({ ...request, body })),
          sink,
        );
      },
      (reason) => sink.onFailure(cutFailure(reason, bytesMax)),
    );
  }

  #refused(plan: CallPlan, filters: readonly BodyFilter[], bytes: Buffer): CallFailure | undefined {
    try {
      return refusedBody(plan, filters, bytes);
    } catch (error) {
      return filterFailed(this.#parts.log, plan.forward.route.name, error);
    }
  }
}

function bodyFilter({ name, built }: CompiledFilter): BodyFilter | readonly [] {
  return built.body ? { name, body: built.body } : [];
}

/** The refusal of the first filter that rejects the body. */
function refusedBody({ forward }: CallPlan, filters: readonly BodyFilter[], bytes: Buffer): CallFailure | undefined {
  for (const { name, body } of filters) {
    const refusal = verdictOf(name, body.check(bytes, forward.request), BODY_VERDICTS);
    if (!refusal) continue;
    const { error, detail, headers = [], status } = refusal;
    const options = { route: forward.route, headers, ...(status === undefined ? {} : { status }) };
    return { error, detail, refusal: refuse(error, detail, options) };
  }
  return undefined;
}

function cutFailure(reason: NotGathered, bytesMax: number): CallFailure {
  const failures: Readonly<Record<NotGathered, CallFailure>> = {
    size: {
      error: "BODY_TOO_LARGE",
      detail: `The body is larger than the ${bytesMax} bytes that the filters of this route check.`,
    },
    slow: { error: "REQUEST_TIMEOUT", detail: "The body of the request arrives too slowly." },
    content: { error: "REQUEST_INVALID", detail: "The body of the request does not match its content type." },
    many: { error: "OVERLOADED", detail: "The gateway has no memory left for request bodies. Try again later." },
    client: { error: "CLIENT_CLOSED", detail: "The client disconnected while it sent its body." },
  };
  return failures[reason];
}
