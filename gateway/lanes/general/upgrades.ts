/**
 * WebSocket handshakes. Until the upstream has switched protocols, a handshake is an ordinary request: it is matched,
 * authorized, limited and counted, and any other answer of the upstream is passed on. Then the two sockets are joined.
 * In HTTP/2 the client's side is a stream (RFC 8441); behind the lane it looks like the same GET, with a key that the
 * gateway made.
 */
import { createHash } from "node:crypto";
import { ServerResponse, type IncomingMessage } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Host } from "#base";
import { fieldLines } from "../../core/request/field-lines.ts";
import type { RawHead } from "../../core/request/head.ts";
import type { Downstream } from "./downstream.ts";
import { Http1Downstream } from "./downstream-http1.ts";
import { Http2Downstream } from "./downstream-http2.ts";
import type { Handshake } from "./handshake.ts";
import { Tunnel, type TunnelOptions } from "./tunnel.ts";

/** Bytes that a client may send before the protocol has switched. */
const EARLY_BYTES_MAX = 64 * 1024;

/**
 * Whether Node should treat a request as a handshake. HTTP/1.0 has none, and a request with a body is an ordinary one.
 */
export function asksForWebSocket(request: IncomingMessage): boolean {
  const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers;
  if (encoding !== undefined || Number(length) > 0) return false;
  return request.httpVersion === "1.1" && request.headers.upgrade?.trim().toLowerCase() === "websocket";
}

/**
 * The same for a stream; `rawHeaders` are its fields. Requests for other protocols use the same method, and are refused
 * with it.
 */
export function asksForWebSocketStream({ method }: RawHead, rawHeaders: readonly string[]): boolean {
  if (method !== "CONNECT") return false;
  const at = rawHeaders.indexOf(":protocol");
  return at >= 0 && at % 2 === 0 && rawHeaders[at + 1] === "websocket";
}

/** A server appends this to the key before it hashes both. @see RFC 6455 §1.3 */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Fields that only HTTP/1.1 handshakes have. Each side of the gateway has its own key, or none. */
const OF_KEYS = new Set(["sec-websocket-key", "sec-websocket-accept"]);

function withoutKeys(headers: readonly string[]): string[] {
  return headers.filter((_, at) => !OF_KEYS.has((headers[at - (at % 2)] as string).toLowerCase()));
}

/** For a socket that Node's server has released: its one answer is sent like any other. */
export function responseOn(socket: Socket, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once("finish", () => socket.destroySoon());
  return response;
}

export class Upgrades {
  readonly #host: Host;
  readonly #serve: (downstream: Downstream, handshake: Handshake) => void;
  readonly #tunnels = new Set<Tunnel>();
  /** Sockets of handshakes and tunnels, which Node's server no longer tracks. */
  readonly #sockets = new Set<Socket>();

  constructor(host: Host, serve: (downstream: Downstream, handshake: Handshake) => void) {
    this.#host = host;
    this.#serve = serve;
  }

  take(request: IncomingMessage, socket: Socket, first: Buffer, head: RawHead): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    const response = responseOn(socket, request);
    const early = first.length > 0 ? [first] : [];
    let bytes = first.length;
    // Reads continuously, because otherwise a disconnect of the client would go unnoticed.
    const onData = (chunk: Buffer) => {
      early.push(chunk);
      bytes += chunk.length;
      if (bytes > EARLY_BYTES_MAX) socket.destroy();
    };
    const onEnd = () => socket.destroy();
    socket.on("data", onData);
    socket.on("end", onEnd);
    const take: Handshake["take"] = (headers, upstream, rest, options) => {
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.pause();
      response.detachSocket(socket);
      socket.once("close", options.onClosed);
      const fields = fieldLines(headers);
      if (fields === undefined) {
        upstream.destroy();
        socket.destroy();
        return;
      }
      const status = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
      socket.write(`${status}${fields}\r\n`, "latin1");
      if (rest.length > 0) socket.write(rest);
      for (const chunk of early) upstream.write(chunk);
      this.#join(socket, upstream, options);
    };
    const downstream = new Http1Downstream(this.#host.clock, request, response, head);
    downstream.closeBehind();
    this.#serve(downstream, { status: 101, take });
  }

  /** Handles an HTTP/2 stream that requests a WebSocket; `head` is in the form of HTTP/2. */
  takeStream(stream: ServerHttp2Stream, head: RawHead): void {
    const key = Buffer.from(this.#host.random.bytes(16)).toString("base64");
    const accept = createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64");
    const rawHeaders = [...withoutKeys(head.rawHeaders), "upgrade", "websocket", "sec-websocket-key", key];
    const downstream = new Http2Downstream(this.#host.clock, stream, { ...head, method: "GET", rawHeaders }, "tunnel");
    const take: Handshake["take"] = (headers, upstream, rest, options) => {
      downstream.open(withoutKeys(headers));
      if (rest.length > 0) stream.write(rest);
      const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL } = constants;
      const cutClient = () => {
        if (!stream.closed) stream.close(stream.writableFinished ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
      };
      this.#join(stream, upstream, { ...options, cutClient });
    };
    this.#serve(downstream, { status: 200, accept, take });
  }

  #join(client: Duplex, upstream: Duplex, options: TunnelOptions): void {
    const tunnel = new Tunnel(this.#host.clock, client, upstream, options);
    this.#tunnels.add(tunnel);
    client.once("close", () => this.#tunnels.delete(tunnel));
  }

  /** Cuts all remaining handshakes and tunnels. */
  destroy(): void {
    for (const tunnel of this.#tunnels) tunnel.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }
}
