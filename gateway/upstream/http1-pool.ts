/**
 * The HTTP/1.1 connections to one endpoint. The most recently used one is taken first, so that few are kept warm and
 * the others expire. A used connection waits for one turn of the event loop before it may be taken again: bytes or an
 * end that directly follow the answer are noticed then, and not by the next request.
 */
import type { Host } from "#base";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { openSocket, type Dialing } from "./connect.ts";
import { Http1Connection, type ConnectionOwner } from "./http1-connection.ts";
import { noConnection } from "./breaker.ts";
import { NO_TRANSFER, UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";
import type { Socket } from "node:net";

/**
 * Milliseconds for which an idle connection is kept. Below the 5 s that Node and many servers default to, so that the
 * gateway closes first and a request rarely meets a closing connection.
 */
export const IDLE_MS_MAX = 4_000;
/** Milliseconds by which the gateway closes earlier than the upstream announced. */
const IDLE_MARGIN_MS = 1_000;
/** Milliseconds between two looks for connections that have been idle for long. */
const SWEEP_MS = 500;
/** Idle connections kept for one endpoint. A burst opens more, which would stay open long after it. */
const IDLE_MAX = 256;

export interface PoolCounts {
  /** Established connections. */
  readonly open: number;
  readonly idle: number;
  /** Connections being opened. */
  readonly connecting: number;
}

export class Http1Pool implements ConnectionOwner {
  readonly #host: Host & Dialing;
  readonly #endpoint: Endpoint;
  /** The last one was used most recently. */
  readonly #idle: Http1Connection[] = [];
  readonly #open = new Set<Http1Connection>();
  readonly #connecting = new Map<() => void, AnswerSink>();
  #resting: Http1Connection[] = [];
  #idleMsMax: number;
  #session: Buffer | undefined;
  #sweep: (() => void) | undefined;
  #closing = false;
  #onEmpty: () => void = () => {};

  constructor(host: Host & Dialing, endpoint: Endpoint) {
    this.#host = host;
    this.#endpoint = endpoint;
    this.#idleMsMax = idleMs(endpoint.keepAliveMs);
  }

  get counts(): PoolCounts {
    return { open: this.#open.size, idle: this.#idle.length, connecting: this.#connecting.size };
  }

  /** `fresh`: on a new connection, because a kept one has just failed. */
  send(request: OutgoingRequest, sink: AnswerSink, fresh: boolean): Transfer {
    const kept = fresh ? undefined : this.#take();
    if (kept) return kept.send(request, sink);
    const refusal = noConnection(this.#endpoint);
    if (!refusal) return this.#connect(request, sink);
    sink.onError(refusal);
    return NO_TRANSFER;
  }

  /** Takes over an established socket. */
  adopt(socket: Socket): void {
    const connection = this.#add(socket);
    connection.idleSinceMs = this.#host.clock.monotonic();
    this.#idle.push(connection);
    this.#sweep ??= this.#host.clock.after(SWEEP_MS, this.#onSweep);
  }

  #add(socket: Socket): Http1Connection {
    const connection = new Http1Connection(this.#host.clock, socket, this);
    this.#open.add(connection);
    this.#endpoint.load.cluster.connections += 1;
    return connection;
  }

  #take(): Http1Connection | undefined {
    const oldest = this.#host.clock.monotonic() - this.#idleMsMax;
    for (;;) {
      const connection = this.#idle.pop();
      if (!connection) return undefined;
      if (connection.usable && connection.idleSinceMs > oldest) return connection;
      connection.destroy();
    }
  }

  #connect(request: OutgoingRequest, sink: AnswerSink): Transfer {
    let transfer: Transfer | undefined;
    const giveUp = openSocket(
      this.#host,
      this.#endpoint,
      {
        connectMs: request.connectMs,
        alpn: ["http/1.1"],
        session: this.#session,
        onSession: (session) => (this.#session = session),
      },
      (error, connected) => {
        this.#arrived(giveUp);
        if (connected?.protocol !== undefined && connected.protocol !== "http/1.1") {
          connected.socket.destroy();
          sink.onError(
            new UpstreamError("UPSTREAM_UNREACHABLE", "the upstream does not speak HTTP/1.1", { connecting: true }),
          );
        } else if (connected) {
          transfer = this.#add(connected.socket).send(request, sink);
        } else {
          // A TLS session that the upstream no longer accepts is not tried again.
          this.#session = undefined;
          sink.onError(error as UpstreamError);
        }
        this.#lookEmpty();
      },
    );
    this.#connecting.set(giveUp, sink);
    this.#endpoint.load.cluster.pending += 1;
    return {
      resume: () => transfer?.resume(),
      abort: () => {
        if (transfer) return transfer.abort();
        this.#arrived(giveUp);
        giveUp();
        this.#lookEmpty();
      },
    };
  }

  #arrived(giveUp: () => void): void {
    if (this.#connecting.delete(giveUp)) this.#endpoint.load.cluster.pending -= 1;
  }

  onFree(connection: Http1Connection): void {
    if (this.#closing) return connection.destroy();
    const { keepAliveSeconds } = connection;
    if (keepAliveSeconds !== undefined) {
      this.#idleMsMax = Math.min(idleMs(this.#endpoint.keepAliveMs), idleMs(keepAliveSeconds * 1000));
      if (this.#idleMsMax === 0) return connection.destroy();
    }
    connection.idleSinceMs = this.#host.clock.monotonic();
    this.#resting.push(connection);
    if (this.#resting.length === 1) setImmediate(this.#wake);
  }

  readonly #wake = (): void => {
    const rested = this.#resting;
    this.#resting = [];
    for (const connection of rested) {
      if (!connection.usable || this.#closing || this.#idle.length >= IDLE_MAX) connection.destroy();
      else this.#idle.push(connection);
    }
    this.#sweep ??= this.#host.clock.after(SWEEP_MS, this.#onSweep);
  };

  readonly #onSweep = (): void => {
    this.#sweep = undefined;
    const oldest = this.#host.clock.monotonic() - this.#idleMsMax;
    // The first in the list have been idle for the longest time.
    const old = this.#idle.filter(({ idleSinceMs }) => idleSinceMs <= oldest);
    for (const connection of old) connection.destroy();
    if (this.#idle.length > 0) this.#sweep = this.#host.clock.after(SWEEP_MS, this.#onSweep);
  };

  onGone(connection: Http1Connection): void {
    if (this.#open.delete(connection)) this.#endpoint.load.cluster.connections -= 1;
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#lookEmpty();
  }

  #lookEmpty(): void {
    if (this.#closing && this.#open.size === 0 && this.#connecting.size === 0) this.#onEmpty();
  }

  /** Closes idle connections now and busy ones after their answer. Resolves when none is left. */
  close(): Promise<void> {
    this.#closing = true;
    this.#sweep?.();
    this.#sweep = undefined;
    for (const connection of this.#idle.splice(0)) connection.destroy();
    if (this.#open.size === 0 && this.#connecting.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty = resolve));
  }

  /** Cuts all remaining connections. Requests in progress fail. */
  destroy(): void {
    this.#closing = true;
    this.#sweep?.();
    this.#sweep = undefined;
    const waiting = [...this.#connecting];
    this.#connecting.clear();
    this.#endpoint.load.cluster.pending -= waiting.length;
    for (const [giveUp, sink] of waiting) {
      giveUp();
      sink.onError(new UpstreamError("UPSTREAM_RESET", "the connection was cut", { connecting: true }));
    }
    for (const connection of this.#open) connection.cut();
    this.#lookEmpty();
  }
}

/** How long the gateway keeps an idle connection that the upstream keeps for so long. */
function idleMs(keepAliveMs: number | undefined): number {
  if (keepAliveMs === undefined) return IDLE_MS_MAX;
  return Math.max(0, Math.min(IDLE_MS_MAX, keepAliveMs - IDLE_MARGIN_MS));
}
