/**
 * The general lane, for everything that HTTP allows. Fastify and Node's parsers receive requests, one function decides,
 * and the gateway's own client carries them out. The path of a request, from top to bottom: head → decision → (a token
 * or a lease → decision) → passage.
 *
 * Fastify receives the path "/" for every request, so that only core/paths/path.ts parses paths, and releases the
 * request in its first hook, before it reads the body. HTTP/2 requests arrive beside it, as streams.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { SecureContext, TlsOptions, TLSSocket } from "node:tls";
import Fastify, { type FastifyInstance } from "fastify";
import type { Claims } from "../../core/callers/claims.ts";
import { grpcKind } from "../../core/request/grpc.ts";
import { isBadHead, readHead, type RawHead, type RequestHead, type TlsPeer } from "../../core/request/head.ts";
import { firstHeaderValue } from "../../core/request/header-list.ts";
import {
  decide,
  isUnsettled,
  refuse,
  refuseToken,
  type Answer,
  type Decision,
  type Forward,
  type Refuse,
  type Verify,
  type Wait,
} from "../../core/decision/pipeline.ts";
import { misdirection } from "../../core/routing/table.ts";
import { COMMON_METHODS } from "../../api.ts";
import type { Downstream } from "./downstream.ts";
import { Http1Downstream } from "./downstream-http1.ts";
import { http2Head, Http2Downstream } from "./downstream-http2.ts";
import { answerBroken, refuseBroken } from "../edge.ts";
import { Exchange } from "./exchange.ts";
import { GrpcWebDownstream } from "./grpc-web.ts";
import { Http2Listener } from "../listener.ts";
import { isLingering } from "../linger.ts";
import type { LaneParts } from "../parts.ts";
import type { Handshake } from "./handshake.ts";
import { Passage } from "./passage.ts";
import { NO_ROUTE, OTHER_METHOD } from "../telemetry.ts";
import type { TlsFront } from "../tls-front.ts";
import { asksForWebSocket, asksForWebSocketStream, responseOn, Upgrades } from "./upgrades.ts";

/** Milliseconds between two checks for late heads. */
const LATE_CHECK_MS = 1_000;
/** Never forwarded by a reverse proxy, whatever a route says. */
const NEVER_PASSED = new Set(["CONNECT", "TRACE"]);
/** Node also parses other versions, such as HTTP/0.9, and HTTP/2.0 without its frames. */
const VERSIONS = new Set(["1.0", "1.1", "2"]);

/** On a connection: its last request, in case its remaining bytes turn out to be malformed. */
const RESPONSE = Symbol("last response");
const PASSAGE = Symbol("last passage");
/** On a connection: the TLS peer. */
const PEER = Symbol("TLS peer");

interface Connection {
  [RESPONSE]?: ServerResponse;
  [PASSAGE]?: Passage;
  [PEER]?: TlsPeer;
}

export class GeneralLane {
  readonly #parts: LaneParts;
  readonly #scheme: "http" | "https";
  /** The port of the config's listeners; undefined: the process's own. */
  readonly #port: number | undefined;
  readonly #app: FastifyInstance;
  readonly #http2: Http2Listener;
  readonly #upgrades: Upgrades;
  #tls: TlsFront | undefined;

