/**
 * Limits the connections of a server. All roles of a process share its file descriptors, and the gateway needs most of them: without a
 * limit, idle connections to the API would use them up, and the gateway could not accept any. At the limit, the connection that has
 * been idle longest is closed. When all are busy, the new connection is refused.
 */
import type { FastifyInstance } from "fastify";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { type Host, own } from "#base";
import { rawAnswer } from "./raw-answer.ts";

/** Descriptors for files, the store, pipes, DNS, and listeners. */
const DESCRIPTORS_RESERVED = 96;
/** Share of the remaining descriptors per server. The larger half is left for the gateway. */
const SHARES: Readonly<Record<string, number>> = { api: 0.2, agent: 0.1, operations: 0.05 };
const SHARE_DEFAULT = 0.1;
/** Connections that a server always has, so that an operator can reach a process whose limit is far too low. */
const CONNECTIONS_MIN = 8;

/** Connections that the server of this name may hold in a process with that many file descriptors. */
export function connectionsMax(name: string, descriptorsMax: number): number {
  const share = own(SHARES, name) ?? SHARE_DEFAULT;
  return Math.max(CONNECTIONS_MIN, Math.floor((descriptorsMax - DESCRIPTORS_RESERVED) * share));
}

/** One connection, and the requests under way on it: one over HTTP/1.1, many over HTTP/2. */
interface OpenConnection {
  readonly socket: Socket;
  running: number;
}

/** Returns the function that cuts all connections. */
export function limitConnections(host: Host, app: FastifyInstance, name: string, isTls: boolean): () => void {
  const max = host.descriptorsMax === undefined ? Infinity : connectionsMax(name, host.descriptorsMax);
  const open = new Set<OpenConnection>();
  /** Connections without a running request, the longest idle one first. */
  const idle = new Set<OpenConnection>();
  /** By the socket or the session that requests name. Under TLS, those exist only after the handshake. */
  const found = new WeakMap<object, OpenConnection>();
  const byPeer = new Map<string, OpenConnection>();
  const count = host.metrics
    .gauge({ name: "posthouse_http_connections", help: "Open connections, by server.", labelNames: ["server"] })
    .labels(name);
  const closed = host.metrics.counter({
    name: "posthouse_http_connections_limited_total",
    help: "Connections closed or refused because the server was at its limit.",
    labelNames: ["server", "action"],
  });
  app.server.on("connection", (socket: Socket) => {
    const connection: OpenConnection = { socket, running: 0 };
    const peer = peerOf(socket);
    open.add(connection);
    idle.add(connection);
    found.set(socket, connection);
    if (isTls) byPeer.set(peer, connection);
    count.set(open.size);
    socket.once("close", () => {
      forget(connection);
      if (byPeer.get(peer) === connection) byPeer.delete(peer);
    });
    if (open.size <= max) return;
    const [oldest] = idle;
    if (oldest !== undefined && oldest !== connection) {
      closed.labels(name, "closed").inc();
      forget(oldest);
      oldest.socket.destroy();
    } else {
      closed.labels(name, "refused").inc();
      forget(connection);
      refuse(socket);
    }
  });
  const secured = (key: object, socket: Pick<Socket, "remoteAddress" | "remotePort">) => {
    const connection = byPeer.get(peerOf(socket));
    if (connection) found.set(key, connection);
  };
  if (isTls) {
    app.server.on("secureConnection", (socket: Socket) => secured(socket, socket));
    app.server.on("session", (session: ServerHttp2Session) => secured(session, session.socket));
  }
  app.server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { stream } = request as unknown as Partial<Http2ServerRequest>;
    const connection = found.get(stream === undefined ? request.socket : (stream.session ?? {}));
    if (!connection) return;
    connection.running += 1;
    idle.delete(connection);
    response.once("close", () => {
      connection.running -= 1;
      if (connection.running === 0 && open.has(connection)) idle.add(connection);
    });
  });
  return () => {
    for (const { socket } of open) socket.destroy();
  };

  function forget(connection: OpenConnection): void {
    open.delete(connection);
    idle.delete(connection);
    count.set(open.size);
  }

  function refuse(socket: Socket): void {
    // Under TLS an answer would need a handshake, which is the work that this limit avoids.
    if (isTls) return void socket.destroy();
    const detail = `All ${max} connections of this server are busy. Try again shortly.`;
    socket.on("error", () => {});
    socket.end(rawAnswer("TOO_MANY_CONNECTIONS", { detail, headers: "retry-after: 1\r\n" }), () => socket.destroy());
  }
}

/** Names one TCP connection of a listener for as long as it is open. */
function peerOf({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress} ${remotePort}`;
}
