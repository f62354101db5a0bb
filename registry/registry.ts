/**
 * The registry's shell. Commands write to the store. The store's watch brings their changes back into the catalog, and
 * from there alone they reach every watcher.
 */
import { deadline, type Host, own, setOwn } from "#base";
import { definitionOf, HealthHistory, type HistoryView, type Reach } from "#health";
import { type IfNoneMatch, longPoll, type Polled, type TopicFilter, WatchHub } from "#http";
import { type Store, View } from "#store";
import { RegistryErrors, type CheckView, type ServiceDelta } from "./api.ts";
import { Catalog, hintsOf } from "./core/catalog.ts";
import { instanceNotFound } from "./core/commands/plan.ts";
import { discover, type Discovered, type DiscoveryRequest } from "./core/discovery.ts";
import { instanceKey, REGISTRY_PREFIX, type InstanceName, type ServiceName } from "./core/keys.ts";
import { parseFilter, type Predicate } from "./core/selector.ts";
import { HealthPast } from "./health-past.ts";
import { HistoryKeeper } from "./history-keeper.ts";
import { HistoryTrimmer } from "./history-trimmer.ts";
import { Journal } from "./journal.ts";
import { RegistryCommands } from "./registry-commands.ts";
import { serviceTopic, topicsOf } from "./topics.ts";

/** Milliseconds that a reader waits for the revision it asked for, before the server answers that it lags. */
const REVISION_WAIT_MS_MAX = 5_000;

export class Registry {
  readonly catalog = new Catalog();
  readonly hub: WatchHub;
  readonly commands: RegistryCommands;
  readonly #host: Host;
  readonly #view: View;
  /** Health as this member observed it and as it was reported here, for people. Not replicated: its texts are long. */
  readonly history: HealthHistory;
  /** Health over time as the store has it, the same on every member. */
  readonly past: HealthPast;
  readonly keeper: HistoryKeeper;
  readonly trimmer: HistoryTrimmer;
  readonly #journal: Journal;
  readonly #listeners = new Set<(deltas: readonly ServiceDelta[]) => void>();
  /** Whether owners may still have to register again, as after the loss of a store. */
  cold = false;

