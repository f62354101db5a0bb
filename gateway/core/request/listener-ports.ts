/**
 * Listeners that share a port, each with hosts of its own: a request is for the one whose host says the most of it, and
 * for no other, so that a host's routes, certificates and policies are its own. A TLS connection is for the listener of
 * the name that it was opened for, and carries no request for another's.
 * @see Gateway API, Listener, on isolation; GEP-3567 on connections that carry requests for several hosts
 */
import type { Listener } from "../../api.ts";

/** By host: exact, then the longer wildcard, then any. */
export class HostTable<Value> {
  readonly #exact = new Map<string, Value>();
  /** By suffix with its dot. */
  readonly #wildcards = new Map<string, Value>();
  #any: Value | undefined;

  /** `hosts` undefined: any. */
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

  /** `host` in lower case. */
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

/** No listener has an empty name. */
const NOBODY = "";

export class Ports {
  /** A port's only listener, or whose it is by host. */
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

  /** The name of the listener that a request is for; one that does not exist when it is for none. */
  of(port: number, host: string): string {
    const listener = this.#ports.get(port);
    return typeof listener === "string" ? listener : (listener?.of(host) ?? NOBODY);
  }

  /** Whether a connection that was opened for one host must not carry a request for this one. */
  misdirected(port: number, { serverName, host }: { serverName: string; host: string }): boolean {
    const listeners = this.#ports.get(port);
    if (listeners === undefined || typeof listeners === "string") return false;
    const own = listeners.of(host);
    return own !== undefined && own !== listeners.of(serverName);
  }
}
