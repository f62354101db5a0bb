/**
 * The connections to endpoints. They belong to endpoints, not to a lane: whichever lane carries a request, the same
 * connections carry it on. A pool opens with its first request and closes when its endpoint goes, after what is in
 * flight has ended.
 */
import { Pool } from "undici";
import type { Host } from "#base";
import type { Endpoint } from "../core/endpoints.ts";
import { connectorOf } from "./connector.ts";

/**
 * Milliseconds an idle connection is kept. Below the 5 s of Node's and many servers' default, so that it is we who
 * close first and a request seldom meets a closing connection.
 */
export const IDLE_MS_MAX = 4_000;
/** Bytes of an answer's head. */
const ANSWER_HEAD_BYTES_MAX = 32 * 1024;

interface EndpointPools {
  /** Kept-alive connections. */
  readonly kept: Pool;
  /** A new connection per request, for the one whose kept-alive connection had died. Opened when first needed. */
  fresh: Pool | undefined;
  readonly endpoint: Endpoint;
}

export class UpstreamPools implements AsyncDisposable {
  readonly #host: Host;
  readonly #pools = new Map<string, EndpointPools>();
  readonly #closing = new Set<Promise<unknown>>();
  #closed = false;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Endpoints with connections, or about to have them. */
  get size(): number {
    return this.#pools.size;
  }

  of(endpoint: Endpoint, kind: "kept" | "fresh"): Pool {
    let pools = this.#pools.get(endpoint.key);
    if (!pools) {
      pools = { kept: open(endpoint, 1), fresh: undefined, endpoint };
      this.#pools.set(endpoint.key, pools);
      // Opened for a request that had chosen before its endpoint went, or before the stop: gone again with it.
      if (this.#closed) void this.#close(endpoint.key, pools);
    }
    if (kind === "kept") return pools.kept;
    return (pools.fresh ??= open(endpoint, 0));
  }

  /** Closes the connections of endpoints that need not be kept, each when its last request has ended. */
  retain(keep: (endpoint: Endpoint) => boolean): void {
    for (const [key, pools] of this.#pools) {
      if (!keep(pools.endpoint)) void this.#close(key, pools);
    }
  }

  async #close(key: string, pools: EndpointPools): Promise<void> {
    this.#pools.delete(key);
    const closing = Promise.allSettled(
      (pools.fresh ? [pools.kept, pools.fresh] : [pools.kept]).map((pool) => pool.close()),
    );
    this.#closing.add(closing);
    await closing;
    this.#closing.delete(closing);
    this.#host.log.debug({ endpoint: pools.endpoint.origin }, "connections to an endpoint closed");
  }

  /** Cuts whatever is left. Drain first. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    const open = pools.flatMap(({ kept, fresh }) => (fresh ? [kept, fresh] : [kept]));
    await Promise.allSettled(open.map((pool) => pool.destroy()));
    await Promise.race([Promise.all(this.#closing), this.#host.clock.sleep(1_000)]);
  }
}

function open(endpoint: Endpoint, pipelining: 0 | 1): Pool {
  const { cluster } = endpoint;
  return new Pool(endpoint.origin, {
    connect: connectorOf(cluster),
    allowH2: false,
    // 1: an answer never waits behind another. 0: no reuse at all.
    pipelining,
    // The pipeline refuses before a queue could form; this is the same number, as a floor under it.
    connections: cluster.inFlightMax,
    keepAliveTimeout: IDLE_MS_MAX,
    keepAliveMaxTimeout: IDLE_MS_MAX,
    headersTimeout: cluster.headersMs,
    bodyTimeout: cluster.idleMs,
    maxHeaderSize: ANSWER_HEAD_BYTES_MAX,
    strictContentLength: true,
  });
}
