/**
 * The addresses of the DNS names in a config's own endpoints. They are resolved ahead of need and again after their
 * TTL, so that no request waits for DNS. While DNS does not answer, the last addresses stay in use.
 */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { messageOf, TaskGroup, type Host } from "#base";
import type { CatalogInstance } from "../core/balancing/instance.ts";

export interface ResolvedName {
  readonly addresses: readonly string[];
  /** Seconds for which the addresses are valid. */
  readonly ttlSeconds: number;
}

/** Rejects when the name does not exist or no server answers. */
export type ResolveName = (name: string) => Promise<ResolvedName>;

/**
 * Seconds between two lookups of a name, whatever its TTL says: a TTL of 0 must not cause a storm, and a long one no
 * stale addresses.
 */
const REFRESH_SECONDS = { min: 1, max: 300 } as const;
/** Seconds after which a failed lookup is repeated. */
const RETRY_SECONDS = 5;
/** Seconds for which an address from the hosts file is valid; the file has no TTLs. */
const HOSTS_TTL_SECONDS = 30;
/** Addresses of one name that become endpoints. */
const ADDRESSES_MAX = 64;

/** Uses the system's servers, or these, and then the hosts file. */
export function systemResolver(servers?: readonly string[]): ResolveName {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  if (servers) resolver.setServers([...servers]);
  return async (name) => {
    const answers = await Promise.allSettled([
      resolver.resolve4(name, { ttl: true }),
      resolver.resolve6(name, { ttl: true }),
    ]);
    const records = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (records.length > 0) {
      return {
        addresses: records.map(({ address }) => address),
        ttlSeconds: Math.min(...records.map(({ ttl }) => ttl)),
      };
    }
    const known = await lookup(name, { all: true });
    return { addresses: known.map(({ address }) => address), ttlSeconds: HOSTS_TTL_SECONDS };
  };
}

interface KnownName {
  addresses: readonly string[];
  readonly abort: AbortController;
}

export class NameSource implements AsyncDisposable {
  readonly #host: Host;
  readonly #resolve: ResolveName;
  readonly #onChange: (name: string) => void;
  readonly #tasks: TaskGroup;
  readonly #names = new Map<string, KnownName>();

  constructor(host: Host, onChange: (name: string) => void, resolve: ResolveName = systemResolver()) {
    this.#host = host;
    this.#resolve = resolve;
    this.#onChange = onChange;
    this.#tasks = new TaskGroup(host.log);
  }

  /** Resolves the names among these addresses, and no others. */
  use(instances: Iterable<CatalogInstance>): void {
    const wanted = new Set([...instances].map(({ address }) => address).filter((address) => isIP(address) === 0));
    for (const [name, { abort }] of this.#names) {
      if (wanted.has(name)) continue;
      abort.abort(new Error("not used by any cluster"));
      this.#names.delete(name);
    }
    for (const name of wanted) {
      if (this.#names.has(name)) continue;
      const known: KnownName = { addresses: [], abort: new AbortController() };
      this.#names.set(name, known);
      this.#tasks.run(`name ${name}`, (signal) =>
        this.#follow(name, known, AbortSignal.any([signal, known.abort.signal])),
      );
    }
  }

  /**
   * Replaces each name by its addresses. A name that is not resolved yet stays, and the system resolves it at connect.
   */
  expand(instances: readonly CatalogInstance[]): CatalogInstance[] {
    return instances.flatMap((instance) => {
      const addresses = this.#names.get(instance.address)?.addresses ?? [];
      if (addresses.length === 0) return [instance];
      return addresses.map((address) => ({
        ...instance,
        id: `${address}:${instance.port}`,
        address,
        name: instance.address,
      }));
    });
  }

  async #follow(name: string, known: KnownName, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#host;
    let failing = false;
    while (!signal.aborted) {
      let seconds = RETRY_SECONDS;
      try {
        const { addresses, ttlSeconds } = await this.#resolve(name);
        if (signal.aborted) return;
        seconds = Math.min(REFRESH_SECONDS.max, Math.max(REFRESH_SECONDS.min, ttlSeconds));
        const next = [...new Set(addresses)].sort((a, b) => (a < b ? -1 : 1)).slice(0, ADDRESSES_MAX);
        failing = false;
        if (next.length > 0 && next.join() !== known.addresses.join()) {
          known.addresses = next;
          this.#onChange(name);
        }
      } catch (error) {
        if (!failing)
          log.warn(
            { name, err: error },
            `the name ${name} cannot be resolved; its last addresses stay in use: ${messageOf(error)}`,
          );
        failing = true;
      }
      await clock.sleep(seconds * 1000, signal).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { abort } of this.#names.values()) abort.abort(new Error("stopping"));
    await this.#tasks[Symbol.asyncDispose]();
  }
}
