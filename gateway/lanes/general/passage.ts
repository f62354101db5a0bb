/**
 * One exchange under way: carries the request to an upstream and the answer to the client as it arrives, and reports each
 * side's failure to the other. The decision was made before.
 */
import type { Duplex } from "node:stream";
import { messageOf, type Span } from "#base";
import { GATEWAY_FLAGS, GatewayErrors, type GatewayFlag } from "../../api.ts";
import { callerMs, refuseLate } from "../../core/decision/deadline.ts";
import type { Endpoint } from "../../core/balancing/endpoints.ts";
import { type GrpcKind } from "../../core/request/grpc.ts";
import type { RequestHead } from "../../core/request/head.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import { answerHeaders, trailersToPass } from "../../core/decision/headers.ts";
import { ownHeaders, refuse, type Answer, type Forward, type Refuse } from "../../core/decision/pipeline.ts";
import { RequestBody } from "../../upstream/body.ts";
import type { CallFailure, CallPlan, CallSink } from "../../upstream/call-plan.ts";
import { endOf, type WholeEnd } from "../../upstream/end.ts";
import type { OutgoingRequest, Transfer } from "../../upstream/transfer.ts";
import { AnswerExtent, EXCESS, NO_GRPC_STATUS, SHORTFALL } from "./answer-extent.ts";
import { bodyLimits } from "./body-limits.ts";
import type { Downstream, DownstreamListener } from "./downstream.ts";
import type { Exchange } from "./exchange.ts";
import { isMisread, refuseHttp2Only, switchProblem, type Handshake } from "./handshake.ts";
import { setTryAttributes } from "./span-attributes.ts";
import { outgoingRequest, outgoingTrailers } from "./outgoing-request.ts";
import type { LaneParts } from "../parts.ts";
import { BodyPace } from "./pace.ts";
import { closesAfter, grpcFields, refusalAnswer } from "../problem.ts";
import { TimeLimits, type TimeLimitListener } from "./time-limits.ts";

export class Passage implements CallSink, CallPlan, DownstreamListener, TimeLimitListener {
  readonly exchange: Exchange;
  readonly #parts: LaneParts;
  readonly #downstream: Downstream;
  readonly #grpc: GrpcKind | undefined;
  readonly #handshake: Handshake | undefined;
  readonly #onOver: (passage: Passage) => void;
  #transfer: Transfer | undefined;
  #body: RequestBody | undefined;
  #pace: BodyPace | undefined;
  readonly #limits: TimeLimits;
  /** The client waits for a 100 before it sends its body. */
  #expectsContinue = false;
  #over = false;
  #broken = false;
  /** An answer's head that is not sent yet: it waits for the first bytes of its body. */
  #head: { readonly status: number; readonly headers: readonly string[] } | undefined;
  /** Of the answer that is being received. */
  #extent: AnswerExtent | undefined;

  constructor(
    parts: LaneParts,
    downstream: Downstream,
    exchange: Exchange,
    options: { grpc: GrpcKind | undefined; handshake?: Handshake | undefined; onOver: (passage: Passage) => void },
  ) {
    this.#parts = parts;
    this.#downstream = downstream;
    this.exchange = exchange;
    this.#grpc = options.grpc;
    this.#handshake = options.handshake;
    this.#onOver = options.onOver;
    this.#limits = new TimeLimits(parts.host.clock, this);
    downstream.listen(this);
  }

  /** The client is gone, or its answer is complete. */
  get over(): boolean {
    return this.#over || this.#broken;
  }

  get forward(): Forward {
    return this.exchange.forward as Forward;
  }

  get method(): string {
    return this.exchange.raw.method;
  }

  get body(): RequestBody | undefined {
    return this.#body;
  }

  expectContinue(): void {
    this.#expectsContinue = true;
  }

