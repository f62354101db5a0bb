/**
 * The general lane: Fastify takes the request in, @fastify/http-proxy carries it out over our own dispatcher. One
 * request's path, top to bottom: head → decision → (token check → decision) → upstream → answer.
 *
 * Both libraries are kept from having opinions. Fastify is told the path "/" for every request, so that there is one
 * reader of the path, core/path.ts, and the body is never parsed. http-proxy is handed an object with a `request`
 * method in place of a dispatcher: choice of endpoint, retries, TLS, limits and timeouts are behind it, in upstream/.
 * What it cannot be told by options is replaced: it passes a body on only for methods that Fastify gives one, buffers
 * nothing but counts nothing, and knows neither Expect nor a client that left; all four are done here.
 */
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { Socket } from "node:net";
import httpProxy from "@fastify/http-proxy";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { formatTraceparent, messageOf, type Host, type Span } from "#base";
import { GATEWAY_FLAGS, OWN_LISTENER } from "../api.ts";
import { isBadHead, readHead, type RequestHead } from "../core/head.ts";
import { downstreamHeaders, refusalHeaders, upstreamHeaders, type AnswerHeaders } from "../core/headers.ts";
import {
  decide,
  refuse,
  refuseToken,
  type Answer,
  type Forward,
  type GatewaySnapshot,
  type HeaderPair,
  type Refuse,
  type Verify,
} from "../core/pipeline.ts";
import type { Chain } from "../filters/chain.ts";
import type { TokenVerifier } from "../filters/jwt.ts";
import type { GatewaySettings, TlsIdentity } from "../settings.ts";
import type { UpstreamAnswer } from "../upstream/call.ts";
import { drainRequest, onClientError, sendAnswer } from "./edge.ts";
import { Exchange } from "./exchange.ts";
import { FLAG_HEADER, PROBLEM_TYPE, problemText } from "./problem.ts";
import type { GatewayMetrics } from "./telemetry.ts";

/** Milliseconds between two looks for requests that are late. */
const LATE_CHECK_MS = 1_000;
/** What http-proxy calls its upstream. No request ever goes there; the dispatcher has the endpoint. */
const NOWHERE = "http://gateway.invalid";
/** Methods that are passed on. CONNECT and TRACE are not for a reverse proxy. */
const METHODS = new Set(["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT", "OPTIONS"]);

export interface LaneParts {
  readonly host: Host;
  readonly settings: GatewaySettings;
  readonly metrics: GatewayMetrics;
  readonly tokens: TokenVerifier;
  /** The upstream, with what lies before it. */
  readonly chain: Chain;
  snapshot(): GatewaySnapshot;
  /** True once the gateway stops: connections then end with their answer. */
  stopping(): boolean;
  /**
   * How many exchanges are under way, in all lanes. A number and not a Set of them: a Set that is added to and deleted
   * from all the time leaves a chain of outgrown tables, and one of them in the old generation keeps every exchange
   * since alive through young collections (measured: 16 ms each instead of 2).
   */
  readonly inFlight: { count: number };
}

/** An exchange with its two ends in Fastify. */
interface Wire {
  readonly exchange: Exchange;
  readonly reply: FastifyReply;
  /** Ends the wait for the last byte. */
  cancelTotal: () => void;
  /** Whether the upstream's answer has begun. */
  answered: boolean;
}

/**
 * Where a request, its socket and the headers on their way through http-proxy (which copies symbols, too) keep their
 * wire. Not a WeakMap: one entry per request there holds every request until a full collection, and doubles the memory.
 */
const WIRE = Symbol("wire");

interface Wired {
  [WIRE]?: Wire;
}

interface ProxiedRequest {
  readonly headers: { readonly [WIRE]?: Wire };
}
type ProxiedCallback = (
  error: Error | null,
  answer?: { statusCode: number; headers: AnswerHeaders; body: Readable },
) => void;

export class GeneralLane {
  readonly #parts: LaneParts;
  readonly #scheme: "http" | "https";
  readonly #listener: string;
  readonly app: FastifyInstance;

  /** One lane per listener; `tls` makes it an HTTPS one. */
  constructor(parts: LaneParts, tls: TlsIdentity | undefined, listener: string = OWN_LISTENER) {
    this.#parts = parts;
    this.#listener = listener;
    this.#scheme = tls ? "https" : "http";
    this.app = this.#build(tls);
  }

