/**
 * The HTTP/2 connections to one endpoint. Requests share one until it is full, then another is opened. While one is
 * being opened, requests wait for it, since it will carry a hundred of them.
 */
import type { Socket } from "node:net";
import type { Clock, Host } from "#base";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { noConnection } from "./breaker.ts";
import { openSocket, type Dialing } from "./connect.ts";
import type { PoolCounts } from "./http1-pool.ts";
import { Http2Session, STREAMS_MAX, type SessionOwner } from "./http2-session.ts";
import { NO_TRANSFER, UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";

/** A request that waits for a connection, or for a free stream on one. */
export class Waiting implements Transfer {
  readonly request: OutgoingRequest;
  readonly sink: AnswerSink;
  transfer: Transfer | undefined;
  gone = false;
  #cancelLimit: (() => void) | undefined;
  #msLeft: (() => number) | undefined;

  constructor(request: OutgoingRequest, sink: AnswerSink) {
    this.request = request;
    this.sink = sink;
  }

  /** The longest wait. It counts toward the wait for the answer. */
  limit(clock: Clock, ms: number): void {
    const untilMs = clock.monotonic() + ms;
    this.#msLeft = () => Math.max(1, untilMs - clock.monotonic());
    this.#cancelLimit = clock.after(ms, () => {
      this.gone = true;
      this.sink.onError(new UpstreamError("UPSTREAM_TIMEOUT", "no connection had a free stream in time"));
    });
  }

  /** Ends the wait. */
  send(by: (request: OutgoingRequest, sink: AnswerSink) => Transfer): void {
    this.#cancelLimit?.();
    const { request } = this;
    const headersMs = Math.min(request.headersMs, this.#msLeft?.() ?? Infinity);
    this.transfer = by({ ...request, headersMs }, this.sink);
  }

  refuse(error: UpstreamError): void {
    if (this.gone) return;
    this.#cancelLimit?.();
    this.sink.onError(error);
  }

  resume(): void {
    this.transfer?.resume();
  }

  abort(): void {
    this.gone = true;
    this.#cancelLimit?.();
    this.transfer?.abort();
  }
}

export class Http2Pool implements SessionOwner {
  readonly #host: Host & Dialing;
  readonly #endpoint: Endpoint;
  readonly #sessions = new Set<Http2Session>();
  readonly #connecting = new Set<() => void>();
  #waiting: Waiting[] = [];
  #closing = false;
  #onEmpty: () => void = () => {};

  constructor(host: Host & Dialing, endpoint: Endpoint) {
    this.#host = host;
    this.#endpoint = endpoint;
  }

  get counts(): PoolCounts {
    let idle = 0;
    for (const { streams } of this.#sessions) if (streams === 0) idle += 1;
    return { open: this.#sessions.size, idle, connecting: this.#connecting.size };
  }

  /** `fresh`: on a new connection, because an established one has just failed. */
  send(request: OutgoingRequest, sink: AnswerSink, fresh: boolean): Transfer {
    if (!fresh) for (const session of this.#sessions) if (session.roomy) return session.send(request, sink);
    const { pendingMax } = this.#endpoint.cluster.breaker;
    if (this.#waiting.length >= pendingMax) this.#waiting = this.#waiting.filter(({ gone }) => !gone);
    if (this.#waiting.length >= pendingMax) {
      sink.onError(
        new UpstreamError("OVERLOADED", `${pendingMax} requests already wait for a stream`, { connecting: true }),
      );
      return NO_TRANSFER;
    }
    const waiting = new Waiting(request, sink);
    // While no connection is established, the time for connecting is added.
    waiting.limit(this.#host.clock, request.headersMs + (this.#sessions.size > 0 ? 0 : request.connectMs));
    this.#waiting.push(waiting);
    this.#open();
    return waiting;
  }

  /** Takes over an established socket. */
  adopt(socket: Socket): void {
    const session = new Http2Session(this.#host.clock, socket, this.#endpoint.origin, this);
    this.#sessions.add(session);
    this.#endpoint.load.cluster.connections += 1;
    this.#serve(session);
    if (this.#closing) session.close();
  }

  /** Opens as many connections as the waiting requests fill. */
  #open(): void {
    const wanted = Math.ceil(this.#waiting.length / STREAMS_MAX);
    if (this.#connecting.size >= wanted) return;
    const refusal = noConnection(this.#endpoint);
    // While others are established or being opened, the waiting requests use those.
    if (refusal) return this.#sessions.size + this.#connecting.size > 0 ? undefined : this.#refuse(refusal);
    const connectMs = Math.max(...this.#waiting.map(({ request }) => request.connectMs));
    const giveUp = openSocket(this.#host, this.#endpoint, { connectMs, alpn: ["h2"] }, (error, connected) => {
      if (this.#connecting.delete(giveUp)) this.#endpoint.load.cluster.pending -= 1;
      if (error) this.#refuse(error);
      else if (connected && this.#endpoint.secure && connected.protocol !== "h2") {
        connected.socket.destroy();
        this.#refuse(
          new UpstreamError("UPSTREAM_UNREACHABLE", "the upstream does not speak HTTP/2", { connecting: true }),
        );
      } else if (connected) this.adopt(connected.socket);
      this.#lookEmpty();
    });
    this.#connecting.add(giveUp);
    this.#endpoint.load.cluster.pending += 1;
  }

  #serve(session: Http2Session): void {
    while (session.roomy) {
      const next = this.#waiting.shift();
      if (!next) return;
      if (!next.gone) next.send((request, sink) => session.send(request, sink));
    }
  }

  #refuse(error: UpstreamError): void {
    const refused = this.#waiting;
    this.#waiting = [];
    for (const waiting of refused) waiting.refuse(error);
  }

  onRoom(session: Http2Session): void {
    this.#serve(session);
    if (this.#closing && session.streams === 0) session.close();
  }

  onGone(session: Http2Session): void {
    if (this.#sessions.delete(session)) this.#endpoint.load.cluster.connections -= 1;
    this.#waiting = this.#waiting.filter(({ gone }) => !gone);
    if (this.#waiting.length > 0) this.#open();
    this.#lookEmpty();
  }

  #lookEmpty(): void {
    if (this.#closing && this.#sessions.size === 0 && this.#connecting.size === 0) this.#onEmpty();
  }

  /** Closes idle connections now and the others after their last request. Resolves when none is left. */
  close(): Promise<void> {
    this.#closing = true;
    for (const session of this.#sessions) session.close();
    if (this.#sessions.size === 0 && this.#connecting.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty = resolve));
  }

  /** Cuts all remaining connections. Requests in progress fail. */
  destroy(): void {
    this.#closing = true;
    for (const giveUp of this.#connecting) giveUp();
    this.#endpoint.load.cluster.pending -= this.#connecting.size;
    this.#connecting.clear();
    this.#refuse(new UpstreamError("UPSTREAM_RESET", "the connection was cut", { connecting: true }));
    for (const session of this.#sessions) session.destroy();
    this.#lookEmpty();
  }
}
