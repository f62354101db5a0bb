/** Services and their instances, built from the frames of a registry watch. */
import { costlyInvariant } from "#base";
import type { Fold } from "./fold.ts";

/** Instances by id, by service. A service without instances is absent. */
export type Catalog<Instance> = ReadonlyMap<string, ReadonlyMap<string, Instance>>;

/** The part of a service's change that the catalog needs. */
export interface CatalogDelta<Instance> {
  readonly service: string;
  readonly instances: readonly Instance[];
  /** Ids. */
  readonly removed: readonly string[];
}

export function catalogFold<Instance extends { readonly id: string }>(): Required<
  Fold<Catalog<Instance>, CatalogDelta<Instance>>
> {
  type Services = Map<string, ReadonlyMap<string, Instance>>;

  function put(services: Services, { service, instances, removed }: CatalogDelta<Instance>): Services {
    const changed = new Map(services.get(service));
    for (const id of removed) changed.delete(id);
    for (const instance of instances) changed.set(instance.id, instance);
    if (changed.size === 0) services.delete(service);
    else services.set(service, changed);
    return services;
  }

  return {
    gather: (gathered, delta) => put((gathered as Services | undefined) ?? new Map(), delta),
    apply: (known, delta) => put(new Map(known), delta),
    empty: new Map(),
    together(known, cold) {
      const both = new Map(known);
      for (const [service, instances] of cold)
        both.set(service, new Map([...(known.get(service) ?? []), ...instances]));
      costlyInvariant(() => [...both.values()].every(({ size }) => size > 0), "a service without instances is absent");
      return both;
    },
  };
}
