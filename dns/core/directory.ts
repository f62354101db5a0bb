/**
 * The catalog as names query it: a service's instances by tag, zone and label, the owners of an address, the namespaces
 * and zones. It is built on first use and dropped when the catalog changes, so that a change costs nothing here.
 */
import { invariant } from "#base";
import { canonicalAddress, instanceLabel, lower } from "./names.ts";

/** The part of an instance that names need. The registry's `Instance` is one. */
export interface DnsInstance {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly zone?: string;
  readonly lifecycle: string;
  readonly status: "passing" | "warning" | "critical" | "unknown";
}

/** A source of instances: the registry of this process, or a reader that follows another one. */
export interface DnsCatalog {
  /** False until it was read once. Until then, an empty catalog means that nothing is known. */
  ready(): boolean;
  /** Whether it covers this namespace. It cannot answer for others. */
  knows(namespace: string): boolean;
  /** Grows with every change. */
  revision(): number;
  instances(namespace: string, service: string): readonly DnsInstance[];
  services(): readonly { readonly namespace: string; readonly service: string }[];
  /**
   * Called after each change with the changed services; with an empty list when all may have changed. Returns a
   * function that removes the listener.
   */
  onChange(listener: (services: readonly { namespace: string; service: string }[]) => void): () => void;
}

/** One service. Lists by tag and zone are built once and shared, so that queries for many tags stay cheap. */
export class ServiceView {
  readonly all: readonly DnsInstance[];
  #byTag: Map<string, DnsInstance[]> | undefined;
  #byZone: Map<string, DnsInstance[]> | undefined;
  #byLabel: Map<string, DnsInstance> | undefined;

  constructor(all: readonly DnsInstance[]) {
    this.all = all;
  }

  tagged(tag: string): readonly DnsInstance[] {
    this.#byTag ??= grouped(this.all, ({ tags }) => new Set(tags.map(lower)));
    return this.#byTag.get(tag) ?? [];
  }

  inZone(zone: string): readonly DnsInstance[] {
    this.#byZone ??= grouped(this.all, ({ zone }) => (zone === undefined ? [] : [lower(zone)]));
    return this.#byZone.get(zone) ?? [];
  }

  labelled(label: string): DnsInstance | undefined {
    this.#byLabel ??= new Map(this.all.map((instance) => [instanceLabel(instance.id), instance]));
    return this.#byLabel.get(label);
  }
}

function grouped(
  instances: readonly DnsInstance[],
  keys: (instance: DnsInstance) => Iterable<string>,
): Map<string, DnsInstance[]> {
  const groups = new Map<string, DnsInstance[]>();
  for (const instance of instances) {
    for (const key of keys(instance)) {
      const group = groups.get(key);
      if (group) group.push(instance);
      else groups.set(key, [instance]);
    }
  }
  return groups;
}

/** The data that spans services, kept per service, so that a change of one replaces only its own part. */
interface Contribution {
  readonly addresses: ReadonlyMap<string, readonly DnsInstance[]>;
  readonly marks: ReadonlySet<string>;
}

export class Directory {
  readonly #catalog: DnsCatalog;
  readonly #views = new Map<string, ServiceView>();
  /** Everything below is built at the first query that spans services. */
  #contributions: Map<string, Contribution> | undefined;
  readonly #marks = new Map<string, number>();
  readonly #addresses = new Map<string, Map<string, readonly DnsInstance[]>>();
  readonly #stale = new Map<string, { namespace: string; service: string }>();

  constructor(catalog: DnsCatalog) {
    this.#catalog = catalog;
  }

  /** Drops the data of these services, or of all for an empty list. */
  changed(services: readonly { namespace: string; service: string }[]): void {
    if (services.length === 0) {
      this.#views.clear();
      this.#contributions = undefined;
      return;
    }
    for (const { namespace, service } of services) {
      const key = `${namespace}/${service}`;
      this.#views.delete(key);
      if (this.#contributions) this.#stale.set(key, { namespace, service });
    }
  }

  /** Undefined when no instance of it is registered, healthy or not. */
  service(namespace: string, service: string): ServiceView | undefined {
    const key = `${namespace}/${service}`;
    const known = this.#views.get(key);
    if (known) return known;
    const instances = this.#catalog.instances(namespace, service);
    if (instances.length === 0) return undefined;
    const view = new ServiceView(instances);
    this.#views.set(key, view);
    return view;
  }

  hasNamespace(namespace: string): boolean {
    return this.#has(namespace);
  }
  hasZone(namespace: string, zone: string): boolean {
    return this.#has(`${namespace}/zone/${zone}`);
  }
  /** Whether an instance of the namespace has this protocol or tag, within the zone if one is given. */
  hasProtocol(namespace: string, protocol: string, zone: string | undefined): boolean {
    return this.#has(`${namespace}/protocol/${zone ?? ""}/${protocol}`);
  }

  byAddress(address: string): readonly DnsInstance[] {
    this.#refresh();
    return [...(this.#addresses.get(address)?.values() ?? [])].flat();
  }

  #has(mark: string): boolean {
    this.#refresh();
    return this.#marks.has(mark);
  }

  #refresh(): void {
    if (!this.#contributions) {
      this.#contributions = new Map();
      this.#marks.clear();
      this.#addresses.clear();
      this.#stale.clear();
      for (const { namespace, service } of this.#catalog.services()) {
        this.#stale.set(`${namespace}/${service}`, { namespace, service });
      }
    }
    for (const [key, { namespace, service }] of this.#stale) {
      this.#take(key, this.#contributions.get(key));
      const view = this.service(namespace, service);
      if (view) this.#give(key, contributionOf(namespace, view.all));
    }
    this.#stale.clear();
  }

  #take(key: string, old: Contribution | undefined): void {
    if (!old) return;
    this.#contributions?.delete(key);
    for (const mark of old.marks) {
      const left = (this.#marks.get(mark) ?? 0) - 1;
      invariant(left >= 0, "each mark of a service in the directory is counted");
      if (left === 0) this.#marks.delete(mark);
      else this.#marks.set(mark, left);
    }
    for (const address of old.addresses.keys()) {
      const holders = this.#addresses.get(address);
      holders?.delete(key);
      if (holders?.size === 0) this.#addresses.delete(address);
    }
  }

  #give(key: string, contribution: Contribution): void {
    this.#contributions?.set(key, contribution);
    for (const mark of contribution.marks) this.#marks.set(mark, (this.#marks.get(mark) ?? 0) + 1);
    for (const [address, instances] of contribution.addresses) {
      const holders = this.#addresses.get(address);
      if (holders) holders.set(key, instances);
      else this.#addresses.set(address, new Map([[key, instances]]));
    }
  }
}

function contributionOf(namespace: string, instances: readonly DnsInstance[]): Contribution {
  const marks = new Set([namespace]);
  for (const { zone, protocol, tags } of instances) {
    const zones = zone === undefined ? [""] : ["", lower(zone)];
    if (zone !== undefined) marks.add(`${namespace}/zone/${lower(zone)}`);
    for (const within of zones) {
      for (const word of ["tcp", protocol, ...tags.map(lower)]) marks.add(`${namespace}/protocol/${within}/${word}`);
    }
  }
  const addresses = grouped(instances, ({ address }) => {
    const canonical = canonicalAddress(address);
    return canonical ? [canonical.address] : [];
  });
  return { addresses, marks };
}