  constructor(host: Host, store: Store, reach: Reach) {
    this.#host = host;
    this.hub = new WatchHub(host, "services", { ageMs: () => this.ageMs, cold: () => this.cold });
    this.history = new HealthHistory(host.clock);
    this.#journal = new Journal(host, (instance, check) => this.history.last(instance, check)?.output);
    this.past = new HealthPast(host, store);
    this.keeper = new HistoryKeeper(host, store, { catalog: this.catalog, past: this.past });
    this.trimmer = new HistoryTrimmer(host, store, this.past);
    this.commands = new RegistryCommands(host, store, {
      catalog: this.catalog,
      history: this.history,
      past: this.past,
      journal: this.#journal,
      revision: () => this.revision,
      refuse: (check) => reach.refusal(definitionOf(check).target)?.message,
    });
    const flips = host.metrics.counter({
      name: "posthouse_registry_changes_total",
      help: "Revisions that changed the catalog.",
    });
    this.#view = new View(host, store, {
      name: "registry",
      prefix: REGISTRY_PREFIX,
      reset: (entries, revision) => {
        this.catalog.reset(entries, revision);
        this.past.reset(entries);
        this.keeper.compareAll();
        this.hub.reset(revision);
        this.#tell([]);
      },
      apply: ({ events, revision }) => {
        const before = this.#journal.before(events, (name) => this.catalog.instance(name));
        const deltas = this.catalog.apply(events, revision);
        this.past.apply(events);
        this.keeper.compare(deltas);
        this.#journal.log(before, deltas, revision);
        this.hub.publish(
          revision,
          deltas.map((data) => ({ topics: topicsOf(data), data })),
        );
        if (deltas.length === 0) return;
        flips.labels().inc();
        this.#remember(deltas);
        this.#tell(deltas);
      },
    });
    host.metrics.gauge({
      name: "posthouse_registry_instances",
      help: "Instances in the catalog, by namespace and health.",
      labelNames: ["namespace", "status"],
      collect: (gauge) => this.#count(gauge),
    });
  }

  /** Revision up to which the catalog is complete; 0 before it was first read. */
  get revision(): number {
    return this.#view.revision;
  }

  get connected(): boolean {
    return this.#view.connected;
  }

  /** Milliseconds since the store's last sign of life: the catalog is at most this old. */
  get ageMs(): number {
    return this.#view.ageMs;
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Called after every change of the catalog; with an empty list when all of it may have changed. */
  onChange(listener: (deltas: readonly ServiceDelta[]) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Waits until the catalog has everything up to a revision: a caller reads its own write. @throws REGISTRY_BEHIND */
  async waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    using late = deadline(this.#host.clock, REVISION_WAIT_MS_MAX);
    try {
      await this.#view.waitFor(revision, signal ? AbortSignal.any([signal, late.signal]) : late.signal);
    } catch (cause) {
      throw RegistryErrors.BEHIND(
        `This server has seen the store up to revision ${this.revision}, not yet ${revision}. Retry shortly.`,
        { cause },
      );
    }
  }

  /** The filter of a subset of a service. @throws REGISTRY_SUBSET_NOT_FOUND */
  subset({ namespace, service }: ServiceName, name: string): Predicate {
    const { subsets = {} } = this.catalog.policy(namespace, service);
    const filter = own(subsets, name);
    if (filter !== undefined) return parseFilter(filter);
    const known = Object.keys(subsets).join(", ") || "none";
    throw RegistryErrors.SUBSET_NOT_FOUND(
      `Service "${service}" has no subset "${name}"; its policy defines ${known}. Add the subset to the policy, or use another.`,
    );
  }

  /**
   * The instances that match, as soon as they differ from those that the reader has. The tag holds, for each service that
   * was searched, the revision of its last change, so that changes of other services wake no reader. It is undefined for a
   * service without instances.
   */
  async discover(
    request: DiscoveryRequest,
    { known, waitMs, signal }: { known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<Discovered & { readonly revision: number }> & { readonly isKnown: boolean }> {
    let { looked } = discover(this.catalog, request);
    const read = () => {
      const found = discover(this.catalog, request);
      looked = found.looked;
      const isAbsent = found.instances.length === 0 && this.catalog.size(request.namespace, request.service) === 0;
      const tag = found.looked
        .map(({ namespace, service }) => this.catalog.serviceRevision(namespace, service))
        .join("-");
      return { state: { ...found, revision: this.revision }, tag: isAbsent ? undefined : tag };
    };
    const next = (ms: number, signal: AbortSignal) =>
      this.hub.next(
        looked.map(({ namespace, service }) => serviceTopic(namespace, service)),
        ms,
        signal,
      );
    return longPoll(this.#host.clock, { read, next, known, waitMs, signal });
  }

  /** The checks of an instance with the last output of each. @throws REGISTRY_INSTANCE_NOT_FOUND */
  health(name: InstanceName): (CheckView & { output?: string })[] {
    const instance = this.catalog.instance(name);
    if (!instance) throw instanceNotFound(name);
    return instance.checks.map((check) => {
      const output = this.history.last(instanceKey(name), check.id)?.output;
      return output === undefined ? check : { ...check, output };
    });
  }

  /** An instance's health of the last day, as this member observed it. @throws REGISTRY_INSTANCE_NOT_FOUND */
  healthHistory(name: InstanceName): HistoryView {
    if (!this.catalog.instance(name)) throw instanceNotFound(name);
    return this.history.view(instanceKey(name));
  }

  /** The instances of the services named, or of all that are visible in a namespace, as pieces of a snapshot. */
  *snapshot(
    namespace: string,
    services: readonly string[] | undefined,
    sees: TopicFilter | undefined,
  ): Iterable<ServiceDelta> {
    const all = services ?? this.catalog.services(namespace).map(({ service }) => service);
    const names = sees ? all.filter((service) => sees(topicsOf({ namespace, service }))) : all;
    for (const service of names) {
      const instances = this.catalog.instances(namespace, service);
      const hints = hintsOf(this.catalog.policy(namespace, service));
      yield { namespace, service, instances, removed: [], ...this.catalog.panic(namespace, service), ...hints };
    }
  }

  #tell(deltas: readonly ServiceDelta[]): void {
    for (const listener of this.#listeners) listener(deltas);
  }

  #remember(deltas: readonly ServiceDelta[]): void {
    for (const { instances } of deltas) {
      for (const instance of instances) {
        const key = instanceKey(instance);
        for (const { id, status } of instance.checks) this.history.is(key, id, status);
      }
    }
  }

  #count(gauge: { labels(...values: string[]): { set(value: number): void } }): void {
    const totals = new Map<string, Record<string, number>>();
    for (const { namespace, service } of this.catalog.services()) {
      const { passing, warning, critical, unknown } = this.catalog.summary(namespace, service);
      const total = totals.get(namespace) ?? { passing: 0, warning: 0, critical: 0, unknown: 0 };
      totals.set(namespace, total);
      for (const [status, count] of Object.entries({ passing, warning, critical, unknown })) {
        setOwn(total, status, (own(total, status) ?? 0) + count);
      }
    }
    for (const [namespace, total] of totals) {
      for (const [status, count] of Object.entries(total)) gauge.labels(namespace, status).set(count);
    }
  }
}
