/**
 * One request and its answer, from the first line to the last byte: the decision, the failure, and the span, counts and
 * log line that record them. Independent of the lane.
 */
import { readIncomingTrace, type Host, type Span } from "#base";
import { GATEWAY_FLAGS, GatewayErrors, type GatewayFlag } from "../../api.ts";
import { isTraceTrusted } from "../../core/request/client-address.ts";
import { grpcOutcome } from "../../core/request/grpc.ts";
import { isBadHead, type BadHead, type RawHead, type RequestHead } from "../../core/request/head.ts";
import type { Endpoint } from "../../core/balancing/endpoints.ts";
import type { Forward, GatewaySnapshot, Refuse } from "../../core/decision/pipeline.ts";
import type { CompiledRoute } from "../../core/routing/table.ts";
import type { AccessLog } from "../access-log.ts";
import { routeTemplate, setGrpcAttributes, setRequestAttributes } from "./span-attributes.ts";
import { boundedMethod, NO_ROUTE, spanName, type GatewayMetrics } from "../telemetry.ts";

/** Nothing outlives the request except the exchange itself. It uses the same snapshot from start to end. */
export class Exchange {
  readonly raw: RawHead;
  readonly head: RequestHead | BadHead;
  readonly snapshot: GatewaySnapshot;
  /** Bounded, for metrics and spans. */
  readonly method: string;
  readonly span: Span;
  /** Monotonic milliseconds. */
  readonly startedMs: number;
  forward: Forward | undefined;
  /** The endpoint that answered. After a retry or a hedge it can differ from the endpoint that was chosen first. */
  answeringEndpoint: Endpoint | undefined;
  /** The route for which the gateway answered without a service: a redirect, a fixed answer, a preflight. */
  answeredBy: CompiledRoute | undefined;
  /** Set when the gateway refuses the request. */
  refusal: Refuse | undefined;
  flag: GatewayFlag | undefined;
  /** The status of the answer, or the HTTP equivalent of its gRPC status. */
  status = 0;
  /** The status that a gRPC service reported at the end of the call. */
  #grpcStatus: string | undefined;
  readonly #host: Host;
  readonly #metrics: GatewayMetrics;
  readonly #log: AccessLog;
  #finished = false;

  constructor(
    host: Host,
    { metrics, accessLog }: { readonly metrics: GatewayMetrics; readonly accessLog: AccessLog },
    given: { raw: RawHead; head: RequestHead | BadHead; snapshot: GatewaySnapshot },
  ) {
    this.#host = host;
    this.#metrics = metrics;
    this.#log = accessLog;
    this.raw = given.raw;
    this.head = given.head;
    this.snapshot = given.snapshot;
    this.startedMs = host.clock.monotonic();
    const { head } = given;
    const incoming = isBadHead(head) ? undefined : readIncomingTrace((name) => head.header(name));
    const parent = incoming?.parent;
    this.method = boundedMethod(given.raw.method);
    const resample = !(incoming?.isDecided && isTraceTrusted(given.snapshot.table, given.raw.peer));
    this.span = host.tracer.start(spanName(this.method), { kind: "server", parent, resample });
    metrics.inFlight.inc();
  }

  /** The path for logs and problems: the canonical one, or empty if there is none. */
  get path(): string {
    return isBadHead(this.head) ? "" : this.head.path;
  }

  get route(): string {
    return this.forward?.route.name ?? this.answeredBy?.name ?? this.refusal?.route?.name ?? NO_ROUTE;
  }

  /** The span of one try. Undefined: no spans are recorded. */
  startTry(): Span | undefined {
    if (!this.span.recording) return undefined;
    const span = this.#host.tracer.start(spanName(this.method), { kind: "client", parent: this.span.context });
    span.set("http.request.method", this.method);
    return span;
  }

  /** A gRPC call has ended; `status` is its `grpc-status`. */
  saidByGrpc(status: string | undefined): void {
    this.#grpcStatus = status;
    this.status = grpcOutcome(status);
  }

  /** `complete`: the client has received the whole answer. Counts, ends the span and logs, once. */
  finish(complete: boolean): void {
    if (this.#finished) return;
    this.#finished = true;
    if (!complete) this.flag ??= GATEWAY_FLAGS.CLIENT_CLOSED;
    // If no answer was sent, the status is that of a client that disconnected.
    const shown =
      !complete && this.flag === GATEWAY_FLAGS.CLIENT_CLOSED ? GatewayErrors.CLIENT_CLOSED.status : this.status;
    const { route } = this;
    const { method } = this.raw;
    const seconds = (this.#host.clock.monotonic() - this.startedMs) / 1000;
    this.#metrics.inFlight.dec();
    this.#metrics.request(route, this.method, shown, seconds);
    const endpoint = this.answeringEndpoint ?? this.forward?.endpoint;
    const isRefused = this.refusal !== undefined;
    this.#metrics.traffic.note({ route, status: shown, latencyMs: seconds * 1000, isRefused, endpoint });
    if (this.flag) this.#metrics.refusal(this.flag);
    this.#endSpan(shown);
    const { flag } = this;
    const fields = {
      traceId: this.span.context.traceId,
      method,
      route,
      path: this.path,
      status: shown,
      ...(flag ? { flag } : {}),
      ...(this.forward?.pathReports ? { pathReports: this.forward.pathReports } : {}),
      ...(this.#grpcStatus === undefined ? {} : { grpcStatus: this.#grpcStatus }),
      durationMs: Math.round(seconds * 1e6) / 1e3,
    };
    this.#log.request(fields);
  }

  #endSpan(shown: number): void {
    const { span } = this;
    if (shown >= 500) span.fail(this.refusal?.code ?? `status ${shown}`);
    span.later(() => this.#describe(shown));
    span.end();
  }

  #describe(shown: number): void {
    const { span, flag } = this;
    const { method } = this.raw;
    span.set("http.request.method", this.method);
    if (this.method !== method) span.set("http.request.method_original", method);
    const compiled = this.forward?.route ?? this.answeredBy ?? this.refusal?.route;
    const template = routeTemplate(compiled?.path);
    if (template !== undefined) {
      span.set("http.route", template);
      span.rename(`${spanName(this.method)} ${template}`);
    }
    if (compiled) span.set("posthouse.route", compiled.name);
    setRequestAttributes(span, this.raw, this.head);
    // Without an answer, no status was sent.
    if (this.status > 0) span.set("http.response.status_code", this.status);
    if (shown >= 500) span.set("error.type", this.refusal?.code ?? String(shown));
    else if (flag === GATEWAY_FLAGS.CLIENT_CLOSED) span.set("error.type", GatewayErrors.CLIENT_CLOSED.code);
    if (this.#grpcStatus !== undefined) setGrpcAttributes(span, this.#grpcStatus);
    if (flag) span.set("posthouse.flag", flag);
  }
}
