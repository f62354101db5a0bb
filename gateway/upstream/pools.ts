/**
 * The connections to endpoints. They belong to endpoints and are shared by all lanes. A pool opens with its first
 * request. It closes after its endpoint is removed, when the last request in flight has ended.
 */
import type { Host } from "#base";
import type { Endpoint } from "../core/balancing/endpoints.ts";
import { noteReached, noteRefused, noteSilent, probeMs } from "../core/balancing/endpoint-load.ts";
import { openSocket, type Dialing } from "./connect.ts";
import { Http1Pool, type PoolCounts } from "./http1-pool.ts";
import { Http2Pool, Waiting } from "./http2-pool.ts";
import { NO_TRANSFER, UpstreamError, type AnswerSink, type OutgoingRequest, type Transfer } from "./transfer.ts";

export { IDLE_MS_MAX } from "./http1-pool.ts";

/** The protocols offered by ALPN. */
const ALPN = { http1: ["http/1.1"], h2: ["h2"], auto: ["h2", "http/1.1"] } as const;

/** All connections to one endpoint, in all protocols that it speaks. */
class EndpointPool {
  readonly endpoint: Endpoint;
  readonly #host: Host & Dialing;
  readonly #http1: Http1Pool;
  readonly #http2: Http2Pool;
  /** The protocol that the upstream chose by ALPN, for `auto`. */
  #chosen: "http1" | "h2" | undefined;
  /** Requests that wait for the choice; the first one opens a connection. */
  #waiting: Waiting[] = [];
  #giveUp: (() => void) | undefined;
  /** Cancels the current probe, or the wait before the next. */
  #endProbe: (() => void) | undefined;
  #closing = false;

  constructor(host: Host & Dialing, endpoint: Endpoint) {
    this.#host = host;
    this.endpoint = endpoint;
    this.#http1 = new Http1Pool(host, endpoint);
    this.#http2 = new Http2Pool(host, endpoint);
    if (endpoint.protocol !== "auto") this.#chosen = endpoint.protocol;
  }

