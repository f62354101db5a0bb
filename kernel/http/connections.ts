/**
 * Limits the connections of a server. All roles of a process share its file descriptors, and the gateway needs most of them: without a
 * limit, idle connections to the API would use them up, and the gateway could not accept any. At the limit, the connection that has
 * been idle longest is closed. When all are busy, the new connection is refused.
 */
import type { FastifyInstance } from "fastify";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Host, own } from "#base";
import { HttpErrors, typeOfProblem } from "./problem.ts";

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

export function limitConnections(host: Host, app: FastifyInstance, name: string): void {
  const max = host.descriptorsMax === undefined ? Infinity : connectionsMax(name, host.descriptorsMax);
  /** Connections without a running request, the longest idle one first. */
  const idle = new Set<Socket>();
  const open = new Set<Socket>();
  const count = host.metrics
    .gauge({ name: "posthouse_http_connections", help: "Open connections, by server.", labelNames: ["server"] })
    .labels(name);
  const closed = host.metrics.counter({
    name: "posthouse_http_connections_limited_total",
    help: "Connections closed or refused because the server was at its limit.",
    labelNames: ["server", "action"],
  });
  app.server.on("connection", (socket: Socket) => {
    open.add(socket);
    idle.add(socket);
    count.set(open.size);
    socket.once("close", () => forget(socket));
    if (open.size <= max) return;
    const [oldest] = idle;
    if (oldest !== undefined && oldest !== socket) {
      closed.labels(name, "closed").inc();
      forget(oldest);
      oldest.destroy();
    } else {
      closed.labels(name, "refused").inc();
      refuse(socket);
    }
  });
  app.server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once("close", () => {
      if (open.has(socket)) idle.add(socket);
    });
  });

  function forget(socket: Socket): void {
    open.delete(socket);
    idle.delete(socket);
    count.set(open.size);
  }

  function refuse(socket: Socket): void {
    const { title, status, code } = HttpErrors.TOO_MANY_CONNECTIONS;
    const body = JSON.stringify({
      type: typeOfProblem(code),
      title,
      status,
      code,
      detail: `All ${max} connections of this server are busy. Try again shortly.`,
    });
    socket.on("error", () => {});
    socket.end(
      `HTTP/1.1 ${status} ${title}\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      () => socket.destroy(),
    );
    forget(socket);
  }
}
