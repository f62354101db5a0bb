/**
 * One request's way to an upstream and, where core/retry.ts allows, a second one. A failure comes out as a row of the
 * error table, so that no code of a library ever reaches a client.
 */
import type { Host, Span } from "#base";
import type { GatewayErrorName } from "../api.ts";
import { pick } from "../core/balancer.ts";
import { noteAnswered, noteRefused, type Endpoint } from "../core/endpoints.ts";
import type { Forward, Refuse } from "../core/pipeline.ts";
import { chooseRetry, RetryBudget, type RetryChoice } from "../core/retry.ts";
import type { Duplex } from "node:stream";
import type { RequestBody } from "./body.ts";
import type { UpstreamPools } from "./pools.ts";
import { UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";

/** What a lane gives for a call, and hears of it beside the answer. */
export interface CallPlan {
  readonly forward: Forward;
  readonly method: string;
  readonly body: RequestBody | undefined;
  /** Asked for once per try, since host, trace and time left differ. */
  request(endpoint: Endpoint, span: Span | undefined): OutgoingRequest;
  /** Opens the span of one try; undefined: nobody reads it. */
  startSpan(endpoint: Endpoint): Span | undefined;
}

export interface CallFailure {
  readonly error: GatewayErrorName;
  readonly detail: string;
  /** In the place of one made of the row, when a filter refused with words of its own. */
  readonly refusal?: Refuse;
}

export interface CallSink extends Omit<AnswerSink, "onError"> {
  /** Who answers, which after a retry is another than was chosen; before its head. */
  onEndpoint(endpoint: Endpoint): void;
  /** There will be no whole answer, and no further try. */
  onFailure(failure: CallFailure): void;
}

export class UpstreamCaller {
  readonly host: Host;
  readonly pools: UpstreamPools;
  readonly onRetry: (choice: RetryChoice) => void;
  readonly #budgets = new Map<string, RetryBudget>();

  constructor(host: Host, pools: UpstreamPools, onRetry: (choice: RetryChoice) => void) {
    this.host = host;
    this.pools = pools;
    this.onRetry = onRetry;
  }

  /** Never throws; `sink` may hear of it before this returns. */
  start(plan: CallPlan, sink: CallSink): Transfer {
    const call = new UpstreamCall(this, plan, sink, this.#budgetOf(plan.forward.route.cluster.key));
    call.start();
    return call;
  }

  #budgetOf(cluster: string): RetryBudget {
    let budget = this.#budgets.get(cluster);
    if (!budget) this.#budgets.set(cluster, (budget = new RetryBudget()));
    return budget;
  }

  /** Forgets the budgets of clusters that are gone. */
  retain(clusters: ReadonlySet<string>): void {
    for (const key of this.#budgets.keys()) if (!clusters.has(key)) this.#budgets.delete(key);
  }
}

class UpstreamCall implements AnswerSink, Transfer {
  readonly #caller: UpstreamCaller;
  readonly #plan: CallPlan;
  readonly #sink: CallSink;
  readonly #budget: RetryBudget;
  #endpoint: Endpoint;
  #tried: Endpoint[] | undefined;
  #refreshed = false;
  #attempt = 0;
  #transfer: Transfer | undefined;
  #span: Span | undefined;
  #cancelTry: (() => void) | undefined;
  /** In flight to the endpoint. */
  #held = false;
  /** The client has seen a head, so there is no second try. */
  #begun = false;

  constructor(caller: UpstreamCaller, plan: CallPlan, sink: CallSink, budget: RetryBudget) {
    this.#caller = caller;
    this.#plan = plan;
    this.#sink = sink;
    this.#budget = budget;
    this.#endpoint = plan.forward.endpoint;
  }

  start(): void {
    this.#budget.deposit();
    this.#try(false);
  }

  #try(fresh: boolean): void {
    const endpoint = this.#endpoint;
    const attempt = ++this.#attempt;
    this.#span = this.#plan.startSpan(endpoint);
    endpoint.load.inFlight += 1;
    this.#held = true;
    const { perTryMs } = this.#plan.forward.route;
    if (perTryMs !== undefined) this.#cancelTry = this.#caller.host.clock.after(perTryMs, () => this.#late());
    const request = this.#plan.request(endpoint, this.#span);
    const transfer = this.#caller.pools.send(endpoint, request, this, fresh);
    // A failure may have come at once, and another try with it.
    if (attempt === this.#attempt && this.#held) this.#transfer = transfer;
  }

  /** The try has not come to an answer's head in time. */
  #late(): void {
    this.#transfer?.abort();
    this.onError(new UpstreamError("UPSTREAM_TIMEOUT", "the try took too long"));
  }

  resume(): void {
    this.#transfer?.resume();
  }

  abort(): void {
    if (!this.#held) return;
    this.#end();
    this.#span?.end();
    this.#transfer?.abort();
    this.#transfer = undefined;
  }

  #end(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#cancelTry?.();
    this.#endpoint.load.inFlight -= 1;
  }

  #answered(status: number): void {
    this.#begun = true;
    this.#cancelTry?.();
    noteAnswered(this.#endpoint.load);
    this.#sink.onEndpoint(this.#endpoint);
    if (this.#span?.recording) this.#span.set("http.response.status_code", status);
  }

  onInform(status: number, headers: readonly string[]): void {
    this.#sink.onInform(status, headers);
  }

  onHead(status: number, headers: readonly string[], more: boolean): void {
    this.#answered(status);
    this.#sink.onHead(status, headers, more);
  }

  onData(chunk: Buffer): boolean {
    return this.#sink.onData(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    this.#end();
    this.#span?.end();
    this.#sink.onEnd(trailers);
  }

  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.#answered(status);
    this.#end();
    this.#span?.end();
    this.#sink.onWhole(status, headers, body);
  }

  /** The connection is the sink's, and counts as in flight until the socket closes. */
  onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    this.#answered(status);
    socket.once("close", () => {
      this.#end();
      this.#span?.end();
    });
    this.#sink.onSwitch(status, headers, socket, rest);
  }

  onError(error: UpstreamError): void {
    if (!this.#held) return;
    const { host } = this.#caller;
    const { load } = this.#endpoint;
    this.#end();
    this.#transfer = undefined;
    if (error.connecting) noteRefused(load, host.clock.monotonic());
    this.#span?.fail(error.message);
    this.#span?.end();
    const choice = this.#begun ? "none" : this.#next(error);
    if (choice !== "none") {
      this.#caller.onRetry(choice);
      return this.#try(choice === "fresh");
    }
    const { cluster, bodyBytesMax } = this.#plan.forward.route;
    this.#sink.onFailure({ error: error.error, detail: detailOf(error.error, cluster.service, bodyBytesMax) });
  }

  /** Whether to try again, and where: the endpoint is then chosen. */
  #next(error: UpstreamError): RetryChoice {
    const { body, method, forward } = this.#plan;
    const { route, endpoints } = forward;
    const { host } = this.#caller;
    const tried = (this.#tried ??= []);
    const choice = chooseRetry(error, {
      method,
      hasBody: body !== undefined,
      bodyStarted: body?.started ?? false,
      retries: tried.length,
      retriesMax: route.retriesMax,
      refreshed: this.#refreshed,
    });
    if (choice === "none") return choice;
    if (choice === "fresh") {
      this.#refreshed = true;
      return choice;
    }
    tried.push(this.#endpoint);
    const nowMs = host.clock.monotonic();
    const { inFlightMax } = route.cluster;
    const other = pick(endpoints, () => host.random.float(), { inFlightMax, nowMs, excluded: tried });
    if (!other || (choice === "again" && !this.#budget.withdraw(nowMs))) return "none";
    this.#endpoint = other;
    this.#refreshed = false;
    return choice;
  }
}

function detailOf(error: GatewayErrorName, service: string, bodyBytesMax: number): string {
  const details: Partial<Record<GatewayErrorName, string>> = {
    UPSTREAM_TIMEOUT: `Service "${service}" did not answer in time.`,
    UPSTREAM_UNTRUSTED: `The certificate of service "${service}" is not trusted; give its cluster the CA and the name.`,
    UPSTREAM_BAD_ANSWER: `Service "${service}" sent an answer that is not valid HTTP.`,
    UPSTREAM_RESET: `Service "${service}" closed the connection before it answered.`,
    BODY_TOO_LARGE: `The body is larger than the ${bodyBytesMax} bytes that this route takes.`,
    REQUEST_TIMEOUT: "The body of the request comes too slowly.",
    REQUEST_INVALID: "The body of the request is not what its content type says.",
    INTERNAL: "The request could not be sent.",
  };
  return details[error] ?? `No connection to service "${service}" could be made.`;
}
