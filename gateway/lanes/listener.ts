/**
 * One port for all versions of HTTP: HTTP/1.x and HTTP/2, chosen by ALPN under TLS and by the first bytes in the clear.
 * The HTTP/1.x server listens. HTTP/2 connections are handed to a server without a port of its own.
 */
import type { Server as HttpServer } from "node:http";
import {
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "#base";
import { HEADER_FIELDS_MAX } from "../core/request/head.ts";
import type { GatewaySettings } from "../settings.ts";
import { Deadline } from "../upstream/deadline.ts";
import { watchRequest } from "../upstream/http2-end.ts";

/** The first bytes of an HTTP/2 client. No HTTP/1.x request starts with them: the method `PRI` is reserved for this. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Concurrent requests on one connection; browsers and gRPC clients expect this number. */
const STREAMS_MAX = 100;
/** Streams that a client may reset in a burst, and per second. More is the rapid reset attack (CVE-2023-44487). */
const RESETS = { burst: 100, perSecond: 20 } as const;
/**
 * Streams of one connection that may end in an error, on either side, before the connection is closed: an attacker
 * breaks the rules so that the server sends the resets (CVE-2025-8671).
 */
const FAILED_STREAMS_MAX = 200;
/**
 * Streams above STREAMS_MAX that are refused one by one before the whole connection ends. A client may open many before
 * it has read the limit, and again after each pause. nghttp2 also counts each of them as an invalid frame.
 */
const REFUSED_STREAMS_MAX = 10_000;
/** MiB that nghttp2 may hold for one connection. */
const SESSION_MEMORY_MIB = 10;
/** Entries of one SETTINGS frame; the protocol has seven. */
const SETTINGS_MAX = 16;
/** Bytes in transit from a client on one stream. */
const STREAM_WINDOW_BYTES = 256 * 1024;

export interface Http2Intake {
  /** A stream has started, and still exists one turn of the event loop later. */
  serve(stream: ServerHttp2Stream, rawHeaders: readonly string[], flags: number): void;
}

export class Http2Listener {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections whose protocol is not known yet. */
  readonly #silent = new Set<Socket>();
  readonly #clock: Clock;
  readonly #settings: GatewaySettings;

  constructor(clock: Clock, settings: GatewaySettings, intake: Http2Intake) {
    this.#clock = clock;
    this.#settings = settings;
    this.#server = createHttp2Server({
      settings: {
        maxConcurrentStreams: STREAMS_MAX,
        maxHeaderListSize: settings.headerBytesMax,
        initialWindowSize: STREAM_WINDOW_BYTES,
        // WebSockets are streams of their own (RFC 8441).
        enableConnectProtocol: true,
      },
      maxHeaderListPairs: HEADER_FIELDS_MAX,
      maxSessionMemory: SESSION_MEMORY_MIB,
      maxSessionInvalidFrames: REFUSED_STREAMS_MAX,
      maxSessionRejectedStreams: REFUSED_STREAMS_MAX,
      maxSettings: SETTINGS_MAX,
      maxOutstandingPings: 4,
      streamResetBurst: RESETS.burst,
      streamResetRate: RESETS.perSecond,
      strictSingleValueFields: false,
      // nghttp2 would drop a field with spaces around its value and continue without it. readHead refuses such a
      // request.
      strictFieldWhitespaceValidation: false,
    });
    this.#server.on("session", (session) => this.#onSession(session));
    this.#server.on("sessionError", () => {});
    this.#server.on("stream", (stream, _headers, flags, rawHeaders) => {
      // A stream that is reset at once must not cost the upstream a request.
      stream.on("error", () => {});
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) === 0) watchRequest(stream as ServerHttp2Stream);
      setImmediate(() => {
        if (!stream.destroyed && !stream.aborted) intake.serve(stream as ServerHttp2Stream, rawHeaders, flags);
      });
    });
  }

  #onSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    let streams = 0;
    let failed = 0;
    const idle = new Deadline(this.#clock, () => session.close());
    idle.set(this.#settings.keepAliveMs);
    session.on("stream", (stream) => {
      streams += 1;
      idle.clear();
      stream.once("close", () => {
        streams -= 1;
        if (streams === 0) idle.set(this.#settings.keepAliveMs);
        const { rstCode } = stream;
        if (rstCode !== constants.NGHTTP2_NO_ERROR && rstCode !== constants.NGHTTP2_CANCEL) failed += 1;
        if (failed > FAILED_STREAMS_MAX && !session.destroyed) {
          session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
        }
      });
    });
    session.on("error", () => {});
    session.on("close", () => {
      idle.close();
      this.#sessions.delete(session);
    });
  }

  /** Intercepts the connections of an HTTP/1.x server that listens in the clear. */
  attach(server: HttpServer): void {
    const onHttp1 = takeListener(server, "connection");
    server.on("connection", (socket: Socket) => this.#peek(socket, () => onHttp1.call(server, socket)));
  }

  /** Intercepts the connections of a TLS server that offers h2. `admit`: whether the client is admitted. */
  attachTls(server: HttpsServer, admit: (socket: TLSSocket) => boolean): void {
    const onHttp1 = takeListener(server, "secureConnection");
    server.on("secureConnection", (socket: TLSSocket) => {
      if (!admit(socket)) socket.destroy();
      else if (socket.alpnProtocol === "h2") this.#begin(socket);
      else onHttp1.call(server, socket);
    });
  }

  #begin(socket: Socket): void {
    // Node's server keeps its half open, and its session would not notice the end. But a client that ends its half has
    // disconnected.
    socket.once("end", () => socket.destroy());
    this.#server.emit("connection", socket);
  }

  /** Reads as many bytes as distinguish the two protocols, and puts them back. */
  #peek(socket: Socket, onHttp1: () => void): void {
    this.#silent.add(socket);
    const forget = () => {
      cancel();
      this.#silent.delete(socket);
      socket.off("readable", onReadable);
      socket.off("error", onError);
      socket.off("close", forget);
      socket.off("end", onEnd);
    };
    const onError = () => {};
    const onEnd = () => {
      forget();
      socket.destroy();
    };
    const onReadable = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen ? Buffer.concat([seen, chunk]) : chunk;
      const length = Math.min(seen.length, PREFACE.length);
      const alike = seen.compare(PREFACE, 0, length, 0, length) === 0;
      if (alike && length < PREFACE.length) return;
      forget();
      socket.unshift(seen);
      if (alike) this.#begin(socket);
      else onHttp1();
    };
    let seen: Buffer | undefined;
    const cancel = this.#clock.after(this.#settings.headersMs, () => {
      forget();
      socket.destroy();
    });
    socket.on("error", onError);
    socket.on("close", forget);
    socket.on("end", onEnd);
    socket.on("readable", onReadable);
  }

  /** Takes no new requests. Requests in progress finish. */
  drain(): void {
    for (const session of this.#sessions) if (!session.closed) session.close();
    for (const socket of this.#silent) socket.destroy();
  }

  /** Cuts all remaining connections. */
  destroy(): void {
    this.drain();
    for (const session of this.#sessions) session.destroy();
  }
}

/** Removes and returns the one listener by which Node's server starts to read a connection. */
function takeListener(
  server: HttpServer | HttpsServer,
  event: "connection" | "secureConnection",
): (this: unknown, socket: Socket) => void {
  const [listener, ...others] = server.listeners(event);
  if (!listener || others.length > 0) throw new Error(`the server has ${others.length + 1} listeners of ${event}`);
  server.removeAllListeners(event);
  return listener as (this: unknown, socket: Socket) => void;
}
