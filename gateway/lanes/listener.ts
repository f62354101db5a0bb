/**
 * One port for every version of HTTP: HTTP/1.x and HTTP/2, by ALPN under TLS and by the first bytes in the clear. The
 * server of HTTP/1.x listens; connections that speak HTTP/2 are handed to a server that has no port of its own.
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

/** What a client of HTTP/2 sends first. No request of HTTP/1.x begins so: `PRI` is a method that is kept for this. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Requests at once on one connection; what browsers and gRPC clients reckon with. */
const STREAMS_MAX = 100;
/** Streams that a client may reset at once, and again per second. More is the rapid reset attack (CVE-2023-44487). */
const RESETS = { burst: 100, perSecond: 20 } as const;
/**
 * Streams of one connection that ended in an error, whoever found it, beyond which the connection ends: a client that
 * breaks the rules on purpose has the server do the resetting (CVE-2025-8671).
 */
const FAILED_STREAMS_MAX = 200;
/**
 * Streams beyond STREAMS_MAX that are refused one by one in the life of a connection, before it ends with all that it has.
 * A client may open many before it has read how many it may, and again after each pause; nghttp2 counts each of them as
 * an invalid frame, too.
 */
const REFUSED_STREAMS_MAX = 10_000;
/** MiB that nghttp2 may hold for one connection. */
const SESSION_MEMORY_MIB = 10;
/** Entries of one SETTINGS frame; the protocol has seven. */
const SETTINGS_MAX = 16;
/** Bytes that a client may have under way on one stream. */
const STREAM_WINDOW_BYTES = 256 * 1024;

export interface Http2Intake {
  /** A stream has begun and is still there a turn of the event loop later. */
  serve(stream: ServerHttp2Stream, rawHeaders: readonly string[], flags: number): void;
}

export class Http2Listener {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections that have not said yet what they speak. */
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
        // WebSockets come as streams of their own (RFC 8441).
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
      // nghttp2 would drop a field with spaces around its value, and the request would go on without it: readHead refuses it.
      strictFieldWhitespaceValidation: false,
    });
    this.#server.on("session", (session) => this.#onSession(session));
    this.#server.on("sessionError", () => {});
    this.#server.on("stream", (stream, _headers, flags, rawHeaders) => {
      // A stream that is reset in the same breath must not cost the upstream a request.
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

  /** Puts itself before a server of HTTP/1.x that listens in the clear. */
  attach(server: HttpServer): void {
    const onHttp1 = takeListener(server, "connection");
    server.on("connection", (socket: Socket) => this.#peek(socket, () => onHttp1.call(server, socket)));
  }

  /** Puts itself before one that listens with TLS and offers h2. `admit`: whether the other end is let in. */
  attachTls(server: HttpsServer, admit: (socket: TLSSocket) => boolean): void {
    const onHttp1 = takeListener(server, "secureConnection");
    server.on("secureConnection", (socket: TLSSocket) => {
      if (!admit(socket)) socket.destroy();
      else if (socket.alpnProtocol === "h2") this.#begin(socket);
      else onHttp1.call(server, socket);
    });
  }

  #begin(socket: Socket): void {
    // Node's server keeps its half open, and its session would not notice; but who ends a connection has left.
    socket.once("end", () => socket.destroy());
    this.#server.emit("connection", socket);
  }

  /** Looks at as many bytes as tell the two apart, and puts them back. */
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

  /** New requests go elsewhere; those under way end. */
  drain(): void {
    for (const session of this.#sessions) if (!session.closed) session.close();
    for (const socket of this.#silent) socket.destroy();
  }

  /** Cuts whatever is left. */
  destroy(): void {
    this.drain();
    for (const session of this.#sessions) session.destroy();
  }
}

/** Takes over the one listener by which Node's server begins to read a connection. */
function takeListener(
  server: HttpServer | HttpsServer,
  event: "connection" | "secureConnection",
): (this: unknown, socket: Socket) => void {
  const [listener, ...others] = server.listeners(event);
  if (!listener || others.length > 0) throw new Error(`the server has ${others.length + 1} listeners of ${event}`);
  server.removeAllListeners(event);
  return listener as (this: unknown, socket: Socket) => void;
}
