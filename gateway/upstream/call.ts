/**
 * Carries one request to an upstream, with further tries where core/balancing/retry.ts allows them: after a failure,
 * after an answer with a status to retry, or beside a slow first try. A failure is reported as a row of the error
 * table, so that no error code of a library reaches a client.
 */
import type { Host } from "#base";
import type { GatewayErrorName } from "../api.ts";
import { pick } from "../core/balancing/balancer.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { firstHeaderValue } from "../core/request/header-list.ts";
import { refuseDead } from "../core/decision/pipeline.ts";
import {
  ATTEMPT_HEADER,
  backoffMs,
  chooseRetry,
  isRefusal,
  isRepeatable,
  RetryBudget,
  statusRetryMs,
  type RetryChoice,
} from "../core/balancing/retry.ts";
import { Attempt } from "./attempt.ts";
import type { UpstreamPools } from "./pools.ts";
import type { Transfer, UpstreamError } from "./transfer.ts";
import type { CallPlan, CallSink } from "./call-plan.ts";

export type RetryKind = Exclude<RetryChoice, "none"> | "status" | "hedge";

export class UpstreamCaller {
  readonly host: Host;
  readonly pools: UpstreamPools;
  readonly onRetry: (kind: RetryKind) => void;
  readonly onEjected: (endpoint: Endpoint) => void;
  readonly #workers: number;
  readonly #budgets = new Map<string, RetryBudget>();

  constructor(
    host: Host,
    pools: UpstreamPools,
    events: { onRetry: (kind: RetryKind) => void; onEjected: (endpoint: Endpoint) => void },
    /** Processes of this gateway. The fixed part of a budget is split among them. */
    workers = 1,
  ) {
    this.host = host;
    this.pools = pools;
    this.onRetry = events.onRetry;
    this.onEjected = events.onEjected;
    this.#workers = workers;
  }

  /** Never throws. May call `sink` before it returns. */
  start(plan: CallPlan, sink: CallSink): Transfer {
    const call = new UpstreamCall(this, plan, sink, this.#budgetOf(plan.forward.route.cluster.key));
    call.start();
    return call;
  }

  #budgetOf(cluster: string): RetryBudget {
    let budget = this.#budgets.get(cluster);
    if (!budget) this.#budgets.set(cluster, (budget = new RetryBudget(this.#workers)));
    return budget;
  }

  /** Forgets the budgets of clusters that are gone. */
  retain(clusters: ReadonlySet<string>): void {
    for (const key of this.#budgets.keys()) if (!clusters.has(key)) this.#budgets.delete(key);
  }
}

class UpstreamCall implements Transfer {
  readonly caller: UpstreamCaller;
  readonly plan: CallPlan;
  readonly sink: CallSink;
  readonly #budget: RetryBudget;
  #tried: Endpoint[] | undefined;
  /** Those of them that refused the connection. */
  #moves = 0;
  #refreshed = false;
  #number = 0;
  /** The try whose answer the client receives, or will receive. */
  #current: Attempt | undefined;
  /** A second try beside it. */
  #hedge: Attempt | undefined;
  #cancelWait: (() => void) | undefined;
  /** The client has received a head, so no further try is possible. */
  #begun = false;
  #over = false;

  constructor(caller: UpstreamCaller, plan: CallPlan, sink: CallSink, budget: RetryBudget) {
    this.caller = caller;
    this.plan = plan;
    this.sink = sink;
    this.#budget = budget;
  }

  start(): void {
    const { forward, method, body } = this.plan;
    const { hedgeMs } = forward.route.retry;
    this.#budget.deposit();
    if (hedgeMs !== undefined && isRepeatable({ method, hasBody: body !== undefined })) {
      this.#cancelWait = this.caller.host.clock.after(hedgeMs, () => this.#startHedge());
    }
    this.#try(forward.endpoint, false);
  }

  #try(endpoint: Endpoint, fresh: boolean): void {
    const attempt = new Attempt(this, endpoint, ++this.#number);
    this.#current = attempt;
    attempt.start(fresh);
  }

