/**
 * WebSocket handshakes. A handshake is a request like any other until the upstream has switched: it is matched,
 * authorised, limited and counted, and whatever else the upstream answers is passed on as that answer. Only then are the
 * two sockets joined. In HTTP/2 the client's is a stream (RFC 8441); to all behind the lane it is the same GET, with a
 * key that the gateway made.
 */
import { createHash } from "node:crypto";
import { ServerResponse, type IncomingMessage } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Host } from "#base";
import type { RawHead } from "../../core/request/head.ts";
import type { Downstream } from "./downstream.ts";
import { Http1Downstream } from "./downstream-http1.ts";
import { Http2Downstream } from "./downstream-http2.ts";
import type { Handshake } from "./handshake.ts";
import { Tunnel, type TunnelOptions } from "./tunnel.ts";

/** Bytes that a client may send before it was told that it may. */
const EARLY_BYTES_MAX = 64 * 1024;

/** Whether Node should take a request for a handshake. HTTP/1.0 knows none, and one with a body is a plain request. */
export function asksForWebSocket(request: IncomingMessage): boolean {
  const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers;
  if (encoding !== undefined || Number(length) > 0) return false;
  return request.httpVersion === "1.1" && request.headers.upgrade?.trim().toLowerCase() === "websocket";
}

/** The same of a stream, whose fields are `rawHeaders`. Other protocols are asked for by this method, and are refused with it. */
export function asksForWebSocketStream({ method }: RawHead, rawHeaders: readonly string[]): boolean {
  if (method !== "CONNECT") return false;
  const at = rawHeaders.indexOf(":protocol");
  return at >= 0 && at % 2 === 0 && rawHeaders[at + 1] === "websocket";
}

/** What a server puts behind a key before it hashes both. @see RFC 6455 §1.3 */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Fields of a handshake that HTTP/2 does without: there is a key on each side of the gateway, or none. */
const OF_KEYS = new Set(["sec-websocket-key", "sec-websocket-accept"]);

function withoutKeys(headers: readonly string[]): string[] {
  return headers.filter((_, at) => !OF_KEYS.has((headers[at - (at % 2)] as string).toLowerCase()));
}

/** Node's server has let go of the socket; its only answer goes out as any other. */
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
  /** Handshakes and tunnels; Node's server no longer knows them. */
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
    // Read all the time, or nobody would see a client leave.
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
      let text = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
      for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
      socket.write(`${text}\r\n`, "latin1");
      if (rest.length > 0) socket.write(rest);
      for (const chunk of early) upstream.write(chunk);
      this.#join(socket, upstream, options);
    };
    const downstream = new Http1Downstream(this.#host.clock, request, response, head);
    downstream.closeBehind();
    this.#serve(downstream, { status: 101, take });
  }

  /** A stream of HTTP/2 that asks for one; `head` in the words of HTTP/2. */
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

  /** Cuts whatever is left. */
  destroy(): void {
    for (const tunnel of this.#tunnels) tunnel.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }
}
