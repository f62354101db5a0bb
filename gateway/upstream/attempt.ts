/** One try of a call at one endpoint: how it counts while it runs, and what its end says about the endpoint. */
import type { Duplex } from "node:stream";
import type { Host, Span } from "#base";
import type { GatewayErrorName } from "../api.ts";
import { noteAnswer, noteReached, noteRefused, noteSilent } from "../core/balancing/endpoint-load.ts";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { grpcKind, grpcOutcome } from "../core/request/grpc.ts";
import { firstHeaderValue } from "../core/request/header-list.ts";
import { noteOutcome } from "../core/balancing/outlier.ts";
import type { CallPlan, CallSink } from "./call-plan.ts";
import type { UpstreamPools } from "./pools.ts";
import type { WholeEnd } from "./end.ts";
import { UpstreamError, type AnswerSink, type Transfer } from "./transfer.ts";

/** Failures that no endpoint caused. */
const NOT_ITS_FAULT: ReadonlySet<GatewayErrorName> = new Set([
  "BODY_TOO_LARGE",
  "CLIENT_CLOSED",
  "INTERNAL",
  "OVERLOADED",
  "REQUEST_INVALID",
  "REQUEST_TIMEOUT",
]);

/** The share of the route's time that an endpoint must have had before the end of that time counts as its failure. */
const OWN_SHARE_MIN = 0.5;

/** The call that a try belongs to. */
export interface AttemptOwner {
  readonly caller: {
    readonly host: Host;
    readonly pools: UpstreamPools;
    readonly onEjected: (endpoint: Endpoint) => void;
  };
  readonly plan: CallPlan;
  readonly sink: CallSink;
  /** Whether the client gets this answer; otherwise another try follows. */
  accepts(attempt: Attempt, status: number, headers: readonly string[]): boolean;
  failed(attempt: Attempt, error: UpstreamError): void;
}

export class Attempt implements AnswerSink {
  readonly endpoint: Endpoint;
  readonly #call: AttemptOwner;
  readonly #number: number;
  readonly #startedMs: number;
  #transfer: Transfer | undefined;
  #span: Span | undefined;
  #cancelLimit: (() => void) | undefined;
  /** Whether it counts as in flight. */
  #held = false;
  /** Whether the head of its answer has arrived. */
  #begun = false;
  /** A gRPC answer has begun, whose trailers carry the outcome. */
  #judgedByTrailers = false;

  constructor(call: AttemptOwner, endpoint: Endpoint, number: number) {
    this.#call = call;
    this.endpoint = endpoint;
    this.#number = number;
    this.#startedMs = call.caller.host.clock.monotonic();
  }