  /** Sends the request to a second endpoint while the first is silent. */
  #startHedge(): void {
    this.#cancelWait = undefined;
    const current = this.#current;
    if (!current || this.#begun || this.#over || !this.#mayAdd()) return;
    const other = this.#other([current.endpoint]);
    if (!other || !this.#withdraw()) return;
    this.caller.onRetry("hedge");
    const hedge = new Attempt(this, other, ++this.#number);
    this.#hedge = hedge;
    hedge.start(false);
  }

  resume(): void {
    this.#current?.resume();
  }

  abort(late = false): void {
    this.#over = true;
    this.#cancelWait?.();
    if (late) this.#current?.expire();
    this.#current?.drop();
    this.#hedge?.drop();
  }

  /** A head has arrived. False: it is not for the client, and another try follows. */
  accepts(attempt: Attempt, status: number, headers: readonly string[]): boolean {
    if (!this.#begun && this.#retriesStatus(attempt, status, headers)) return false;
    this.#begun = true;
    this.#cancelWait?.();
    this.#cancelWait = undefined;
    const loser = attempt === this.#hedge ? this.#current : this.#hedge;
    this.#current = attempt;
    this.#hedge = undefined;
    loser?.drop();
    this.sink.onEndpoint(attempt.endpoint, headers);
    return true;
  }

  #retriesStatus(attempt: Attempt, status: number, headers: readonly string[]): boolean {
    const { method, body, forward } = this.plan;
    const { retry: policy } = forward.route;
    if (policy.statuses.size === 0 || this.#hedge) return false;
    const { random, clock } = this.caller.host;
    const context = { method, hasBody: body !== undefined, retries: this.#retriesMade, policy };
    const waitMs = statusRetryMs(status, firstHeaderValue(headers, "retry-after"), {
      ...context,
      random: () => random.float(),
    });
    if (waitMs === undefined || !this.#mayAdd()) return false;
    const other = this.#other([...(this.#tried ?? []), attempt.endpoint]) ?? attempt.endpoint;
    if (!this.#withdraw()) return false;
    (this.#tried ??= []).push(attempt.endpoint);
    attempt.drop();
    this.caller.onRetry("status");
    this.#cancelWait?.();
    this.#cancelWait = clock.after(waitMs, () => this.#try(other, false));
    return true;
  }

  /** A try has failed. */
  failed(attempt: Attempt, error: UpstreamError): void {
    if (this.#over) return;
    if (!this.#begun && this.#hedge) {
      // The other try may still answer.
      if (attempt === this.#current) this.#current = this.#hedge;
      this.#hedge = undefined;
      return;
    }
    if (!this.#begun && this.#retries(attempt, error)) return;
    this.#over = true;
    this.#cancelWait?.();
    const { route, endpoints } = this.plan.forward;
    const { cluster, bodyBytesMax } = route;
    const refusal = isRefusal(error) ? refuseDead(route, endpoints, this.caller.host.clock.monotonic()) : undefined;
    this.sink.onFailure({
      error: error.error,
      detail: detailOf(error, { service: cluster.service, bodyBytesMax, begun: this.#begun || error.begun }),
      ...(refusal ? { refusal } : {}),
    });
  }

  get #retriesMade(): number {
    return (this.#tried?.length ?? 0) - this.#moves;
  }

  #retries(attempt: Attempt, error: UpstreamError): boolean {
    const { body, method, forward } = this.plan;
    const { route } = forward;
    const { host } = this.caller;
    const tried = (this.#tried ??= []);
    const choice = chooseRetry(error, {
      method,
      hasBody: body !== undefined,
      bodyStarted: body?.started ?? false,
      retries: this.#retriesMade,
      moves: this.#moves,
      policy: route.retry,
      refreshed: this.#refreshed,
    });
    if (choice === "none") return false;
    if (choice === "fresh") {
      this.#refreshed = true;
      this.caller.onRetry(choice);
      this.#try(attempt.endpoint, true);
      return true;
    }
    if (choice === "again" && !this.#mayAdd()) return false;
    const others = [...tried, attempt.endpoint];
    // If no other endpoint is left, the same one is tried again, as after a status. Not one that refused the
    // connection.
    const other = this.#other(others) ?? (choice === "again" ? attempt.endpoint : undefined);
    if (!other) return false;
    // If all others refuse connections, the client need not wait for each refusal.
    if (choice === "move" && other.load.avoidUntilMs > host.clock.monotonic()) return false;
    if (choice === "again" && !this.#withdraw()) return false;
    tried.push(attempt.endpoint);
    if (isRefusal(error)) this.#moves += 1;
    this.#refreshed = false;
    this.caller.onRetry(choice);
    if (choice === "move") this.#try(other, false);
    else {
      const waitMs = backoffMs(this.#retriesMade - 1, () => host.random.float());
      this.#cancelWait?.();
      this.#cancelWait = host.clock.after(waitMs, () => this.#try(other, false));
    }
    return true;
  }

  /**
   * Whether another try may be added that the upstream has to serve. Not when a gateway before this one retries
   * already.
   */
  #mayAdd(): boolean {
    const { forward } = this.plan;
    const { retriesMax } = forward.route.cluster.breaker;
    const { retrying, others } = forward.endpoint.load.cluster;
    if (retrying + others.retrying >= retriesMax) return false;
    return Number(forward.request.head.header(ATTEMPT_HEADER)[0] ?? 1) <= 1;
  }

  #withdraw(): boolean {
    return this.#budget.withdraw(this.caller.host.clock.monotonic());
  }

  #other(excluded: readonly Endpoint[]): Endpoint | undefined {
    const { clock, random } = this.caller.host;
    const { endpoints, route } = this.plan.forward;
    return pick(endpoints, () => random.float(), { ...route.cluster, nowMs: clock.monotonic(), excluded });
  }
}

/** The detail of a failure. `begun`: part of the answer has arrived, possibly all but the end of a long stream. */
function detailOf(
  { error, message }: UpstreamError,
  { service, bodyBytesMax, begun }: { service: string; bodyBytesMax: number; begun: boolean },
): string {
  const details: Partial<Record<GatewayErrorName, string>> = {
    UPSTREAM_TIMEOUT: begun
      ? `Service "${service}" stopped sending in the middle of its answer.`
      : `Service "${service}" did not answer in time.`,
    UPSTREAM_UNTRUSTED: `The certificate of service "${service}" is not trusted; give its cluster the CA and the name.`,
    UPSTREAM_BAD_ANSWER: `Service "${service}" sent an answer that is not valid HTTP.`,
    UPSTREAM_RESET: begun
      ? `Service "${service}" broke off its answer.`
      : `Service "${service}" closed the connection before it answered.`,
    BODY_TOO_LARGE: `The body is larger than the ${bodyBytesMax} bytes that this route allows.`,
    REQUEST_TIMEOUT: "The body of the request arrives too slowly.",
    REQUEST_INVALID: "The body of the request does not match its content type.",
    OVERLOADED: `Service "${service}" may not get another connection: ${message}.`,
    INTERNAL: "The request could not be sent.",
  };
  return details[error] ?? `The gateway cannot connect to service "${service}".`;
}