  #build(tls: TlsIdentity | undefined): FastifyInstance {
    const { settings } = this.#parts;
    const server = {
      maxHeaderSize: settings.headerBytesMax,
      headersTimeout: settings.headersMs,
      requestTimeout: settings.requestMs,
      connectionsCheckingInterval: LATE_CHECK_MS,
      // A missing Host is refused by readHead, as a problem document.
      requireHostHeader: false,
      insecureHTTPParser: false,
    };
    const common = {
      logger: false,
      trustProxy: false,
      // Draining answers what still comes, and says close.
      return503OnClosing: false,
      forceCloseConnections: false,
      requestTimeout: settings.requestMs,
      keepAliveTimeout: settings.keepAliveMs,
      exposeHeadRoutes: false,
      rewriteUrl: () => "/",
      clientErrorHandler: (error: Error & { code?: string }, socket: Socket) =>
        onClientError(error, socket, (socket as Wired)[WIRE]),
    } as const;
    const app: FastifyInstance = tls
      ? (Fastify({
          ...common,
          https: { ...server, key: tls.key, cert: tls.cert, minVersion: "TLSv1.2", ALPNProtocols: ["http/1.1"] },
        }) as FastifyInstance)
      : Fastify({ ...common, http: server });
    // Node would drop what is beyond in silence; readHead refuses it.
    app.server.maxHeadersCount = 0;
    // Leave to send is given when the upstream wants the body, not before the request was even looked at.
    for (const event of ["checkContinue", "checkExpectation"] as const) {
      app.server.on(event, (request, response) => app.server.emit("request", request, response));
    }
    app.addHook("onRequest", (request, reply, done) => this.#onRequest(request, reply, done));
    app.setErrorHandler((error, request, reply) => this.#onDefect(error, request, reply));
    app.setNotFoundHandler((_request, reply) => this.#sendRefusal(reply));
    app.removeAllContentTypeParsers();
    void app.register(httpProxy, {
      upstream: NOWHERE,
      httpMethods: [...METHODS],
      disableRequestLogging: true,
      internalRewriteLocationHeader: false,
      undici: {
        request: (options: unknown, done: unknown) =>
          this.#dispatch(options as ProxiedRequest, done as ProxiedCallback),
      } as never,
      handler: (_request, reply, _destination, options) => reply.from("/", options),
      replyOptions: {
        // No second retry behind the first: ten hidden ones on 503 are http-proxy's default.
        retryDelay: () => null,
        queryString: () => "",
        rewriteRequestHeaders: (request) => ({ [WIRE]: (request.raw as Wired)[WIRE] }) as never,
        rewriteHeaders: (headers, request) =>
          this.#answerHeaders(headers as AnswerHeaders, request?.raw as IncomingMessage) as never,
        onResponse: (_request, reply, answer) =>
          sendAnswer(reply as unknown as FastifyReply, answer.stream as unknown as Readable),
        onError: (reply) => this.#sendRefusal(reply as unknown as FastifyReply),
      },
    });
    return app;
  }

  /** Everything before the upstream: read the head, decide, check a token if need be, decide again. */
  #onRequest(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
    const wire = this.#begin(request, reply);
    const { exchange } = wire;
    const refusal = this.#refuseAtOnce(exchange, request.raw);
    if (refusal) return this.#refuse(wire, refusal);
    const head = exchange.head as RequestHead;
    const first = this.#decide(exchange, head);
    if (first.kind !== "verify") return this.#proceed(wire, first, done);
    void this.#verify(wire, first, done);
  }

  async #verify(wire: Wire, { provider, token, route }: Verify, done: () => void): Promise<void> {
    const { exchange, reply } = wire;
    const verdict = await this.#parts.tokens.verify(provider, token);
    if (exchange.cut) return;
    try {
      const second = verdict.claims
        ? this.#decide(exchange, exchange.head as RequestHead, verdict.claims)
        : refuseToken(verdict.error, route);
      // With claims in hand nothing is left to verify.
      if (second.kind !== "verify") this.#proceed(wire, second, done);
    } catch (error) {
      this.#onDefect(error, reply.request, reply);
    }
  }

