/**
 * The local entrance to one upstream: a port or a Unix socket of this host for a service elsewhere. Each connection goes to a healthy
 * ingress over mTLS, and moves on to another one until it is admitted. Nothing of it is sent before that.
 */
import { createServer, type Server, type Socket } from "node:net";
import { deadline, messageOf, type Host } from "#base";
import type { DialGuard } from "#base/dial";
import type { Endpoint } from "#gateway/balancing";
import { serviceSpiffeId } from "#identity/core";
import type { MeshIdentity } from "#identity/mesh";
import type { EgressOutcome, SidecarCounters } from "./counters.ts";
import { canReach, dialIngress, type DialFailure, type Dialed } from "./dial.ts";
import { EgressTarget, type UpstreamName } from "./egress-target.ts";
import { CONNECT_MS_MAX, CONNECTIONS_MAX, DIAL_MS_MAX } from "./limits.ts";
import { Relay, resetSocket } from "./relay.ts";
import { Relays } from "./relays.ts";

export interface EgressOptions {
  /** The service of this host that calls. */
  readonly service: string;
  readonly upstream: UpstreamName;
  readonly zone: string | undefined;
}

export interface EgressParts {
  readonly identity: MeshIdentity;
  readonly counters: SidecarCounters;
  readonly guard: DialGuard;
}

/** Milliseconds between two log lines about one reason, since every connection would have one. */
const LOG_MS = 10_000;

export class Egress {
  readonly options: EgressOptions;
  readonly target: EgressTarget;
  readonly #host: Host;
  readonly #parts: EgressParts;
  readonly #server: Server;
  /** Each with the serial number of the ingress. */
  readonly #relays: Relays<string>;
  readonly #flow;
  readonly #sockets = new Set<Socket>();
  readonly #endRevoked: () => void;
  #loggedAtMs = -Infinity;
  #lastProblem: string | undefined;