  /** Starts the call to the upstream. */
  go(forward: Forward): void {
    const { exchange } = this;
    exchange.forward = forward;
    const { route } = forward;
    const { body, contentLength } = this.#downstream;
    if (!this.#grpc && contentLength !== undefined && Number(contentLength) > route.bodyBytesMax) {
      const detail = `The body is larger than the ${route.bodyBytesMax} bytes that this route allows.`;
      return this.refuse(refuse("BODY_TOO_LARGE", detail, { route }));
    }
    if (this.#handshake && forward.endpoint.protocol === "h2") return this.refuse(refuseHttp2Only(route));
    const given = callerMs(route, exchange.head as RequestHead, this.#grpc);
    if (!this.#limits.start(exchange.startedMs, { routeMs: route.totalMs ?? Infinity, callerMs: given })) {
      return this.refuse(refuseLate(route));
    }
    if (body) {
      const { clock } = this.#parts.host;
      // Both sides of a gRPC stream may stay silent for as long as they want.
      if (this.#grpc !== "grpc")
        this.#pace = new BodyPace(clock, this.#parts.settings.requestMs, () => this.#body?.fail("slow"));
      const limits = bodyLimits({
        bytesMax: route.bodyBytesMax,
        grpc: this.#grpc,
        pace: this.#pace,
        onStart: () => {
          if (this.#expectsContinue) this.#downstream.continue();
        },
      });
      const parts = { exchange, forward, grpc: this.#grpc };
      this.#body = new RequestBody({ ...body, trailers: () => outgoingTrailers(parts, body.trailers()) }, limits);
    }
    const transfer = this.#parts.chain.start(this, this);
    if (this.#over) transfer.abort();
    else this.#transfer = transfer;
  }

  onLate(isRouteLimit: boolean): void {
    // The caller's own deadline says nothing about the service: the caller may have left it too little time.
    this.#transfer?.abort(isRouteLimit);
    const { service } = this.forward.route.cluster;
    const what = this.#downstream.headSent ? "did not end its answer in time" : "did not answer in time";
    this.onFailure({ error: "UPSTREAM_TIMEOUT", detail: `Service "${service}" ${what}.` });
  }

  onStall(): void {
    this.#transfer?.abort();
    this.breakOff(GATEWAY_FLAGS.CLIENT_CLOSED);
  }

  request(endpoint: Endpoint, span: Span | undefined, attempt: number): OutgoingRequest {
    const { exchange, forward } = this;
    const parts = {
      exchange,
      forward,
      grpc: this.#grpc,
      body: this.#body,
      contentLength: this.#downstream.contentLength,
      isHandshake: this.#handshake !== undefined,
    };
    const context = span?.context ?? exchange.span.context;
    const request = outgoingRequest(parts, { endpoint, context, attempt, timeLeft: this.#limits.left() });
    span?.later(() => setTryAttributes(span, { request, endpoint, attempt }));
    return request;
  }

  startSpan(): Span | undefined {
    return this.exchange.startTry();
  }

  /**
   * The route's limit ends with the head of an answer without a length: it is a stream, of events, of gRPC or of lines, and
   * may be silent. Judged by the headers as the service sent them, because compression removes the length.
   */
  onEndpoint(endpoint: Endpoint, headers: readonly string[]): void {
    this.exchange.answeringEndpoint = endpoint;
    if (this.#limits.isRunning && firstHeaderValue(headers, "content-length") === undefined)
      this.#limits.endRouteLimit();
  }

  onInform(status: number, headers: readonly string[]): void {
    if (status !== 100) return this.#downstream.inform(status, answerHeaders(headers, []));
    // The client waits for the upstream's 100, unless its body flows already.
    if (this.#expectsContinue) this.#downstream.continue();
  }

  onHead(status: number, headers: readonly string[], more: boolean): void {
    if (this.#over) return;
    if (isMisread(this.#handshake, status)) {
      this.#transfer?.abort();
      return this.#badAnswer(`answered ${status} to the handshake`);
    }
    // If the body follows at once, the head waits for it: should the body be invalid, the client gets a proper refusal.
    this.#head = { status, headers };
    this.#extent = this.#extentOf(status, headers);
    if (!more && this.#extent.announced !== 0) this.#sendHead(false);
  }

  #extentOf(status: number, headers: readonly string[]): AnswerExtent {
    return new AnswerExtent({ method: this.method, grpc: this.#grpc }, status, headers);
  }

  /** False: the head could not be sent, and the exchange was refused or cut. */
  #sendHead(more: boolean): boolean {
    const head = this.#head;
    if (!head) return true;
    this.#head = undefined;
    this.exchange.status = head.status;
    try {
      this.#downstream.writeHead(head.status, this.#answerHeaders(head.headers), more);
      return true;
    } catch (error) {
      this.defect(error);
      return false;
    }
  }

  onData(chunk: Buffer): boolean {
    if (this.#over) return true;
    const taken = this.#extent?.take(chunk) ?? "send";
    if (taken === "excess") this.#notWhole(EXCESS);
    if (taken !== "send") return true;
    if (this.#head && !this.#sendHead(true)) return true;
    if (this.#downstream.write(chunk)) return true;
    this.#watchStall();
    return false;
  }

  onEnd(trailers: WholeEnd): void {
    const extent = this.#extent;
    if (this.#over || !extent) return;
    const end = endOf(extent, trailersToPass(trailers));
    if (!end) return this.#notWhole(SHORTFALL);
    const status = firstHeaderValue(trailers, "grpc-status");
    if (extent.owesStatus && status === undefined) return this.#notWhole(NO_GRPC_STATUS);
    if (!this.#sendHead(true)) return;
    if (this.#grpc && this.exchange.status === 200) this.exchange.saidByGrpc(status);
    this.#downstream.end(end, extent.last);
    this.#answered();
  }

  #notWhole(what: string): void {
    this.#transfer?.abort();
    this.#badAnswer(what);
  }

  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    if (this.#over) return;
    if (isMisread(this.#handshake, status)) return this.#badAnswer(`answered ${status} to the handshake`);
    const extent = this.#extentOf(status, headers);
    extent.received = body?.length ?? 0;
    if (!endOf(extent, [])) return this.#notWhole("sent a body of another length than it announces");
    if (extent.owesStatus) return this.#notWhole(NO_GRPC_STATUS);
    this.exchange.status = status;
    if (this.#grpc && status === 200) this.exchange.saidByGrpc(firstHeaderValue(headers, "grpc-status"));
    try {
      this.#downstream.whole(status, this.#answerHeaders(headers), body);
    } catch (error) {
      return this.defect(error);
    }
    this.#answered();
  }

  /** The whole answer is handed over. A client that does not read it must not stay forever. */
  #answered(): void {
    this.#limits.stop();
    this.#discardBody();
  }

  onSwitch(_status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    const handshake = this.#handshake;
    if (this.#over || !handshake) return void socket.destroy();
    const problem = switchProblem(handshake, headers);
    if (problem !== undefined) {
      socket.destroy();
      return this.#badAnswer(problem);
    }
    this.#limits.stop();
    this.exchange.status = handshake.status;
    handshake.take(answerHeaders(headers, this.forward.answerHeaders), socket, rest, {
      idleMs: this.forward.route.idleMs,
      onIdle: () => (this.exchange.flag ??= GATEWAY_FLAGS.UPSTREAM_TIMEOUT),
      onClosed: () => this.onClose(true),
    });
  }

  #badAnswer(what: string): void {
    const { service } = this.forward.route.cluster;
    this.onFailure({ error: "UPSTREAM_BAD_ANSWER", detail: `Service "${service}" ${what}.` });
  }

  onFailure({ error, detail, refusal: given }: CallFailure): void {
    if (this.#over) return;
    const refusal = given ?? refuse(error, detail, { route: this.forward.route });
    if (!this.#downstream.headSent) return this.refuse(refusal);
    this.exchange.refusal = refusal;
    this.breakOff(error === "CLIENT_CLOSED" ? GATEWAY_FLAGS.CLIENT_CLOSED : refusal.flag, refusal);
  }

  /** Ends an answer that has begun, in a way that the client sees as incomplete. */
  breakOff(flag: GatewayFlag, refusal?: Refuse): void {
    this.exchange.flag ??= flag;
    // Trailers can report the failure, unless the head announced a length that the body does not have.
    const status = this.#grpc && refusal && this.#extent?.announced === undefined ? grpcFields(refusal) : undefined;
    if (!this.#downstream.cut(status)) return;
    this.exchange.status = refusal?.status ?? this.exchange.status;
    this.#answered();
  }

  /** The rest of the request cannot be parsed, and no answer has been sent. */
  broken(refusal: Refuse): void {
    this.#broken = true;
    this.#transfer?.abort();
    this.refuse(refusal);
  }

  /** A fault of the gateway itself ends this exchange only. */
  defect(error: unknown): void {
    this.#parts.host.log.error({ err: error }, `the gateway failed to serve a request: ${messageOf(error)}`);
    this.#transfer?.abort();
    if (this.#downstream.headSent) return this.breakOff(GATEWAY_FLAGS.INTERNAL);
    this.refuse(refuse("INTERNAL", "The request could not be served.", { route: this.exchange.forward?.route }));
  }

  /** Answers with a refusal of the gateway itself. */
  refuse(refusal: Refuse): void {
    const { exchange } = this;
    exchange.refusal = refusal;
    if (this.#over || this.#downstream.closed) return;
    exchange.flag = refusal.flag;
    exchange.status = refusal.status;
    this.#limits.stop();
    this.#head = undefined;
    const { forward, snapshot, head } = exchange;
    const route = forward?.route ?? refusal.route;
    const own = { route, headers: [...(forward?.answerHeaders ?? []), ...refusal.headers] };
    const { status, headers, body } = refusalAnswer(refusal, {
      grpc: this.#grpc,
      path: exchange.path,
      headers: ownHeaders(snapshot.table, head, own),
    });
    // A client that used the wrong connection needs another one.
    const misdirected = refusal.status === GatewayErrors.MISDIRECTED.status;
    if (misdirected || closesAfter(refusal)) this.#downstream.closeBehind();
    this.#closeIfLast();
    this.#downstream.whole(status, headers, body);
    this.#discardBody();
  }

  /** Answers for the gateway itself: a redirect, a fixed answer, a preflight. */
  answer(answer: Answer): void {
    const { route, status, body } = answer;
    if (isMisread(this.#handshake, status)) {
      return this.refuse(
        refuse(
          "UPGRADE_UNSUPPORTED",
          `Route "${route.name}" answers without a service, so it cannot open a WebSocket.`,
          { route },
        ),
      );
    }
    const { exchange } = this;
    exchange.answeredBy = route;
    exchange.status = status;
    const bytes = body === "" ? undefined : Buffer.from(body);
    const fields = ownHeaders(exchange.snapshot.table, exchange.head, answer).flat();
    if (status !== 204 && status !== 304) fields.push("content-length", String(bytes?.length ?? 0));
    this.#closeIfLast();
    this.#downstream.whole(status, fields, bytes);
    this.#discardBody();
  }

  /** A client that waits for a 100 may or may not send its body now. Only a new connection is unambiguous. */
  #closeIfLast(): void {
    if (this.#expectsContinue || this.#parts.stopping()) this.#downstream.closeBehind();
  }

  #discardBody(): void {
    if (this.#downstream.body && !this.#body?.whole) {
      // The call must not hold the body back once the rest of it is discarded.
      this.#body?.stop();
      this.#downstream.discard();
    }
    if (!this.#downstream.flushed) this.#watchStall();
  }

  #answerHeaders(headers: readonly string[]): string[] {
    const waits = this.#expectsContinue && this.#body?.whole === false;
    if (waits || this.#parts.stopping()) this.#downstream.closeBehind();
    return answerHeaders(headers, this.forward.answerHeaders);
  }

  #watchStall(): void {
    const { settings } = this.#parts;
    // A gRPC caller may pause a stream on purpose, for as long as either side may be silent.
    const ms = (this.#grpc && this.exchange.forward?.route.idleMs) ?? settings.stallMs;
    this.#limits.startStall(ms);
  }

  onDrain(): void {
    this.#limits.endStall();
    this.#transfer?.resume();
  }

  onClose(complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#limits.close();
    this.#pace?.close();
    this.#transfer?.abort();
    const { forward, snapshot } = this.exchange;
    if (forward?.held !== undefined) snapshot.concurrency?.release(forward.held);
    this.exchange.finish(complete);
    this.#onOver(this);
  }
}
