/** One try of a call on one endpoint: what it counts as while it lasts, and what its end says of the endpoint. */
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

/** Failures for which no endpoint is to blame. */
const NOT_ITS_FAULT: ReadonlySet<GatewayErrorName> = new Set([
  "BODY_TOO_LARGE",
  "CLIENT_CLOSED",
  "INTERNAL",
  "OVERLOADED",
  "REQUEST_INVALID",
  "REQUEST_TIMEOUT",
]);

/** Part of the route's time that an endpoint must have had for the end of it to be its fault. */
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
  /** It counts as in flight. */
  #held = false;
  /** The head of its answer has come. */
  #begun = false;
  /** An answer of gRPC has begun, and says at its end how it went. */
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
    this.#span = plan.startSpan(endpoint);
    this.#held = true;
    load.inFlight += 1;
    load.cluster.inFlight += 1;
    if (this.#number > 1) load.cluster.retrying += 1;
    const { perTryMs } = plan.forward.route;
    if (perTryMs !== undefined) this.#cancelLimit = caller.host.clock.after(perTryMs, () => this.#late());
    const request = plan.request(endpoint, this.#span, this.#number);
    const transfer = caller.pools.send(endpoint, request, this, fresh);
    // It may have ended at once.
    if (this.#held) this.#transfer = transfer;
  }

  /** It has not come to an answer's head in time. */
  #late(): void {
    this.#transfer?.abort();
    this.onError(new UpstreamError("UPSTREAM_TIMEOUT", "the try took too long"));
  }

  resume(): void {
    this.#transfer?.resume();
  }

  /**
   * The route's time is up. That counts as no answer, unless one has begun, the client still sends what is to be
   * answered, or most of the time went to other endpoints.
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
    this.#span?.fail("the route's time was up");
    this.#outcome(0, nowMs);
  }

  /** Nobody waits for it any more. */
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
    if (this.#span?.recording) this.#span.set("http.response.status_code", status);
    return this.#call.accepts(this, status, headers);
  }

  /** The status that the endpoint is judged by. */
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

  /** The connection is the sink's, and counts as in flight until the socket closes. */
  onSwitch(status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    if (!this.#answered(status, headers)) return void socket.destroy();
    socket.once("close", () => this.#end());
    this.#call.sink.onSwitch(status, headers, socket, rest);
  }

  onError(error: UpstreamError): void {
    if (!this.#held) return;
    this.#span?.fail(error.message);
    this.#end();
    this.#transfer = undefined;
    const nowMs = this.#call.caller.host.clock.monotonic();
    if (error.connecting && error.error !== "OVERLOADED") this.#unconnected(error, nowMs);
    if (isEvidence(error)) {
      // Else who fails at once would seem quick, and who is silent would seem as it was before.
      if (!this.#begun && !error.connecting) noteAnswer(this.endpoint.load, true, nowMs - this.#startedMs, nowMs);
      this.#outcome(0, nowMs);
    }
    this.#call.failed(this, error);
  }
}

/**
 * Whether a failure says something of the endpoint. A kept connection that was closing does not, nor does one that broke
 * while a body was written to it: an upload that the service does not want ends like that.
 */
function isEvidence(error: UpstreamError): boolean {
  return !NOT_ITS_FAULT.has(error.error) && !error.reused && !error.unsent && !error.sending;
}