  #begin(request: FastifyRequest, reply: FastifyReply): Wire {
    const { host, metrics, inFlight } = this.#parts;
    const { raw } = request;
    const method = raw.method ?? "";
    const head = readHead({
      method,
      target: request.originalUrl,
      version: raw.httpVersion,
      scheme: this.#scheme,
      peer: raw.socket.remoteAddress ?? "",
      listener: this.#listener,
      rawHeaders: raw.rawHeaders,
    });
    const exchange = new Exchange(host, metrics, {
      head,
      method,
      rawHeaders: raw.rawHeaders,
      snapshot: this.#parts.snapshot(),
    });
    const wire: Wire = { exchange, reply, cancelTotal: () => {}, answered: false };
    (raw as Wired)[WIRE] = wire;
    (raw.socket as Wired)[WIRE] = wire;
    inFlight.count++;
    reply.raw.once("close", () => {
      const complete = reply.raw.writableFinished;
      wire.cancelTotal();
      // A broken answer has said so already; else it is the client that left.
      if (!complete) exchange.cutBy("client");
      inFlight.count--;
      exchange.finish(reply.raw.statusCode, complete);
    });
    return wire;
  }

  /** What is refused whatever the routes say. */
  #refuseAtOnce(exchange: Exchange, raw: IncomingMessage): Refuse | undefined {
    const { head } = exchange;
    if (isBadHead(head)) return refuse(head.error, head.detail);
    if (!METHODS.has(head.method)) {
      return refuse("METHOD_NOT_ALLOWED", `${head.method} is not passed on.`, {
        headers: [["allow", [...METHODS].join(", ")]],
      });
    }
    const expect = head.header("expect");
    if (expect.length > 0) {
      if (expect.length > 1 || (expect[0] as string).toLowerCase() !== "100-continue") {
        return refuse("EXPECTATION_FAILED", "The only expectation known here is 100-continue.");
      }
      exchange.expectsContinue = raw.httpVersion !== "1.0";
    }
    // Other upgrades may be ignored by the protocol's own rules; a WebSocket handshake needs an answer.
    if (head.header("upgrade").some((value) => value.toLowerCase().includes("websocket"))) {
      return refuse("UPGRADE_UNSUPPORTED", "This gateway does not carry WebSocket connections yet.");
    }
    return undefined;
  }

  #decide(exchange: Exchange, head: RequestHead, claims?: Readonly<Record<string, unknown>>) {
    const { clock, random } = this.#parts.host;
    return decide(exchange.snapshot, head, {
      nowMs: clock.monotonic(),
      wallMs: clock.now(),
      random: () => random.float(),
      ...(claims ? { claims } : {}),
    });
  }

  #proceed(wire: Wire, decision: Forward | Answer | Refuse, done: () => void): void {
    if (decision.kind === "refuse") return this.#refuse(wire, decision);
    if (decision.kind === "answer") return this.#answer(wire, decision);
    const { exchange } = wire;
    exchange.forward = decision;
    const { route } = decision;
    const { raw } = wire.reply.request;
    if (Number(raw.headers["content-length"] ?? 0) > route.bodyBytesMax) {
      const detail = `The body is larger than the ${route.bodyBytesMax} bytes that this route takes.`;
      return this.#refuse(wire, refuse("BODY_TOO_LARGE", detail, { route }));
    }
    // Fastify would judge the type and refuse what it does not know; it is the upstream's business.
    delete raw.headers["content-type"];
    if (route.totalMs !== undefined) {
      wire.cancelTotal = this.#parts.host.clock.after(route.totalMs, () => exchange.cutBy("total"));
    }
    done();
  }

  /** In the place of undici's `request`, called by http-proxy. */
  #dispatch({ headers }: ProxiedRequest, done: ProxiedCallback): void {
    const wire = headers[WIRE];
    if (!wire) return done(new Error("a request came to the dispatcher without its exchange"));
    void this.#forwardTo(wire, done);
  }

  async #forwardTo(wire: Wire, done: ProxiedCallback): Promise<void> {
    const answer = await this.#forward(wire);
    if (answer) done(null, { statusCode: answer.status, headers: answer.headers, body: answer.stream });
    else done(new Error("refused"));
  }

  async #forward(wire: Wire): Promise<UpstreamAnswer | undefined> {
    const { exchange, reply } = wire;
    const forward = exchange.forward as Forward;
    const message = reply.request.raw;
    const { "content-length": length, "transfer-encoding": encoding } = message.headers;
    const hasBody = encoding !== undefined || Number(length ?? 0) > 0;
    const answer = await this.#parts.chain.run({
      forward,
      method: exchange.method,
      headers: (endpoint, span) =>
        upstreamHeaders(exchange.head as RequestHead, exchange.rawHeaders, {
          table: exchange.snapshot.table,
          authority: forward.authority ?? endpoint.authority,
          contentLength: hasBody ? length : undefined,
          edits: forward.edits,
          set: [...forward.setHeaders, ...traceHeaders(span.context)],
        }),
      body: hasBody ? message : undefined,
      onBodyStart: () => {
        if (exchange.expectsContinue && !reply.raw.headersSent) reply.raw.writeContinue();
      },
      startSpan: (endpoint) => this.#startClientSpan(exchange, endpoint.authority),
      signal: exchange.abort.signal,
    });
    if (!answer.ok) {
      exchange.refusal =
        exchange.cut === "total"
          ? refuse("UPSTREAM_TIMEOUT", `Service "${forward.route.cluster.service}" did not answer in time.`, forward)
          : (answer.refusal ?? refuse(answer.error, answer.detail, forward));
      return undefined;
    }
    exchange.atEnd(() => {
      answer.release();
      if (answer.span.recording) answer.span.set("http.response.status_code", answer.status);
      answer.span.end();
    });
    wire.answered = true;
    // An event stream ends when it ends; only silence cuts it.
    if (String(answer.headers["content-type"]).startsWith("text/event-stream")) wire.cancelTotal();
    answer.stream.once("error", (error: Error & { code?: string }) => {
      const late = exchange.cut === "total" || error.code === "UND_ERR_BODY_TIMEOUT";
      if (exchange.cut !== "client")
        exchange.flag ??= late ? GATEWAY_FLAGS.UPSTREAM_TIMEOUT : GATEWAY_FLAGS.UPSTREAM_RESET;
    });
    // Not longer than the client: it may have left while the answer was on its way.
    if (exchange.cut === "client") answer.stream.destroy();
    return answer;
  }

  #startClientSpan(exchange: Exchange, authority: string) {
    // Nobody reads the spans of an unsampled trace, so its one id serves both sides.
    if (!exchange.span.recording) return unread(exchange.span);
    const span = this.#parts.host.tracer.start(exchange.method, { kind: "client", parent: exchange.span.context });
    span.set("http.request.method", exchange.method);
    span.set("server.address", authority);
    return span;
  }

  #answerHeaders(headers: AnswerHeaders, raw: IncomingMessage): Record<string, string | string[]> {
    const kept = downstreamHeaders(headers);
    for (const [name, value] of (raw as Wired)[WIRE]?.exchange.forward?.answerHeaders ?? []) kept[name] = value;
    if (this.#parts.stopping()) kept["connection"] = "close";
    return kept;
  }

  /** The gateway's own answer, which is no refusal. */
  #answer({ exchange, reply }: Wire, { route, status, headers, body }: Answer): void {
    exchange.answeredBy = route;
    if (exchange.cut === "client" || reply.raw.destroyed) return void reply.hijack();
    drainRequest(reply.request.raw);
    for (const [name, value] of headers) reply.header(name, value);
    if (exchange.expectsContinue || this.#parts.stopping()) reply.header("connection", "close");
    const bytes = Buffer.from(body);
    if (status !== 204 && status !== 304) reply.header("content-length", bytes.length);
    void reply.code(status).send(bytes.length === 0 ? undefined : bytes);
  }

  #sendRefusal(reply: FastifyReply): void {
    const wire = (reply.request.raw as Wired)[WIRE];
    if (wire) this.#refuse(wire, wire.exchange.refusal ?? refuse("INTERNAL", "The request could not be served."));
  }

  #refuse({ exchange, reply }: Wire, refusal: Refuse): void {
    exchange.refusal = refusal;
    if (exchange.cut === "client" || reply.raw.destroyed) return void reply.hijack();
    exchange.flag = refusal.flag;
    // A client that waits for leave may or may not send its body now; only a new connection is sure.
    const closes = closesAfter(refusal) || exchange.expectsContinue || this.#parts.stopping();
    const headers: readonly HeaderPair[] = [
      ...refusalHeaders(exchange.forward),
      ...refusal.headers,
      ["content-type", PROBLEM_TYPE],
      ["cache-control", "no-store"],
      [FLAG_HEADER, refusal.flag],
      ...(closes ? ([["connection", "close"]] as const) : []),
    ];
    for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name);
    drainRequest(reply.request.raw);
    // As bytes: to a text Fastify would add a charset, which application/problem+json has none of.
    const body = Buffer.from(problemText(refusal, exchange.path));
    void reply.code(refusal.status).headers(Object.fromEntries(headers)).send(body);
  }

  /** An answer that broke before its first byte went out, or a defect of ours. */
  #onDefect(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const wire = (request.raw as Wired)[WIRE];
    if (!wire) return void reply.hijack();
    const { exchange, answered } = wire;
    const { forward, flag } = exchange;
    if (answered && forward) {
      const late = flag === GATEWAY_FLAGS.UPSTREAM_TIMEOUT;
      const refusal = late
        ? refuse("UPSTREAM_TIMEOUT", "The answer did not come in time.", forward)
        : refuse("UPSTREAM_RESET", "The answer broke off before its first byte.", forward);
      return this.#refuse(wire, refusal);
    }
    this.#parts.host.log.error({ err: error }, `request failed in the gateway: ${messageOf(error)}`);
    this.#refuse(wire, refuse("INTERNAL", "The request could not be served.", { route: forward?.route }));
  }
}

/** After a request that could not be read there is no telling where the next one begins. */
function closesAfter(refusal: Refuse): boolean {
  return refusal.flag === "DPE" || refusal.flag === "UG";
}

/** A span's context without the span. */
function unread({ context }: Span): Span {
  return { context, recording: false, set() {}, fail() {}, end() {} };
}

function traceHeaders(context: Parameters<typeof formatTraceparent>[0]): HeaderPair[] {
  const headers: HeaderPair[] = [["traceparent", formatTraceparent(context)]];
  if (context.state) headers.push(["tracestate", context.state]);
  return headers;
}
