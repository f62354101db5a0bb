/**
 * One exchange on its way: the request to an upstream, the answer to the client as it comes, and whatever goes wrong on
 * either side told to the other. Limits of time are kept here; what is decided, is decided before.
 */
import type { Duplex } from "node:stream";
import { formatTraceparent, messageOf, type Span, type SpanContext } from "#base";
import { GATEWAY_FLAGS, GatewayErrors, type GatewayFlag } from "../../api.ts";
import { callerMs, deadlineHeaders, deadlineNames, refuseLate } from "../../core/decision/deadline.ts";
import type { Endpoint } from "../../core/balancing/endpoints.ts";
import { grpcKind, MessageMeter, type GrpcKind } from "../../core/request/grpc.ts";
import type { RequestHead } from "../../core/request/head.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import { answerHeaders, refusedTrailer, trailersToPass, upstreamHeaders } from "../../core/decision/headers.ts";
import {
  ownHeaders,
  refuse,
  type Answer,
  type Forward,
  type HeaderPair,
  type Refuse,
} from "../../core/decision/pipeline.ts";
import { ATTEMPT_HEADER } from "../../core/balancing/retry.ts";
import { RequestBody, type BodyLimits } from "../../upstream/body.ts";
import type { CallFailure, CallPlan, CallSink } from "../../upstream/call-plan.ts";
import { announcedBytes, endOf, hasBody, type WholeEnd } from "../../upstream/end.ts";
import type { OutgoingRequest, Transfer } from "../../upstream/transfer.ts";
import type { Downstream, DownstreamListener } from "./downstream.ts";
import type { Exchange } from "./exchange.ts";
import type { LaneParts } from "../parts.ts";
import { BodyPace } from "./pace.ts";
import { closesAfter, grpcFields, refusalAnswer } from "../problem.ts";
import { spanName } from "../telemetry.ts";

/** A handshake of WebSocket, in whatever version of HTTP it came. */
export interface Handshake {
  /** By which the client is told that it has its socket. In HTTP/2 any 2xx would be taken for that. */
  readonly status: 101 | 200;
  /** What the service must say to the key that the gateway made; undefined: the key is the client's, who looks itself. */
  readonly accept?: string;
  /** Takes the client's side over once the upstream has switched protocols. `rest`: what it had sent already. */
  take(
    headers: readonly string[],
    upstream: Duplex,
    rest: Buffer,
    options: { readonly idleMs: number; readonly onIdle: () => void; readonly onClosed: () => void },
  ): void;
}

const NO_TRAILERS: readonly string[] = [];