  start(fresh: boolean): void {
    const { endpoint } = this;
    const { plan, caller } = this.#call;
    const { load } = endpoint;
    this.#span = plan.startSpan();
    this.#held = true;
    load.inFlight += 1;
    load.cluster.inFlight += 1;
    if (this.#number > 1) load.cluster.retrying += 1;
    const { perTryMs } = plan.forward.route;
    if (perTryMs !== undefined) this.#cancelLimit = caller.host.clock.after(perTryMs, () => this.#late());
    const request = plan.request(endpoint, this.#span, this.#number);
    const transfer = caller.pools.send(endpoint, request, this, fresh);
    // The call may have ended already.
    if (this.#held) this.#transfer = transfer;
  }

  /** No head of an answer has arrived in time. */
  #late(): void {
    this.#transfer?.abort();
    this.onError(new UpstreamError("UPSTREAM_TIMEOUT", "the try exceeded perTryMs"));
  }

  resume(): void {
    this.#transfer?.resume();
  }

  /**
   * The route's time is up. That counts as a failure of the endpoint, unless an answer has begun, the client is still
   * sending its body, or most of the time was spent on other endpoints.
   */
  expire(): void {
    if (!this.#held || this.#begun) return;
    const { clock } = this.#call.caller.host;
    const { body, forward } = this.#call.plan;
    const nowMs = clock.monotonic();
    const hadMs = nowMs - this.#startedMs;
    const sent = !body || body.whole || body.heldBack;
    if (!sent || hadMs < (forward.route.totalMs ?? Infinity) * OWN_SHARE_MIN) return;
    noteAnswer(this.endpoint.load, true, hadMs, nowMs);
    this.#failSpan("UPSTREAM_TIMEOUT", "the route's time was up");
    this.#outcome(0, nowMs);
  }

  /** The call no longer needs this try. */
  drop(): void {
    if (!this.#held) return;
    this.#end();
    this.#transfer?.abort();
    this.#transfer = undefined;
  }

  #end(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#cancelLimit?.();
    this.#span?.end();
    const { load } = this.endpoint;
    load.inFlight -= 1;
    load.cluster.inFlight -= 1;
    if (this.#number > 1) load.cluster.retrying -= 1;
  }

  #failSpan(type: string, reason: string): void {
    this.#span?.set("error.type", type);
    this.#span?.fail(reason);
  }

  /** False: the answer is not for the client. */
  #answered(status: number, headers: readonly string[]): boolean {
    const { load } = this.endpoint;
    const nowMs = this.#call.caller.host.clock.monotonic();
    const latencyMs = nowMs - this.#startedMs;
    this.#cancelLimit?.();
    this.#begun = true;
    noteReached(load);
    const outcome = this.#outcomeOf(status, headers);
    noteAnswer(load, outcome >= 500, latencyMs, nowMs);
    load.cluster.gradient?.note(latencyMs, load.cluster.inFlight);
    if (!this.#judgedByTrailers) this.#outcome(outcome, nowMs);
    this.#span?.set("http.response.status_code", status);
    // For a client, 4xx is an error, too. @see OpenTelemetry semantic conventions, HTTP span status
    if (status >= 400) this.#failSpan(String(status), `status ${status}`);
    return this.#call.accepts(this, status, headers);
  }

  /** The status by which the endpoint is judged. */
  #outcomeOf(status: number, headers: readonly string[]): number {
    if (status !== 200 || this.endpoint.protocol === "http1") return status;
    if (grpcKind(firstHeaderValue(headers, "content-type")) !== "grpc") return status;
    const said = firstHeaderValue(headers, "grpc-status");
    this.#judgedByTrailers = said === undefined;
    return said === undefined ? status : grpcOutcome(said);
  }

  #unconnected({ error }: UpstreamError, nowMs: number): void {
    const { load } = this.endpoint;
    if (error !== "UPSTREAM_TIMEOUT") return noteRefused(load, nowMs);
    noteSilent(load);
    this.#call.caller.pools.probe(this.endpoint);
  }

  #outcome(status: number, nowMs: number): void {
    const { plan, caller } = this.#call;
    const { endpoints, route } = plan.forward;
    const about = { set: endpoints, policy: route.cluster.outlier, nowMs };
    if (noteOutcome(this.endpoint.load, status, about)) caller.onEjected(this.endpoint);
  }

  onInform(status: number, headers: readonly string[]): void {
    this.#call.sink.onInform(status, headers);
  }

  onHead(status: number, headers: readonly string[], more: boolean): void {
    if (this.#answered(status, headers)) this.#call.sink.onHead(status, headers, more);
  }

  onData(chunk: Buffer): boolean {
    return this.#held ? this.#call.sink.onData(chunk) : true;
  }

  onEnd(end: WholeEnd): void {
    if (!this.#held) return;
    if (this.#judgedByTrailers) {
      this.#outcome(grpcOutcome(firstHeaderValue(end, "grpc-status")), this.#call.caller.host.clock.monotonic());
    }
    this.#end();
    this.#call.sink.onEnd(end);
  }

  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    const accepted = this.#answered(status, headers);
    this.#end();
    if (accepted) this.#call.sink.onWhole(status, headers, body);
  }

  /** The connection belongs to the sink, and counts as in flight until the socket closes. */
  onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    if (!this.#answered(status, headers)) return void socket.destroy();
    socket.once("close", () => this.#end());
    this.#call.sink.onSwitch(status, headers, socket, rest);
  }

  onError(error: UpstreamError): void {
    if (!this.#held) return;
    this.#failSpan(error.error, error.message);
    this.#end();
    this.#transfer = undefined;
    const nowMs = this.#call.caller.host.clock.monotonic();
    if (error.connecting && error.error !== "OVERLOADED") this.#unconnected(error, nowMs);
    if (isEvidence(error)) {
      // Without this, an endpoint that fails at once would look fast, and a silent one would keep its old rating.
      if (!this.#begun && !error.connecting) noteAnswer(this.endpoint.load, true, nowMs - this.#startedMs, nowMs);
      this.#outcome(0, nowMs);
    }
    this.#call.failed(this, error);
  }
}

/**
 * Whether a failure says something about the endpoint. A kept connection that was closing does not. Nor does one that
 * broke while a body was written: a service that rejects an upload may end it that way.
 */
function isEvidence(error: UpstreamError): boolean {
  return !NOT_ITS_FAULT.has(error.error) && !error.reused && !error.unsent && !error.sending;
}