  /** One lane per port. `tls`: it serves HTTPS. `port`: it belongs to listeners of the config. */
  constructor(parts: LaneParts, tls: TlsFront | undefined, port?: number) {
    this.#parts = parts;
    this.#tls = tls;
    this.#port = port;
    this.#scheme = tls ? "https" : "http";
    this.#upgrades = new Upgrades(parts.host, (downstream, handshake) => this.#serve(downstream, handshake));
    this.#app = this.#build(tls);
    this.#http2 = new Http2Listener(parts.host.clock, parts.settings, {
      serve: (stream, rawHeaders, flags) => this.#serveHttp2(stream, rawHeaders, flags),
    });
    if (tls) this.#http2.attachTls(this.#app.server as unknown as HttpsServer, (socket) => this.#admit(socket));
    else this.#http2.attach(this.#app.server);
  }

  #admit(socket: TLSSocket): boolean {
    const peer = this.#tls?.admit(socket);
    if (peer) (socket as Connection)[PEER] = peer;
    return peer !== undefined;
  }

  /** A failure ends this handshake only. */
  readonly #onServerName: NonNullable<TlsOptions["SNICallback"]> = (serverName, done) => {
    let context: SecureContext | undefined;
    try {
      context = this.#tls?.contextFor(serverName);
    } catch (error) {
      return done(error as Error);
    }
    done(null, context);
  };

  #build(tls: TlsFront | undefined): FastifyInstance {
    const { settings } = this.#parts;
    const server = {
      maxHeaderSize: settings.headerBytesMax,
      headersTimeout: settings.headersMs,
      // Bodies have a minimum rate instead, in pace.ts.
      requestTimeout: 0,
      connectionsCheckingInterval: LATE_CHECK_MS,
      // A missing Host is refused by readHead, as a problem document.
      requireHostHeader: false,
      insecureHTTPParser: false,
      // The protocol allows ignoring other upgrades.
      shouldUpgradeCallback: asksForWebSocket,
    };
    const common = {
      logger: false,
      trustProxy: false,
      // While draining, requests are still answered, with "connection: close".
      return503OnClosing: false,
      forceCloseConnections: false,
      requestTimeout: 0,
      keepAliveTimeout: settings.keepAliveMs,
      exposeHeadRoutes: false,
      rewriteUrl: () => "/",
      clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => this.#onClientError(error, socket),
    } as const;
    const app: FastifyInstance = tls
      ? (Fastify({
          ...common,
          https: {
            ...server,
            ...tls.serverOptions,
            ALPNProtocols: ["h2", "http/1.1"],
            ...(this.#port === undefined ? {} : { SNICallback: this.#onServerName }),
          },
        }) as FastifyInstance)
      : Fastify({ ...common, http: server });
    // Node would drop further headers silently. readHead refuses the request.
    app.server.maxHeadersCount = 0;
    // A 100 is sent when the upstream wants the body, not before the request was examined.
    for (const event of ["checkContinue", "checkExpectation"] as const) {
      app.server.on(event, (request, response) => app.server.emit("request", request, response));
    }
    app.server.on("upgrade", (request: IncomingMessage, socket: Socket, first: Buffer) =>
      this.#upgrades.take(request, socket, first, this.#rawHead(request, request.url ?? "")),
    );
    app.server.on("connect", (request: IncomingMessage) => this.#serveConnect(request));
    // Hooks also run for requests without a route. From here on the exchange handles the request.
    app.addHook("onRequest", (request, reply) => {
      reply.hijack();
      this.#serveHttp1(request.raw, reply.raw, request.originalUrl);
    });
    app.route({ method: [...COMMON_METHODS], url: "/", handler: () => {} });
    return app;
  }

  /** Node cannot parse further. A request in progress fails; one that never started is counted here. */
  #onClientError(error: Error & { code?: string }, socket: Socket): void {
    const { [RESPONSE]: response, [PASSAGE]: passage } = socket as Connection;
    // Errors for bytes after a last request do not matter.
    if (isLingering(socket)) return;
    const refusal = refuseBroken(error);
    if (!refusal || !socket.writable) return void socket.destroy(error);
    if (response && passage && !(response.writableFinished && response.req.complete)) {
      // The client ended its half in the middle of a body, which is how clients disconnect.
      const left = error.code === "HPE_INVALID_EOF_STATE";
      if (!left && !response.headersSent) return passage.broken(refusal);
      // After an answer, a second one would be read as the answer to the next request.
      if (!left && !response.writableEnded) passage.exchange.flag ??= refusal.flag;
      return void socket.destroy(error);
    }
    const { metrics, accessLog, host } = this.#parts;
    answerBroken(host.clock, socket, refusal);
    const { status, flag } = refusal;
    metrics.refusal(flag);
    metrics.request(NO_ROUTE, OTHER_METHOD, status);
    const line = { route: NO_ROUTE, status, flag, cause: error.code };
    accessLog.request(line);
  }

  #rawHead(request: IncomingMessage, target: string): RawHead {
    return {
      method: request.method ?? "",
      target,
      version: request.httpVersion,
      scheme: this.#scheme,
      peer: request.socket.remoteAddress ?? "",
      port: this.#port,
      tls: (request.socket as Connection)[PEER],
      rawHeaders: request.rawHeaders,
    };
  }

  #serveHttp1(request: IncomingMessage, response: ServerResponse, target: string): void {
    const connection = request.socket as Connection;
    if (isLingering(request.socket)) return;
    const head = this.#rawHead(request, target);
    connection[RESPONSE] = response;
    connection[PASSAGE] = this.#serve(new Http1Downstream(this.#parts.host.clock, request, response, head));
  }

  /** Node hands over the socket, as for a tunnel. The method is refused like other methods that are not forwarded. */
  #serveConnect(request: IncomingMessage): void {
    const { socket } = request;
    socket.on("error", () => {});
    const head = this.#rawHead(request, request.url ?? "");
    const downstream = new Http1Downstream(this.#parts.host.clock, request, responseOn(socket, request), head);
    downstream.closeBehind();
    this.#serve(downstream);
  }

  #serveHttp2(stream: ServerHttp2Stream, rawHeaders: readonly string[], flags: number): void {
    const { session } = stream;
    if (!session || session.destroyed) return;
    const { socket } = session;
    const peer = socket.remoteAddress ?? "";
    const tls = (socket as Connection)[PEER];
    const head = http2Head(rawHeaders, { scheme: this.#scheme, peer, port: this.#port, tls });
    if (asksForWebSocketStream(head, rawHeaders)) return this.#upgrades.takeStream(stream, head);
    const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    this.#serve(new Http2Downstream(this.#parts.host.clock, stream, head, ended ? "ended" : "body"));
  }

  /**
   * The steps before the upstream: read the head, decide, verify a token or wait for a lease if needed, decide again.
   */
  #serve(client: Downstream, handshake?: Handshake): Passage {
    const { host, inFlight } = this.#parts;
    const grpc =
      client.head.method === "POST" ? grpcKind(firstHeaderValue(client.head.rawHeaders, "content-type")) : undefined;
    const downstream = grpc === "web" || grpc === "web-text" ? new GrpcWebDownstream(client, grpc) : client;
    const snapshot = this.#parts.snapshot();
    const head = readHead(downstream.head, snapshot.table.ports);
    const exchange = new Exchange(host, this.#parts, { raw: downstream.head, head, snapshot });
    const passage = new Passage(this.#parts, downstream, exchange, { grpc, handshake, onOver: this.#onOver });
    inFlight.count++;
    try {
      this.#begin(passage);
    } catch (error) {
      passage.defect(error);
    }
    return passage;
  }

  #begin(passage: Passage): void {
    const refusal = this.#refuseAtOnce(passage);
    if (refusal) return passage.refuse(refusal);
    const first = this.#decide(passage);
    if (isUnsettled(first)) void this.#settle(passage, first);
    else this.#proceed(passage, first);
  }

  readonly #onOver = (): void => {
    this.#parts.inFlight.count--;
  };

  /** Ends: with verified claims nothing is left to verify, and each wait is limited. */
  async #settle(passage: Passage, first: Verify | Wait): Promise<void> {
    const { tokens, leases } = this.#parts;
    let decision: Decision = first;
    let claims: Claims | undefined;
    try {
      while (isUnsettled(decision)) {
        if (decision.kind === "wait") {
          await leases.wait(decision.lease);
          if (passage.over) return leases.limits.leave(decision.lease);
          decision = this.#decide(passage, claims, decision);
          continue;
        }
        const { provider, token, route } = decision;
        const verdict = await tokens.verify(provider, token);
        if (passage.over) return;
        decision = verdict.claims ? this.#decide(passage, verdict.claims) : refuseToken(verdict.error, route);
        claims = verdict.claims;
      }
      this.#proceed(passage, decision);
    } catch (error) {
      passage.defect(error);
    }
  }

  /** Refusals that do not depend on routes. */
  #refuseAtOnce(passage: Passage): Refuse | undefined {
    const { head, snapshot, raw } = passage.exchange;
    if (NEVER_PASSED.has(raw.method)) {
      return refuse("METHOD_NOT_ALLOWED", `The gateway does not forward ${raw.method} requests.`, {
        headers: [["allow", COMMON_METHODS.join(", ")]],
      });
    }
    if (!VERSIONS.has(raw.version)) {
      return refuse("REQUEST_INVALID", `HTTP/${raw.version} is not supported. Use HTTP/1.1 or HTTP/2.`);
    }
    if (isBadHead(head)) return refuse(head.error, head.detail);
    const misdirected = this.#port === undefined ? undefined : misdirection(snapshot.table, head, raw);
    if (misdirected !== undefined) return refuse("MISDIRECTED", misdirected);
    const expect = head.header("expect");
    if (expect.length > 0) {
      if (expect.length > 1 || (expect[0] as string).toLowerCase() !== "100-continue") {
        return refuse("EXPECTATION_FAILED", "The only supported expectation is 100-continue.");
      }
      if (raw.version !== "1.0") passage.expectContinue();
    }
    return undefined;
  }

  #decide({ exchange }: Passage, claims?: Claims, waited?: Wait) {
    const { clock, random } = this.#parts.host;
    return decide(exchange.snapshot, exchange.head as RequestHead, {
      nowMs: clock.monotonic(),
      wallMs: clock.now(),
      random: () => random.float(),
      pressure: this.#parts.pressure(),
      ...(claims ? { claims } : {}),
      ...(waited ? { waited } : {}),
    });
  }

  #proceed(passage: Passage, decision: Forward | Answer | Refuse): void {
    if (decision.kind === "refuse") passage.refuse(decision);
    else if (decision.kind === "answer") passage.answer(decision);
    else passage.go(decision);
  }

  /** Returns the port. @throws the system's own error, such as EADDRINUSE */
  async listen(host: string, port: number): Promise<number> {
    await this.#app.listen({ host, port });
    return (this.#app.server.address() as AddressInfo).port;
  }

  /** Serves new connections with other certificates, of the same mode. Ignored in the clear. */
  setTls(tls: TlsFront): void {
    if (!this.#tls) return;
    (this.#app.server as unknown as HttpsServer).setSecureContext(tls.contextOptions);
    const others = tls.trusts !== this.#tls.trusts;
    this.#tls = tls;
    // Clients verified by other CAs must reconnect. Requests that they still send here are refused.
    if (!others) return;
    this.#http2.drain();
    this.closeIdle();
  }

  /** Calls back when the port is closed. */
  onClosed(listener: () => void): void {
    this.#server.once("close", listener);
  }

  /** Takes no new connections. Resolves when the last one has ended. */
  async close(): Promise<void> {
    this.#http2.drain();
    await this.#app.close();
  }

  /** Closes idle connections. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  /** Cuts all remaining connections. */
  destroy(): void {
    this.#upgrades.destroy();
    this.#http2.destroy();
    this.#server.closeAllConnections();
  }

  get #server(): Server {
    return this.#app.server;
  }
}
