/**
 * The part of a worker in the exchange between the workers of one gateway. It collects the requests that it admitted
 * and those in flight, sends them in one message some milliseconds later, and adds the other workers' numbers to its
 * limits, breakers and endpoints. It is idle without traffic.
 */
import type { Host } from "#base";
import type { ConcurrencyLimiter } from "./core/limits/concurrency.ts";
import { NO_OTHERS } from "./core/balancing/endpoint-load.ts";
import type { Endpoint, EndpointSet } from "./core/balancing/endpoints.ts";
import { PeerCounts, type Ejection, type PeerNews } from "./core/limits/peer-messages.ts";
import { hearEjection } from "./core/balancing/outlier.ts";
import type { RateLimiter } from "./core/limits/rate-limit.ts";

/**
 * Milliseconds from the first change to the message that reports it. The error of all shared numbers grows with this
 * delay, and the cost falls: a message takes some 30 µs at each end.
 */
const TELL_MS = 5;
/**
 * Milliseconds between two checks of requests in flight while no new request arrives: a WebSocket may last for days.
 */
const QUIET_MS = 50;

/** The channel to the other workers. */
export interface GatewayPeers {
  /** The number of processes of the gateway, including this one. */
  readonly workers: number;
  tell(news: PeerNews): void;
  /** Called with the news of another worker, and without news when that worker is gone. */
  onHeard(listener: (worker: number, news: PeerNews | undefined) => void): void;
}

interface Parts {
  readonly limiter: RateLimiter;
  readonly concurrency: ConcurrencyLimiter;
  /** The current endpoints, by cluster. */
  readonly endpoints: () => ReadonlyMap<string, EndpointSet>;
}

export class PeerExchange implements Disposable {
  readonly #host: Host;
  readonly #peers: GatewayPeers;
  readonly #parts: Parts;
  readonly #inFlight = new PeerCounts();
  readonly #retrying = new PeerCounts();
  /** The numbers last sent to the others, except zeros. */
  #sent = new Map<string, readonly [inFlight: number, retrying: number]>();
  /** Ejections of endpoints that are not known here yet, with the time at which each ends. */
  #early: { readonly ejection: Ejection; readonly untilMs: number }[] = [];
  #cancel: (() => void) | undefined;
  /** The next check is a slow one. */
  #quiet = false;
  #closed = false;

  constructor(host: Host, peers: GatewayPeers, parts: Parts) {
    this.#host = host;
    this.#peers = peers;
    this.#parts = parts;
    parts.limiter.record();
    parts.concurrency.record();
    peers.onHeard((worker, news) => (news ? this.#heard(worker, news) : this.#gone(worker)));
  }

  /** There is traffic, so there will be numbers to send. */
  arm(): void {
    if (this.#cancel && !this.#quiet) return;
    this.#after(TELL_MS);
  }

  #after(ms: number): void {
    if (this.#closed) return;
    this.#cancel?.();
    this.#quiet = ms === QUIET_MS;
    this.#cancel = this.#host.clock.after(ms, () => this.#tell());
  }

  ejected({ cluster, key, load }: Endpoint): void {
    const forMs = load.ejectedUntilMs - this.#host.clock.monotonic();
    this.#peers.tell({ ejected: [{ cluster: cluster.key, endpoint: key, ejections: load.ejections, forMs }] });
  }

  /** Endpoints were rebuilt, and with them the counts of some clusters. */
  refresh(): void {
    for (const key of this.#parts.endpoints().keys()) this.#reckon(key);
    const nowMs = this.#host.clock.monotonic();
    this.#early = this.#early.filter(({ ejection, untilMs }) => untilMs > nowMs && !this.#eject(ejection, untilMs));
  }

  #tell(): void {
    this.#cancel = undefined;
    const current = new Map<string, readonly [number, number]>();
    const clusters: [string, number, number][] = [];
    for (const [key, { endpoints }] of this.#parts.endpoints()) {
      const state = endpoints[0]?.load.cluster;
      if (!state) continue;
      const { inFlight, retrying } = state;
      const before = this.#sent.get(key);
      if (inFlight !== 0 || retrying !== 0) current.set(key, [inFlight, retrying]);
      if (inFlight !== (before?.[0] ?? 0) || retrying !== (before?.[1] ?? 0)) clusters.push([key, inFlight, retrying]);
    }
    // A cluster that is gone, or has lost its last endpoint, has no requests in flight that count.
    for (const key of this.#sent.keys()) {
      if (!current.has(key) && !clusters.some(([one]) => one === key)) clusters.push([key, 0, 0]);
    }
    this.#sent = current;
    const spent = this.#parts.limiter.recorded();
    const held = this.#parts.concurrency.recorded();
    const news: PeerNews = {
      ...(spent.length > 0 ? { spent } : {}),
      ...(held.length > 0 ? { held } : {}),
      ...(clusters.length > 0 ? { clusters } : {}),
    };
    if (Object.keys(news).length > 0) this.#peers.tell(news);
    // The end of a request causes no event here, so the counts are checked until all have ended.
    if (current.size > 0 || this.#parts.concurrency.keys > 0)
      this.#after(Object.keys(news).length > 0 ? TELL_MS : QUIET_MS);
  }

  #heard(worker: number, { spent = [], held = [], clusters = [], ejected = [] }: PeerNews): void {
    const nowMs = this.#host.clock.monotonic();
    for (const [key, spacingMs, requests] of spent) this.#parts.limiter.spend(key, spacingMs * requests, nowMs);
    for (const [key, requests] of held) this.#parts.concurrency.others.set(worker, key, requests);
    for (const [key, inFlight, retrying] of clusters) {
      this.#inFlight.set(worker, key, inFlight);
      this.#retrying.set(worker, key, retrying);
      this.#reckon(key);
    }
    for (const ejection of ejected) {
      const untilMs = nowMs + ejection.forMs;
      if (!this.#eject(ejection, untilMs)) this.#early.push({ ejection, untilMs });
    }
  }

  /** Whether the endpoint is known here. */
  #eject({ cluster, endpoint: key, ejections }: Ejection, untilMs: number): boolean {
    const set = this.#parts.endpoints().get(cluster);
    const found = set?.endpoints.find((one) => one.key === key);
    if (!set || !found) return false;
    const about = { set, policy: found.cluster.outlier, nowMs: this.#host.clock.monotonic() };
    hearEjection(found.load, { ejections, untilMs }, about);
    return true;
  }

  #gone(worker: number): void {
    for (const counts of [this.#inFlight, this.#retrying, this.#parts.concurrency.others]) counts.forget(worker);
    this.refresh();
  }

  #reckon(key: string): void {
    const state = this.#parts.endpoints().get(key)?.endpoints[0]?.load.cluster;
    if (!state) return;
    const inFlight = this.#inFlight.sum(key);
    const retrying = this.#retrying.sum(key);
    state.others = inFlight === 0 && retrying === 0 ? NO_OTHERS : { inFlight, retrying };
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#cancel?.();
  }
}