  get counts(): PoolCounts {
    const [one, two] = [this.#http1.counts, this.#http2.counts];
    return {
      open: one.open + two.open,
      idle: one.idle + two.idle,
      connecting: one.connecting + two.connecting + (this.#giveUp ? 1 : 0),
    };
  }

  send(request: OutgoingRequest, sink: AnswerSink, fresh: boolean): Transfer {
    // Upgrades exist in HTTP/1.1 only.
    if (this.#chosen === "http1" || request.upgrade !== undefined) return this.#http1.send(request, sink, fresh);
    if (this.#chosen === "h2") return this.#http2.send(request, sink, fresh);
    return this.#ask(request, sink);
  }

  /**
   * The first connection shows which protocol the upstream speaks. It carries the request that opened it; the other
   * requests follow.
   */
  #ask(request: OutgoingRequest, sink: AnswerSink): Transfer {
    const { pendingMax } = this.endpoint.cluster.breaker;
    if (this.#waiting.length >= pendingMax) {
      sink.onError(
        new UpstreamError("OVERLOADED", `${pendingMax} requests already wait for a connection`, { connecting: true }),
      );
      return NO_TRANSFER;
    }
    const waiting = new Waiting(request, sink);
    this.#waiting.push(waiting);
    this.#giveUp ??= openSocket(
      this.#host,
      this.endpoint,
      { connectMs: request.connectMs, alpn: ALPN.auto },
      (error, connected) => {
        this.#giveUp = undefined;
        const all = this.#waiting.filter(({ gone }) => !gone);
        this.#waiting = [];
        if (!connected) {
          for (const waiting of all) waiting.refuse(error as UpstreamError);
          return;
        }
        this.#chosen = connected.protocol === "h2" ? "h2" : "http1";
        if (this.#chosen === "h2") this.#http2.adopt(connected.socket);
        else this.#http1.adopt(connected.socket);
        for (const one of all) one.send((request, sink) => this.send(request, sink, false));
      },
    );
    return waiting;
  }

  /** Probes with a connection from time to time, until one is established. */
  probe(): void {
    if (this.#closing || this.#endProbe) return;
    const { clock, random } = this.#host;
    const { load } = this.endpoint;
    this.#endProbe = clock.after(
      probeMs(load, () => random.float()),
      () => {
        this.#endProbe = openSocket(
          this.#host,
          this.endpoint,
          { connectMs: this.endpoint.cluster.connectMs, alpn: ALPN[this.endpoint.protocol] },
          (error, connected) => {
            this.#endProbe = undefined;
            connected?.socket.destroy();
            if (!error) return noteReached(load);
            // An endpoint that refuses at once costs a request very little.
            if (error.error !== "UPSTREAM_TIMEOUT") return noteRefused(load, clock.monotonic());
            noteSilent(load);
            this.probe();
          },
        );
      },
    );
  }

  #stopProbe(): void {
    this.#closing = true;
    this.#endProbe?.();
    this.#endProbe = undefined;
  }

  async close(): Promise<void> {
    this.#stopProbe();
    await Promise.all([this.#http1.close(), this.#http2.close()]);
  }

  destroy(): void {
    this.#stopProbe();
    this.#giveUp?.();
    this.#giveUp = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    const cut = new UpstreamError("UPSTREAM_RESET", "the connection was cut", { connecting: true });
    for (const one of waiting) one.refuse(cut);
    this.#http1.destroy();
    this.#http2.destroy();
  }
}

export class UpstreamPools implements AsyncDisposable {
  readonly #host: Host & Dialing;
  readonly #pools = new Map<string, EndpointPool>();
  readonly #closing = new Map<EndpointPool, Promise<void>>();
  #closed = false;

  constructor(host: Host & Dialing) {
    this.#host = host;
  }

  /** Endpoints with connections, established or being opened. */
  get size(): number {
    return this.#pools.size;
  }

  /** Of all endpoints, including those that are closing. */
  get counts(): PoolCounts {
    const sum = { open: 0, idle: 0, connecting: 0 };
    for (const pool of [...this.#pools.values(), ...this.#closing.keys()]) {
      const { open, idle, connecting } = pool.counts;
      sum.open += open;
      sum.idle += idle;
      sum.connecting += connecting;
    }
    return sum;
  }

  send(endpoint: Endpoint, request: OutgoingRequest, sink: AnswerSink, fresh: boolean): Transfer {
    let pool = this.#pools.get(endpoint.key);
    if (!pool) {
      pool = new EndpointPool(this.#host, endpoint);
      this.#pools.set(endpoint.key, pool);
      const transfer = pool.send(request, sink, fresh);
      // Opened for a request that chose its endpoint before the endpoint was removed, or before the stop. It closes
      // after that request.
      if (this.#closed) this.#close(endpoint.key, pool);
      return transfer;
    }
    return pool.send(request, sink, fresh);
  }

  /** For an endpoint that left a connection attempt unanswered. Ends with its pool. */
  probe(endpoint: Endpoint): void {
    this.#pools.get(endpoint.key)?.probe();
  }

  /** Closes the pools of endpoints that are not kept, each after its last request. */
  retain(keep: (endpoint: Endpoint) => boolean): void {
    for (const [key, pool] of this.#pools) if (!keep(pool.endpoint)) this.#close(key, pool);
  }

  /**
   * After the gateway's certificate has changed: connections through sidecars end after the requests that they carry, and later
   * requests open new ones.
   */
  renew(): void {
    this.retain(({ ingress }) => ingress === undefined);
  }

  #close(key: string, pool: EndpointPool): void {
    this.#pools.delete(key);
    this.#closing.set(pool, this.#ended(pool));
  }

  async #ended(pool: EndpointPool): Promise<void> {
    await pool.close();
    this.#closing.delete(pool);
    this.#host.log.debug({ endpoint: pool.endpoint.origin }, "connections to an endpoint closed");
  }

  /** Cuts all remaining connections. Drain first. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const pools = [...this.#pools.values(), ...this.#closing.keys()];
    this.#pools.clear();
    const closing = [...this.#closing.values()];
    for (const pool of pools) pool.destroy();
    await Promise.race([Promise.all(closing), this.#host.clock.sleep(1_000)]);
  }
}
