/**
 * The addresses behind the DNS names of a config's own endpoints: asked for ahead of need and for as long as an answer
 * lives, so that no request waits for DNS; while no server answers, what was last heard goes on.
 */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { messageOf, TaskGroup, type Host } from "#base";
import type { CatalogInstance } from "../core/balancing/instance.ts";

export interface ResolvedName {
  readonly addresses: readonly string[];
  /** Seconds that this may be relied on. */
  readonly ttlSeconds: number;
}

/** Rejects when the name is not known, or nobody answers. */
export type ResolveName = (name: string) => Promise<ResolvedName>;

/** Seconds between two questions about a name, whatever its answer says: no storm for a TTL of 0, no hour of old news. */
const REFRESH_SECONDS = { min: 1, max: 300 } as const;
/** Seconds after which a name is asked for again that could not be resolved. */
const RETRY_SECONDS = 5;
/** Seconds that an address from the hosts file is relied on, which says nothing of it. */
const HOSTS_TTL_SECONDS = 30;
/** Addresses of one name that become endpoints. */
const ADDRESSES_MAX = 64;

/** By the system's servers, or these; then by its hosts file. */
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

  /** Follows the names among these, and no others. */
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

  /** Each name as its addresses; one that is not known yet as itself, for the system to resolve. */
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
          log.warn({ name, err: error }, `the name is not resolved: ${messageOf(error)}; what was known goes on`);
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