  constructor(host: Host, options: EgressOptions, parts: EgressParts) {
    this.#host = host;
    this.options = options;
    this.#parts = parts;
    this.target = new EgressTarget(host, options.upstream, {
      zone: options.zone,
      canReach: (endpoint) => canReach({ clock: host.clock, guard: parts.guard }, endpoint),
    });
    this.#relays = new Relays(host, undefined);
    this.#flow = parts.counters.flow(options.service, "egress");
    this.#endRevoked = parts.identity.onRevoked(() => this.#cutRevoked());
    // Paused, so that no byte is read before there is somewhere to send it.
    this.#server = createServer(
      { allowHalfOpen: true, pauseOnConnect: true, noDelay: true },
      (socket) => void this.#take(socket),
    );
  }

  /** Ends the connections to ingresses whose certificates were revoked meanwhile. */
  #cutRevoked(): void {
    const { identity, counters } = this.#parts;
    this.#relays.cutWhere((serial) => {
      if (!identity.isRevoked(serial)) return false;
      counters.handshakeFailed(this.options.service, "egress", "revoked");
      return true;
    });
  }

  get server(): Server {
    return this.#server;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Why the latest connection was refused; undefined when it was not. */
  get problem(): string | undefined {
    return this.#lastProblem;
  }

  async #take(socket: Socket): Promise<void> {
    const gone = new AbortController();
    const onClose = () => gone.abort(new Error("the caller has gone"));
    socket.on("error", () => {});
    socket.once("close", onClose);
    if (this.#sockets.size >= CONNECTIONS_MAX) return this.#refuse(socket, "busy", "too many connections");
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    try {
      const { dialed, endpoint } = await this.#dial(gone.signal);
      socket.off("close", onClose);
      this.#relay(socket, dialed, endpoint);
    } catch (error) {
      if (gone.signal.aborted) return;
      const outcome = error instanceof EgressRefusal ? error.outcome : "unreachable";
      this.#refuse(socket, outcome, messageOf(error));
    }
  }

  #refuse(socket: Socket, outcome: EgressOutcome, detail: string): void {
    const { service, upstream } = this.options;
    this.#parts.counters.egress(service, upstream.service, outcome);
    this.#lastProblem = detail;
    const nowMs = this.#host.clock.monotonic();
    if (nowMs - this.#loggedAtMs > LOG_MS) {
      this.#loggedAtMs = nowMs;
      this.#host.log.warn(
        { service, upstream: `${upstream.namespace}/${upstream.service}`, outcome },
        `a connection to an upstream was refused: ${detail}`,
      );
    }
    socket.destroy();
  }

  /** Tries one ingress after the other until one admits the connection. @throws EgressRefusal */
  async #dial(gone: AbortSignal): Promise<{ dialed: Dialed; endpoint: Endpoint }> {
    const { identity, counters } = this.#parts;
    const { service, upstream } = this.options;
    const { credentials } = identity;
    if (!credentials)
      throw new EgressRefusal("no-identity", `${service} has no certificate yet; GET /v1/agent/sidecar shows why`);
    const spiffeId = serviceSpiffeId(credentials.trustDomain, upstream.namespace, upstream.service);
    using late = deadline(this.#host.clock, DIAL_MS_MAX);
    const signal = AbortSignal.any([gone, late.signal]);
    const tried: Endpoint[] = [];
    let last: DialFailure | undefined;
    for (;;) {
      const endpoint = this.target.pick(tried);
      if (!endpoint || signal.aborted)
        throw last ? refusalOf(last) : new EgressRefusal("no-endpoint", this.target.absence);
      if (tried.length > 0) counters.moved(service, upstream.service);
      tried.push(endpoint);
      try {
        const dialed = await this.#dialOne(endpoint, { spiffeId, credentials, signal });
        return { dialed, endpoint };
      } catch (error) {
        last = error as DialFailure;
        if (gone.aborted || last.kind === "denied" || last.kind === "untrusted") throw refusalOf(last);
      }
    }
  }

  async #dialOne(
    endpoint: Endpoint,
    {
      spiffeId,
      credentials,
      signal,
    }: { spiffeId: string; signal: AbortSignal } & { credentials: NonNullable<MeshIdentity["credentials"]> },
  ): Promise<Dialed> {
    const { load, hostname, port } = endpoint;
    const { counters, guard, identity } = this.#parts;
    const { isRevoked } = identity;
    load.inFlight += 1;
    load.cluster.inFlight += 1;
    try {
      const target = { hostname, port, spiffeId, isRevoked };
      const dialed = await dialIngress({ clock: this.#host.clock, guard }, target, credentials, {
        connectMs: CONNECT_MS_MAX,
        signal,
      });
      this.target.reached(endpoint);
      return dialed;
    } catch (error) {
      load.inFlight -= 1;
      load.cluster.inFlight -= 1;
      const { kind, peer } = error as DialFailure;
      if (peer) counters.handshakeFailed(this.options.service, "egress", peer);
      // The ingress works, and its answer says nothing about the instance.
      if (kind !== "denied" && kind !== "untrusted" && !signal.aborted) this.target.failed(endpoint, kind === "silent");
      throw error;
    }
  }

  #relay(near: Socket, { socket, reset }: Dialed, { load }: Endpoint): void {
    const { service, upstream } = this.options;
    this.#parts.counters.egress(service, upstream.service, "admitted");
    this.#lastProblem = undefined;
    this.#flow.opened();
    const relay = new Relay(
      { socket: near, reset: () => resetSocket(near) },
      { socket, reset },
      {
        onBytes: this.#flow.bytes,
        onEnd: () => {
          load.inFlight -= 1;
          load.cluster.inFlight -= 1;
          this.#relays.delete(relay);
          this.#flow.closed();
        },
      },
      this.#host.clock.monotonic(),
    );
    const serial = socket.getPeerX509Certificate()?.serialNumber ?? "";
    this.#relays.add(relay, serial);
    // By now it may be.
    if (this.#parts.identity.isRevoked(serial)) this.#cutRevoked();
  }

  /** Takes no new connections, waits for those under way for at most `drainMs`, and cuts the rest. */
  async close(drainMs: number): Promise<void> {
    this.#server.close();
    this.target.close();
    await this.#relays.close(drainMs);
    this.#endRevoked();
    for (const socket of this.#sockets) socket.destroy();
  }
}

class EgressRefusal extends Error {
  readonly outcome: EgressOutcome;

  constructor(outcome: EgressOutcome, message: string) {
    super(message);
    this.outcome = outcome;
  }
}

function refusalOf({ kind, message }: DialFailure): EgressRefusal {
  const outcome =
    kind === "denied" ? "denied" : kind === "untrusted" || kind === "handshake" ? "untrusted" : "unreachable";
  return new EgressRefusal(outcome, message);
}
