/**
 * Catalog readers for DNS: over the registry of this process, or over a watch of one namespace of another server. While
 * that server is away, the watch keeps its last data, which is then as old as the outage. A server that has just
 * started and lacks data only adds to it.
 */
import type { Host } from "#base";
import { catalogFold, FoldedWatch, type Catalog, type Client } from "#client";
import type { Instance, ServiceDelta } from "#registry/api";
import type { DnsCatalog } from "./core/directory.ts";

/** The part of the registry that DNS needs. Structural, so that neither module imports the other. */
export interface RegistryReader {
  readonly revision: number;
  readonly catalog: {
    instances(namespace: string, service: string): readonly Instance[];
    services(): readonly { namespace: string; service: string }[];
  };
  onChange(listener: (deltas: readonly ServiceDelta[]) => void): () => void;
}

export function registryCatalog(registry: RegistryReader): DnsCatalog {
  return {
    ready: () => registry.revision > 0,
    knows: () => true,
    revision: () => registry.revision,
    instances: (namespace, service) => registry.catalog.instances(namespace, service),
    services: () => registry.catalog.services(),
    onChange: (listener) => registry.onChange(listener),
  };
}

/** One namespace, followed by a watch. */
export class WatchedCatalog implements DnsCatalog {
  readonly #host: Host;
  readonly #client: Pick<Client, "registry">;
  readonly #namespace: string;
  readonly #state = new FoldedWatch<Catalog<Instance>, ServiceDelta>(catalogFold<Instance>());
  #revision = 0;
  readonly #listeners = new Set<(services: readonly { namespace: string; service: string }[]) => void>();

  constructor(host: Host, client: Pick<Client, "registry">, namespace: string) {
    this.#host = host;
    this.#client = client;
    this.#namespace = namespace;
  }

  ready(): boolean {
    return this.#state.value !== undefined;
  }
  knows(namespace: string): boolean {
    return namespace === this.#namespace;
  }
  revision(): number {
    return this.#revision;
  }
  instances(namespace: string, service: string): readonly Instance[] {
    return this.knows(namespace) ? [...(this.#state.value?.get(service)?.values() ?? [])] : [];
  }
  services(): { namespace: string; service: string }[] {
    return [...(this.#state.value?.keys() ?? [])].map((service) => ({ namespace: this.#namespace, service }));
  }
  onChange(listener: (services: readonly { namespace: string; service: string }[]) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Follows the server until the signal aborts. Run it in a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    const age = this.#host.metrics.gauge({
      name: "posthouse_dns_catalog_connected",
      help: "1 while DNS follows the catalog of the server, 0 while the server is away.",
    });
    const onState = (state: "connected" | "disconnected") => age.labels().set(state === "connected" ? 1 : 0);
    for await (const frame of this.#client.registry.watch({ namespace: this.#namespace }, { signal, onState })) {
      this.#revision = Math.max(this.#revision, frame.revision);
      const changed = this.#state.take(frame);
      if (changed === "all") this.#tell([]);
      else if (changed === "data" && frame.data) this.#tell([frame.data]);
    }
  }

  #tell(services: readonly { namespace: string; service: string }[]): void {
    for (const listener of this.#listeners) listener(services);
  }
}
