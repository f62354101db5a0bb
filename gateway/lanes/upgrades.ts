/**
 * WebSocket handshakes. A handshake is a request like any other until the upstream has switched: it is matched,
 * authorised, limited and counted, and whatever else the upstream answers is passed on as that answer. Only then are the
 * two sockets joined.
 */
import { ServerResponse, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#base";
import type { RawHead } from "../core/head.ts";
import type { Downstream } from "./downstream.ts";
import { Http1Downstream } from "./downstream-http1.ts";
import type { Switch } from "./passage.ts";
import { Tunnel } from "./tunnel.ts";

/** Bytes that a client may send before it was told that it may. */
const EARLY_BYTES_MAX = 64 * 1024;

/** Whether Node should take a request for a handshake. HTTP/1.0 knows none. */
export function asksForWebSocket(request: IncomingMessage): boolean {
  return request.httpVersion === "1.1" && request.headers.upgrade?.trim().toLowerCase() === "websocket";
}

export class Upgrades {
  readonly #clock: Clock;
  readonly #serve: (downstream: Downstream, onSwitch: Switch) => void;
  readonly #tunnels = new Set<Tunnel>();
  /** Handshakes and tunnels; Node's server no longer knows them. */
  readonly #sockets = new Set<Socket>();

  constructor(clock: Clock, serve: (downstream: Downstream, onSwitch: Switch) => void) {
    this.#clock = clock;
    this.#serve = serve;
  }

  take(request: IncomingMessage, socket: Socket, first: Buffer, head: RawHead): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once("finish", () => socket.destroySoon());
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
    this.#serve(new Http1Downstream(this.#clock, request, response, head), (headers, upstream, rest, options) => {
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
      const tunnel = new Tunnel(this.#clock, socket, upstream, options);
      this.#tunnels.add(tunnel);
      socket.once("close", () => this.#tunnels.delete(tunnel));
    });
  }

  /** Cuts whatever is left. */
  destroy(): void {
    for (const tunnel of this.#tunnels) tunnel.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }
}
