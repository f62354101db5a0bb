/**
 * Listeners that share a port, each with its own hosts. A request belongs to the listener with the most specific matching
 * host, and to no other, so a host has its own routes, certificates and policies. A TLS connection belongs to the
 * listener of its server name, and must not carry requests for another listener.
 * @see Gateway API, Listener, on isolation; GEP-3567 on connections that carry requests for several hosts
 */
import type { Listener } from "../../api.ts";

/** Values by host: exact hosts first, then longer wildcards, then any host. */
export class HostTable<Value> {
  readonly #exact = new Map<string, Value>();
  /** By suffix, including the dot. */
  readonly #wildcards = new Map<string, Value>();
  #any: Value | undefined;

  /** `hosts` undefined: any host. */
  constructor(entries: Iterable<readonly [hosts: readonly string[] | undefined, value: Value]>) {
    for (const [hosts, value] of entries) {
      if (!hosts) this.#any ??= value;
      for (const host of hosts ?? []) {
        const lower = host.toLowerCase();
        if (lower.startsWith("*.")) this.#wildcards.set(lower.slice(1), value);
        else this.#exact.set(lower, value);
      }
    }
  }

  /** `host` is in lower case. */
  of(host: string): Value | undefined {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    for (let dot = host.indexOf(".", 1); this.#wildcards.size > 0 && dot > 0; dot = host.indexOf(".", dot + 1)) {
      const found = this.#wildcards.get(host.slice(dot));
      if (found !== undefined) return found;
    }
    return this.#any;
  }
}

/** Matches no listener, since names are not empty. */
const NO_LISTENER = "";

export class Ports {
  /** A port's only listener, or its listeners by host. */
  readonly #ports = new Map<number, string | HostTable<string>>();

  constructor(listeners: readonly Pick<Listener, "name" | "port" | "hosts">[]) {
    const byPort = Map.groupBy(listeners, ({ port }) => port);
    for (const [port, sharing] of byPort) {
      const [first] = sharing;
      if (port === undefined || !first) continue;
      const table = () => new HostTable(sharing.map(({ name, hosts }) => [hosts, name] as const));
      this.#ports.set(port, sharing.length === 1 ? first.name : table());
    }
  }

  /** The name of the request's listener; empty when the port has none for the host. */
  of(port: number, host: string): string {
    const listener = this.#ports.get(port);
    return typeof listener === "string" ? listener : (listener?.of(host) ?? NO_LISTENER);
  }

  /** Whether a connection for one server name must not carry a request for this host. */
  misdirected(port: number, { serverName, host }: { serverName: string; host: string }): boolean {
    const listeners = this.#ports.get(port);
    if (listeners === undefined || typeof listeners === "string") return false;
    const own = listeners.of(host);
    return own !== undefined && own !== listeners.of(serverName);
  }
}