export class Passage implements CallSink, CallPlan, DownstreamListener {
  readonly exchange: Exchange;
  readonly #parts: LaneParts;
  readonly #downstream: Downstream;
  readonly #grpc: GrpcKind | undefined;
  readonly #handshake: Handshake | undefined;
  readonly #onOver: (passage: Passage) => void;
  #transfer: Transfer | undefined;
  #body: RequestBody | undefined;
  #pace: BodyPace | undefined;
  /** Monotonic milliseconds of the sooner of the route's limit and the caller's, and of the caller's alone. */
  #deadlineMs = Infinity;
  #callerDeadlineMs = Infinity;
  #cancelTotal: (() => void) | undefined;
  #cancelStall: (() => void) | undefined;
  /** The client waits for leave to send its body. */
  #expectsContinue = false;
  #over = false;
  #broken = false;
  /** A head that waits for its body. */
  #head: { readonly status: number; readonly headers: readonly string[] } | undefined;
  /** Bytes that the answer's head announces, and bytes that came. */
  #announced: number | undefined;
  #received = 0;
  /** The last of an announced body, until it is known that the service says the same. */
  #last: Buffer | undefined;
  /** An answer of gRPC has begun that owes its status. */
  #owesStatus = false;

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
    downstream.listen(this);
  }

  /** The client is gone, or has been told everything. */
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

  /** Sends it on its way. */
  go(forward: Forward): void {
    const { exchange } = this;
    exchange.forward = forward;
    const { route } = forward;
    const { body, contentLength } = this.#downstream;
    if (!this.#grpc && contentLength !== undefined && Number(contentLength) > route.bodyBytesMax) {
      const detail = `The body is larger than the ${route.bodyBytesMax} bytes that this route takes.`;
      return this.refuse(refuse("BODY_TOO_LARGE", detail, { route }));
    }
    if (this.#handshake && forward.endpoint.protocol === "h2") {
      const detail = `Service "${route.cluster.service}" speaks HTTP/2 only; a WebSocket needs a cluster of http1.`;
      return this.refuse(refuse("UPGRADE_UNSUPPORTED", detail, { route }));
    }
    if (!this.#setTotal(forward)) return this.refuse(refuseLate(route));
    if (body) {
      const source = { ...body, trailers: () => this.#requestTrailers(body.trailers()) };
      this.#body = new RequestBody(source, this.#limits(route.bodyBytesMax));
    }
    const transfer = this.#parts.chain.start(this, this);
    if (this.#over) transfer.abort();
    else this.#transfer = transfer;
  }

  #requestTrailers(trailers: readonly string[]): readonly string[] {
    if (trailers.length === 0) return trailers;
    const { exchange, forward } = this;
    const { table } = exchange.snapshot;
    const deadline = deadlineNames(forward.route, this.#grpc);
    return trailersToPass(
      trailers,
      refusedTrailer(exchange.head as RequestHead, { table, edits: forward.edits, deadline }),
    );
  }

  #limits(bytesMax: number): BodyLimits {
    // A stream of gRPC may be silent for as long as both sides like.
    const pace =
      this.#grpc === "grpc"
        ? undefined
        : new BodyPace(this.#parts.host.clock, this.#parts.settings.requestMs, () => this.#body?.fail("slow"));
    this.#pace = pace;
    const meter = this.#grpc ? new MessageMeter() : undefined;
    let bytes = 0;
    return {
      exceeds: (chunk) => (meter ? meter.exceeds(chunk, bytesMax) : (bytes += chunk.length) > bytesMax),
      onStart: () => {
        if (this.#expectsContinue) this.#downstream.continue();
      },
      onFlow: (flowing) => pace?.flow(flowing),
      onBytes: (bytes) => pace?.note(bytes),
    };
  }

  /** The route's limit, or what the caller gives it, whichever is sooner. False: that is up already. */
  #setTotal({ route }: Forward): boolean {
    const { clock } = this.#parts.host;
    const { head, startedMs } = this.exchange;
    this.#callerDeadlineMs = startedMs + callerMs(route, head as RequestHead, this.#grpc);
    this.#deadlineMs = Math.min(startedMs + (route.totalMs ?? Infinity), this.#callerDeadlineMs);
    if (this.#deadlineMs === Infinity) return true;
    const leftMs = this.#deadlineMs - clock.monotonic();
    if (leftMs <= 0) return false;
    this.#armTotal(leftMs);
    return true;
  }

  /** The route's limit has been kept, and what the caller gave goes on. */
  #releaseTotal(): void {
    this.#clearTotal();
    this.#deadlineMs = this.#callerDeadlineMs;
    if (this.#deadlineMs !== Infinity) this.#armTotal(this.#deadlineMs - this.#parts.host.clock.monotonic());
  }

  #armTotal(leftMs: number): void {
    this.#cancelTotal = this.#parts.host.clock.after(leftMs, () => this.#late());
  }

  #late(): void {
    // Its own deadline says nothing of the service that a caller gave too little time.
    const own = this.#callerDeadlineMs > this.#parts.host.clock.monotonic();
    this.#transfer?.abort(own);
    const { service } = this.forward.route.cluster;
    const what = this.#downstream.headSent ? "did not end its answer in time" : "did not answer in time";
    this.onFailure({ error: "UPSTREAM_TIMEOUT", detail: `Service "${service}" ${what}.` });
  }

  request(endpoint: Endpoint, span: Span | undefined, attempt: number): OutgoingRequest {
    const { exchange, forward } = this;
    const { route } = forward;
    const context = span?.context ?? exchange.span.context;
    return {
      method: exchange.raw.method,
      scheme: endpoint.secure ? "https" : "http",
      authority: forward.authority ?? endpoint.authority,
      path: forward.target,
      headers: upstreamHeaders(exchange.head as RequestHead, exchange.raw.rawHeaders, {
        table: exchange.snapshot.table,
        version: exchange.raw.version,
        hasBody: this.#body !== undefined,
        edits: forward.edits,
        deadline: deadlineNames(route, this.#grpc),
        set: [...forward.setHeaders, ...this.#ownHeaders(context, attempt)],
      }),
      contentLength: this.#body || this.#downstream.contentLength === "0" ? this.#downstream.contentLength : undefined,
      body: this.#body,
      upgrade: this.#handshake ? "websocket" : undefined,
      trailers: this.#grpc !== undefined || this.#readsTrailers(),
      trailersFollow: this.#body !== undefined && (exchange.head as RequestHead).header("trailer").length > 0,
      connectMs: route.connectMs,
      // The head of a stream's answer may come with its first message; it has the call's own deadline.
      headersMs: this.#grpc ? route.idleMs : route.headersMs,
      idleMs: route.idleMs,
    };
  }

  /** Whether the client says that it reads trailers. */
  #readsTrailers(): boolean {
    const [te] = (this.exchange.head as RequestHead).header("te");
    return te !== undefined && /(?:^|,)\s*trailers\s*(?:,|;|$)/i.test(te);
  }

  #ownHeaders(context: SpanContext, attempt: number): HeaderPair[] {
    const headers: HeaderPair[] = [["traceparent", formatTraceparent(context)]];
    if (context.state) headers.push(["tracestate", context.state]);
    if (attempt > 1) headers.push([ATTEMPT_HEADER, String(attempt)]);
    if (this.#deadlineMs === Infinity) return headers;
    const nowMs = this.#parts.host.clock.monotonic();
    const left = { totalMs: this.#deadlineMs - nowMs, callerMs: this.#callerDeadlineMs - nowMs };
    headers.push(...deadlineHeaders(this.forward.route, left, this.#grpc));
    return headers;
  }

  startSpan(endpoint: Endpoint): Span | undefined {
    const { span, method } = this.exchange;
    // Nobody reads the spans of an unsampled trace, so its one id serves both sides.
    if (!span.recording) return undefined;
    const own = this.#parts.host.tracer.start(spanName(method), { kind: "client", parent: span.context });
    own.set("http.request.method", method);
    own.set("server.address", endpoint.authority);
    return own;
  }

  /**
   * An answer that does not say how long it is ends when it ends: a stream, be it of events, of gRPC or of lines, lives
   * by its silence. Asked of the fields as the service sent them, since compression takes the length away.
   */
  onEndpoint(_endpoint: Endpoint, headers: readonly string[]): void {
    if (this.#cancelTotal && firstHeaderValue(headers, "content-length") === undefined) this.#releaseTotal();
  }

  onInform(status: number, headers: readonly string[]): void {
    if (status !== 100) return this.#downstream.inform(status, answerHeaders(headers, []));
    // The upstream's leave is what the client waits for; it has it already once the body flows.
    if (this.#expectsContinue) this.#downstream.continue();
  }

  onHead(status: number, headers: readonly string[], more: boolean): void {
    if (this.#over) return;
    if (this.#misread(status)) {
      this.#transfer?.abort();
      return this.#badAnswer(`answered ${status} to the handshake`);
    }
    // With the body right behind it, the head waits: should that turn out to be none, the client gets a clean refusal.
    this.#head = { status, headers };
    this.#announced = hasBody(this.method, status) ? announcedBytes(headers) : undefined;
    this.#owesStatus = this.#callStatusMissing(status, headers);
    if (!more && this.#announced !== 0) this.#sendHead(false);
  }

  /** Whether a call of gRPC has yet to report its status. */
  #callStatusMissing(status: number, headers: readonly string[]): boolean {
    if (!this.#grpc || status !== 200 || grpcKind(firstHeaderValue(headers, "content-type")) !== "grpc") return false;
    return firstHeaderValue(headers, "grpc-status") === undefined;
  }

  /** False: it could not be sent, and the client was told. */
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
    if (this.#announced !== undefined) {
      this.#received += chunk.length;
      // To a client of HTTP/1.1 the last byte is the end, so it waits for the service's own.
      if (this.#received >= this.#announced) return this.#holdLast(chunk, this.#announced);
    }
    if (this.#head && !this.#sendHead(true)) return true;
    if (this.#downstream.write(chunk)) return true;
    this.#watchStall();
    return false;
  }

  #holdLast(chunk: Buffer, announced: number): boolean {
    if (this.#received === announced) this.#last = chunk;
    else this.#notWhole("sent more than its Content-Length announces");
    return true;
  }

  onEnd(trailers: WholeEnd): void {
    if (this.#over) return;
    const extent = { marked: true, announced: this.#announced, received: this.#received };
    const end = endOf(extent, trailersToPass(trailers));
    if (!end) return this.#notWhole("sent less than its Content-Length announces");
    const status = firstHeaderValue(trailers, "grpc-status");
    if (this.#owesStatus && status === undefined) return this.#notWhole("ended the call without a status");
    if (!this.#sendHead(true)) return;
    if (this.#grpc && this.exchange.status === 200) this.exchange.saidByGrpc(status);
    this.#downstream.end(end, this.#last);
    this.#answered();
  }

  #notWhole(what: string): void {
    this.#transfer?.abort();
    this.#badAnswer(what);
  }

  onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    if (this.#over) return;
    if (this.#misread(status)) return this.#badAnswer(`answered ${status} to the handshake`);
    const announced = hasBody(this.method, status) ? announcedBytes(headers) : undefined;
    if (!endOf({ marked: true, announced, received: body?.length ?? 0 }, NO_TRAILERS)) {
      return this.#notWhole("sent a body of another length than it announces");
    }
    if (this.#callStatusMissing(status, headers)) return this.#notWhole("ended the call without a status");
    this.exchange.status = status;
    if (this.#grpc && status === 200) this.exchange.saidByGrpc(firstHeaderValue(headers, "grpc-status"));
    try {
      this.#downstream.whole(status, this.#answerHeaders(headers), body);
    } catch (error) {
      return this.defect(error);
    }
    this.#answered();
  }

  /** All of it is handed over; a client that does not take it must not stay for ever. */
  #answered(): void {
    this.#clearTotal();
    this.#discardBody();
  }

  onSwitch(_status: number, headers: readonly string[], socket: Duplex, rest: Buffer): void {
    const handshake = this.#handshake;
    if (this.#over || !handshake) return void socket.destroy();
    const { status, accept } = handshake;
    const other = firstHeaderValue(headers, "upgrade")?.toLowerCase() !== "websocket";
    if (other || (accept !== undefined && firstHeaderValue(headers, "sec-websocket-accept") !== accept)) {
      socket.destroy();
      return this.#badAnswer(
        other ? "switched to another protocol than the one asked for" : "accepted another handshake",
      );
    }
    this.#clearTotal();
    this.exchange.status = status;
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

  /** Whether the client would take an answer for its socket, though nobody has switched. */
  #misread(status: number): boolean {
    return this.#handshake?.status === 200 && status >= 200 && status < 300;
  }

  onFailure({ error, detail, refusal: given }: CallFailure): void {
    if (this.#over) return;
    const refusal = given ?? refuse(error, detail, { route: this.forward.route });
    if (!this.#downstream.headSent) return this.refuse(refusal);
    this.exchange.refusal = refusal;
    this.breakOff(error === "CLIENT_CLOSED" ? GATEWAY_FLAGS.CLIENT_CLOSED : refusal.flag, refusal);
  }

  /** Ends an answer that has begun, so that nobody takes it for whole. */
  breakOff(flag: GatewayFlag, refusal?: Refuse): void {
    this.exchange.flag ??= flag;
    // Trailers can still say what happened, but not that a body is as long as it was to be.
    const status = this.#grpc && refusal && this.#announced === undefined ? grpcFields(refusal) : undefined;
    if (!this.#downstream.cut(status)) return;
    this.exchange.status = refusal?.status ?? this.exchange.status;
    this.#answered();
  }

  /** What came behind the head of the request is nothing that can be read, before anything was answered. */
  broken(refusal: Refuse): void {
    this.#broken = true;
    this.#transfer?.abort();
    this.refuse(refusal);
  }

  /** A defect of ours ends this exchange and no other. */
  defect(error: unknown): void {
    this.#parts.host.log.error({ err: error }, `request failed in the gateway: ${messageOf(error)}`);
    this.#transfer?.abort();
    if (this.#downstream.headSent) return this.breakOff(GATEWAY_FLAGS.INTERNAL);
    this.refuse(refuse("INTERNAL", "The request could not be served.", { route: this.exchange.forward?.route }));
  }

  /** The gateway's own answer. */
  refuse(refusal: Refuse): void {
    const { exchange } = this;
    exchange.refusal = refusal;
    if (this.#over || this.#downstream.closed) return;
    exchange.flag = refusal.flag;
    exchange.status = refusal.status;
    this.#clearTotal();
    this.#head = undefined;
    const { forward, snapshot, head } = exchange;
    const route = forward?.route ?? refusal.route;
    const own = { route, headers: [...(forward?.answerHeaders ?? []), ...refusal.headers] };
    const { status, headers, body } = refusalAnswer(refusal, {
      grpc: this.#grpc,
      path: exchange.path,
      headers: ownHeaders(snapshot.table, head, own),
    });
    // Whoever came by the wrong connection needs another one.
    const misdirected = refusal.status === GatewayErrors.MISDIRECTED.status;
    if (misdirected || closesAfter(refusal)) this.#downstream.closeBehind();
    this.#closeIfLast();
    this.#downstream.whole(status, headers, body);
    this.#discardBody();
  }

  /** The gateway's own answer, which is no refusal. */
  answer(answer: Answer): void {
    const { route, status, body } = answer;
    if (this.#misread(status)) {
      return this.refuse(
        refuse("UPGRADE_UNSUPPORTED", `Route "${route.name}" answers itself and opens no WebSocket.`, { route }),
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

  /** A client that waits for leave may or may not send its body now; only a new connection is sure. */
  #closeIfLast(): void {
    if (this.#expectsContinue || this.#parts.stopping()) this.#downstream.closeBehind();
  }

  #discardBody(): void {
    if (this.#downstream.body && !this.#body?.whole) {
      // Whoever was sent it must not hold it back once it is read away.
      this.#body?.stop();
      this.#downstream.discard();
    }
    if (!this.#downstream.flushed) this.#watchStall();
  }

  #answerHeaders(headers: readonly string[]): string[] {
    const kept = answerHeaders(headers, this.forward.answerHeaders);
    const waits = this.#expectsContinue && this.#body?.whole === false;
    if (waits || this.#parts.stopping()) this.#downstream.closeBehind();
    return kept;
  }

  #watchStall(): void {
    const { host, settings } = this.#parts;
    // A caller of gRPC may hold a stream back on purpose, for as long as either side may be silent.
    const ms = (this.#grpc && this.exchange.forward?.route.idleMs) ?? settings.stallMs;
    this.#cancelStall ??= host.clock.after(ms, () => {
      this.#transfer?.abort();
      this.breakOff(GATEWAY_FLAGS.CLIENT_CLOSED);
    });
  }

  #clearTotal(): void {
    this.#cancelTotal?.();
    this.#cancelTotal = undefined;
  }

  onDrain(): void {
    this.#cancelStall?.();
    this.#cancelStall = undefined;
    this.#transfer?.resume();
  }

  onClose(complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#clearTotal();
    this.#cancelStall?.();
    this.#pace?.close();
    this.#transfer?.abort();
    const { forward, snapshot } = this.exchange;
    if (forward?.held !== undefined) snapshot.concurrency?.release(forward.held);
    this.exchange.finish(complete);
    this.#onOver(this);
  }
}
