/** Counts of the sidecar: metrics for all, and the latest denials and the denied pairs for people. */
import type { CounterChild, Family, GaugeChild, Host } from "#base";
import { DENIALS_KEPT_MAX, PAIRS_MAX } from "./limits.ts";
import type { PeerFailure } from "./peer.ts";

/** A connection that a rule denied, or would deny when the rules did not only report. */
export interface Denial {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** SPIFFE id of the caller. */
  readonly caller: string;
  readonly namespace: string;
  readonly service: string;
  /** The rule, or the one that is missing. */
  readonly explanation: string;
  /** Let through, since the rules only report. */
  readonly reportOnly: boolean;
  /** IP address of the caller. */
  readonly address: string;
}

/** How often the rules denied one caller one service. */
export interface DeniedPair {
  readonly caller: string;
  readonly namespace: string;
  readonly service: string;
  readonly denied: number;
  readonly reportOnly: number;
  readonly lastAtMs: number;
}

/** Where a connection ended before its service: a rule, the caller's certificate, or a state of the sidecar or the service. */
export type IngressOutcome = "admitted" | "denied" | "reported" | "untrusted" | "unreachable" | "busy";
/** Why a caller of an upstream was refused. */
export type EgressOutcome =
  | "admitted"
  | "denied"
  | "untrusted"
  | "unreachable"
  | "no-endpoint"
  | "no-identity"
  | "busy";

export class SidecarCounters {
  readonly #host: Host;
  readonly #ingress: Family<CounterChild>;
  readonly #egress: Family<CounterChild>;
  readonly #open: Family<GaugeChild>;
  readonly #bytes: Family<CounterChild>;
  readonly #handshakes: Family<CounterChild>;
  readonly #moves: Family<CounterChild>;
  readonly #denials: Denial[] = [];
  readonly #pairs = new Map<string, DeniedPair>();

  constructor(host: Host) {
    this.#host = host;
    const { metrics } = host;
    this.#ingress = metrics.counter({
      name: "posthouse_sidecar_ingress_connections_total",
      help: "Connections over mTLS to services of this host, by outcome. reported: let through, since the rules only report.",
      labelNames: ["service", "outcome"],
    });
    this.#egress = metrics.counter({
      name: "posthouse_sidecar_egress_connections_total",
      help: "Connections of services of this host to their upstreams, by outcome.",
      labelNames: ["service", "upstream", "outcome"],
    });
    this.#open = metrics.gauge({
      name: "posthouse_sidecar_connections",
      help: "Open connections of the sidecar, by direction.",
      labelNames: ["service", "direction"],
    });
    this.#bytes = metrics.counter({
      name: "posthouse_sidecar_bytes_total",
      help: "Bytes that the sidecar passed on, by direction. received: by the service of this host.",
      labelNames: ["service", "direction"],
    });
    this.#handshakes = metrics.counter({
      name: "posthouse_sidecar_handshake_failures_total",
      help: "TLS handshakes that failed, and connections that a revocation ended, by the side of this host and the reason.",
      labelNames: ["service", "side", "reason"],
    });
    this.#moves = metrics.counter({
      name: "posthouse_sidecar_egress_moves_total",
      help: "Connections that went to another instance, since the first one was not reached.",
      labelNames: ["service", "upstream"],
    });
  }

  ingress(service: string, outcome: IngressOutcome): void {
    this.#ingress.labels(service, outcome).inc();
  }

  egress(service: string, upstream: string, outcome: EgressOutcome): void {
    this.#egress.labels(service, upstream, outcome).inc();
  }

  moved(service: string, upstream: string): void {
    this.#moves.labels(service, upstream).inc();
  }

  handshakeFailed(service: string, side: "ingress" | "egress", reason: PeerFailure): void {
    this.#handshakes.labels(service, side, reason).inc();
  }

  /** The counters of one listener, resolved once. */
  flow(service: string, direction: "ingress" | "egress") {
    const received = this.#bytes.labels(service, "received");
    const sent = this.#bytes.labels(service, "sent");
    // The near side of an ingress is the caller; the near side of an egress is the service.
    const [toFar, toNear] = direction === "ingress" ? [received, sent] : [sent, received];
    const open = this.#open.labels(service, direction);
    return {
      opened: () => open.inc(),
      closed: () => open.dec(),
      bytes: (isToFar: boolean, bytes: number) => (isToFar ? toFar : toNear).inc(bytes),
    };
  }

  denial(denial: Omit<Denial, "atMs">): void {
    const atMs = this.#host.clock.now();
    this.#denials.push({ atMs, ...denial });
    if (this.#denials.length > DENIALS_KEPT_MAX) this.#denials.shift();
    const { caller, namespace, service, reportOnly } = denial;
    const key = `${caller}>${namespace}/${service}`;
    const known = this.#pairs.get(key);
    if (!known && this.#pairs.size >= PAIRS_MAX) return;
    const { denied = 0, reportOnly: reported = 0 } = known ?? {};
    this.#pairs.set(key, {
      caller,
      namespace,
      service,
      lastAtMs: atMs,
      denied: denied + (reportOnly ? 0 : 1),
      reportOnly: reported + (reportOnly ? 1 : 0),
    });
  }

  /** The latest ones first. */
  get denials(): readonly Denial[] {
    return this.#denials.toReversed();
  }

  get pairs(): readonly DeniedPair[] {
    return [...this.#pairs.values()];
  }
}
