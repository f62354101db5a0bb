/**
 * The registry's shell: what is known goes in, the core is asked, a transaction goes out; the store's watch brings the
 * news back, and every watcher of the catalog hears it from there and from nowhere else.
 */
import { deadline, type Host, own, setOwn } from "#base";
import { definitionOf, HealthHistory, type HistoryView, type Reach } from "#health";
import { type IfNoneMatch, longPoll, type Polled, WatchHub } from "#http";
import { commit, SharedLease, type Store, StoreErrors, View } from "#store";
import {
  INSTANCES_PER_SERVICE_MAX,
  RegistryErrors,
  type Batch,
  type BatchRegistered,
  type CheckView,
  type Lifecycle,
  type Registered,
  type Registration,
  type Report,
  type ServiceDelta,
  type ServicePolicy,
} from "./api.ts";
import { Catalog, hintsOf } from "./core/catalog.ts";
import {
  type Commander,
  deregisterInstance,
  notFound,
  readsToRegister,
  registerBatch,
  registerInstance,
  reportVerdict,
  SERVERS,
  setLifecycle,
  setPolicy,
} from "./core/commands.ts";
import { evictInstance } from "./core/eviction.ts";
import { discover, type Discovered, type DiscoveryRequest } from "./core/discovery.ts";
import {
  instanceKey,
  policyKey,
  REGISTRY_PREFIX,
  tombstoneKey,
  verdictKey,
  type InstanceName,
  type ServiceName,
} from "./core/keys.ts";
import { parseFilter, type Predicate } from "./core/selector.ts";
import { type Cause, Journal } from "./journal.ts";
import type { ProbedCheck } from "./core/stored-check.ts";

/** Milliseconds that a reader waits for the revision it asked for before it is told that we lag. */
const REVISION_WAIT_MS_MAX = 5_000;

/**
 * Seconds for which a deregistered claim is kept out. By whoever else: a day, so that a host which was cut off does not
 * bring it back. By its owner: what was still under way then has long arrived.
 */
const TOMBSTONE_SECONDS = { byOwner: 600, byOthers: 86_400 };

/** The topic of one service, and the one of a whole namespace. */
export function serviceTopic(namespace: string, service: string): string {
  return `${namespace}/${service}`;
}
export function namespaceTopic(namespace: string): string {
  return `${namespace}/*`;
}

/** Who deregisters, when it is the instance's own owner, and the latest claim that it takes back with that. */
export interface DeregisterOptions {
  readonly by: Commander;
  readonly ifRevision?: number | undefined;
  readonly owner?: string | undefined;
  readonly incarnation?: number | undefined;
}

/** Whoever watches one of these hears of the service. */
export function topicsOf({ namespace, service }: ServiceName): string[] {
  return [serviceTopic(namespace, service), namespaceTopic(namespace)];
}

export class Registry {
  readonly catalog = new Catalog();
  readonly hub: WatchHub;
  readonly #host: Host;
  readonly #store: Store;
  /** Why the servers would not run a check. */
  readonly #refuse: (check: ProbedCheck) => string | undefined;
  readonly #view: View;
  readonly #tombstones: { readonly byOwner: SharedLease; readonly byOthers: SharedLease };
  /** What this member saw and heard of health, for people. Kept here only: text does not belong in replicated state. */
  readonly history: HealthHistory;
  readonly #journal: Journal;
  readonly #listeners = new Set<(deltas: readonly ServiceDelta[]) => void>();
  /** Whether owners may still have to register again, as after the loss of a store. */
  cold = false;

  constructor(host: Host, store: Store, reach: Reach) {
    this.#host = host;
    this.#store = store;
    this.#refuse = (check) => reach.refusal(definitionOf(check).target)?.message;
    this.hub = new WatchHub(host, "services", { ageMs: () => this.ageMs, cold: () => this.cold });
    this.history = new HealthHistory(host.clock);
    this.#journal = new Journal(host, (instance, check) => this.history.last(instance, check)?.output);
    this.#tombstones = {
      byOwner: new SharedLease(host, store, TOMBSTONE_SECONDS.byOwner),
      byOthers: new SharedLease(host, store, TOMBSTONE_SECONDS.byOthers),
    };
    const flips = host.metrics.counter({
      name: "posthouse_registry_changes_total",
      help: "Revisions that changed the catalog.",
    });
    this.#view = new View(host, store, {
      name: "registry",
      prefix: REGISTRY_PREFIX,
      reset: (entries, revision) => {
        this.catalog.reset(entries, revision);
        this.hub.reset(revision);
        this.#tell([]);
      },
      apply: ({ events, revision }) => {
        const before = this.#journal.before(events, (name) => this.catalog.instance(name));
        const deltas = this.catalog.apply(events, revision);
        this.#journal.tell(before, deltas, revision);
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

  /** Milliseconds since the store's last sign of life: what is served is as old as this at most. */
  get ageMs(): number {
    return this.#view.ageMs;
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Called after every change of the catalog; with nothing when all of it may have changed. */
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
        `This server has seen the store up to revision ${this.revision}, not yet ${revision}. Try again.`,
        { cause },
      );
    }
  }

  /**
   * @throws REGISTRY_REVISION_MISMATCH, REGISTRY_SESSION_NOT_FOUND, REGISTRY_SERVICE_FULL, REGISTRY_CHECK_INVALID,
   * REGISTRY_REGISTRATION_INVALID, REGISTRY_OWNED_BY_ANOTHER, REGISTRY_CLAIM_OUTDATED
   */
  async register(
    name: InstanceName,
    registration: Registration,
    { by, ifRevision }: { by: Commander; ifRevision: number | undefined },
  ): Promise<Registered> {
    this.#checkRoom([name]);
    const { result, revision } = await this.#note([name], { by: by.id }, () =>
      this.#mapLease(registration.session, () =>
        commit(this.#store, readsToRegister(name), (known) =>
          registerInstance(known, {
            name,
            by,
            registration,
            ifRevision,
            nowMs: this.#host.clock.now(),
            refuse: this.#refuse,
          }),
        ),
      ),
    );
    return { revision, created: result.created };
  }

  /** All in one revision, or none. @throws what `register` throws */
  async registerBatch(namespace: string, { instances }: Batch, by: Commander): Promise<BatchRegistered> {
    const batch = instances.map(({ service, id, registration }) => ({
      name: { namespace, service, id },
      by,
      registration,
      ifRevision: undefined,
      nowMs: this.#host.clock.now(),
      refuse: this.#refuse,
    }));
    this.#checkRoom(batch.map(({ name }) => name));
    const reads = new Map(
      batch.flatMap(({ name }) => readsToRegister(name)).map((read) => ["key" in read ? read.key : read.prefix, read]),
    );
    const sessions = [...new Set(batch.map(({ registration }) => registration.session))];
    const { result, revision } = await this.#note(
      batch.map(({ name }) => name),
      { by: by.id },
      () =>
        this.#mapLease(sessions.length === 1 ? sessions[0] : undefined, () =>
          commit(this.#store, [...reads.values()], (known) => registerBatch(known, batch)),
        ),
    );
    return { revision, created: result.created };
  }

  /**
   * What was claimed with an incarnation leaves a tombstone.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH, REGISTRY_NOT_OWNER
   */
  async deregister(
    name: InstanceName,
    { by, ifRevision, owner, incarnation }: DeregisterOptions,
  ): Promise<{ revision: number }> {
    const byOwner = owner !== undefined && owner === (this.catalog.record(name)?.owner ?? owner);
    const tombstones = byOwner ? this.#tombstones.byOwner : this.#tombstones.byOthers;
    const claim = owner === undefined || incarnation === undefined ? undefined : { owner, incarnation };
    const reads = [{ key: instanceKey(name) }, { key: tombstoneKey(name) }];
    const { revision, result } = await this.#note([name], { by: by.id }, () =>
      tombstones.use((tombstoneLease) =>
        commit(this.#store, reads, (known) =>
          deregisterInstance(known, { name, by, ifRevision, tombstoneLease, claim }),
        ),
      ),
    );
    if (result.absent) throw notFound(name);
    return { revision };
  }

  /**
   * Deregisters an instance if this check of it is critical still; whether it did.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
   */
  async evict(name: InstanceName, check: string, reason: string): Promise<boolean> {
    const reads = [{ key: instanceKey(name) }, { key: tombstoneKey(name) }, { key: verdictKey(name, check) }];
    const { result } = await this.#note([name], { by: SERVERS.id, reason }, () =>
      this.#tombstones.byOthers.use((tombstoneLease) =>
        commit(this.#store, reads, (known) =>
          evictInstance(known, { name, by: SERVERS, check, ifRevision: undefined, tombstoneLease, evicted: true }),
        ),
      ),
    );
    return result;
  }

  /** `drainMs`: how long a drain may take from now. @throws REGISTRY_INSTANCE_NOT_FOUND */
  async setLifecycle(
    name: InstanceName,
    lifecycle: Lifecycle,
    { by, drainMs }: { by: Commander; drainMs: number },
  ): Promise<{ revision: number }> {
    const drainUntilMs = this.#host.clock.now() + drainMs;
    const { revision } = await this.#note([name], { by: by.id }, () =>
      this.#mapLease(undefined, () =>
        commit(this.#store, [{ key: instanceKey(name) }], (known) =>
          setLifecycle(known, { name, by, lifecycle, drainUntilMs }),
        ),
      ),
    );
    return { revision };
  }

  /** Calls a drain over whose deadline has passed, unless somebody ended it meanwhile. */
  async endDrain(name: InstanceName): Promise<void> {
    const nowMs = this.#host.clock.now();
    await this.#note([name], { by: SERVERS.id, reason: "its deadline has passed" }, () =>
      commit(this.#store, [{ key: instanceKey(name) }], (known) =>
        setLifecycle(known, { name, by: SERVERS, lifecycle: "stopped", drainUntilMs: nowMs, ifOverAtMs: nowMs }),
      ),
    );
  }

  /** @throws REGISTRY_FILTER_INVALID, REGISTRY_CHECK_INVALID */
  async setPolicy(name: ServiceName, policy: ServicePolicy | undefined): Promise<{ revision: number }> {
    for (const [subset, filter] of Object.entries(policy?.subsets ?? {})) parseFilter(filter, `/subsets/${subset}`);
    const key = policyKey(name);
    const { revision } = await commit(this.#store, [{ key }], (known) => setPolicy(known, key, policy));
    return { revision };
  }

  /** The filter of a subset of a service. @throws REGISTRY_SUBSET_NOT_FOUND */
  subset({ namespace, service }: ServiceName, name: string): Predicate {
    const { subsets = {} } = this.catalog.policy(namespace, service);
    const filter = own(subsets, name);
    if (filter !== undefined) return parseFilter(filter);
    const known = Object.keys(subsets).join(", ") || "none";
    throw RegistryErrors.SUBSET_NOT_FOUND(
      `Service "${service}" has no subset "${name}"; it has ${known}. They are a part of its policy.`,
    );
  }

  /**
   * The instances that are asked for, as soon as they are others than the reader has. The tag says of each service that was
   * looked at when it last changed, so news of others wake nobody; a service without instances has none.
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

  /**
   * Takes the verdict on a check. Costs a revision only when the verdict changes; a TTL check otherwise only renews the
   * lease that its passing lives by.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
   */
  async report(
    name: InstanceName,
    check: string,
    { status, output, by }: Report & { by: Commander },
  ): Promise<{ revision: number }> {
    const keys = [{ key: instanceKey(name) }, { key: verdictKey(name, check) }];
    const attempt = (lease: string | undefined) =>
      this.#note([name], { by: by.id, ...(output === undefined ? {} : { reason: output }) }, () =>
        this.#mapLease(undefined, () =>
          commit(this.#store, keys, (known) =>
            reportVerdict(known, { name, by, check, status, nowMs: this.#host.clock.now(), lease }),
          ),
        ),
      );
    let done = await attempt(undefined);
    if (done.result && "keepAlive" in done.result) {
      try {
        await this.#store.keepAlive(done.result.keepAlive);
      } catch (error) {
        // It lapsed in this very moment: the verdict is gone with it, so plan again from there.
        if (!StoreErrors.LEASE_NOT_FOUND.is(error)) throw error;
        done = await attempt(undefined);
      }
    }
    if (done.result && "grantSeconds" in done.result) {
      const lease = await this.#store.grant(done.result.grantSeconds);
      done = await attempt(lease.id);
    }
    if (output !== undefined) this.history.said(instanceKey(name), check, status, output);
    return { revision: done.revision };
  }

  /** The checks of an instance with what was last said of each. @throws REGISTRY_INSTANCE_NOT_FOUND */
  health(name: InstanceName): (CheckView & { output?: string })[] {
    const instance = this.catalog.instance(name);
    if (!instance) throw notFound(name);
    return instance.checks.map((check) => {
      const output = this.history.last(instanceKey(name), check.id)?.output;
      return output === undefined ? check : { ...check, output };
    });
  }

  /** What this member saw of an instance's health within a day. @throws REGISTRY_INSTANCE_NOT_FOUND */
  healthHistory(name: InstanceName): HistoryView {
    if (!this.catalog.instance(name)) throw notFound(name);
    return this.history.view(instanceKey(name));
  }

  /** @throws REGISTRY_SESSION_NOT_FOUND when it has lapsed, with all that lived by it */
  async heartbeat(session: string): Promise<void> {
    await this.#mapLease(session, () => this.#store.keepAlive(session));
  }

  /** Ends a session and removes what lived by it, in one revision. @throws REGISTRY_SESSION_NOT_FOUND */
  async closeSession(session: string): Promise<void> {
    await this.#mapLease(session, () => this.#store.revoke(session));
  }

  /** The instances of the services named, or of a whole namespace, as pieces of a snapshot. */
  *snapshot(namespace: string, services: readonly string[] | undefined): Iterable<ServiceDelta> {
    const names = services ?? this.catalog.services(namespace).map(({ service }) => service);
    for (const service of names) {
      const instances = this.catalog.instances(namespace, service);
      const hints = hintsOf(this.catalog.policy(namespace, service));
      yield { namespace, service, instances, removed: [], ...this.catalog.panic(namespace, service), ...hints };
    }
  }

  /** Runs a command whose change is logged with its cause. */
  #note<T extends { revision: number }>(
    names: readonly InstanceName[],
    cause: Cause,
    run: () => Promise<T>,
  ): Promise<T> {
    return this.#journal.noting(names, { cause, seen: () => this.revision, run });
  }

  #checkRoom(names: readonly InstanceName[]): void {
    for (const name of names) {
      const { namespace, service } = name;
      if (this.catalog.size(namespace, service) < INSTANCES_PER_SERVICE_MAX || this.catalog.record(name)) continue;
      throw RegistryErrors.SERVICE_FULL(
        `Service "${service}" has ${INSTANCES_PER_SERVICE_MAX} instances, the most there may be. Deregister some first.`,
      );
    }
  }

  /** A lease that is gone is, to a caller, a session that is gone. */
  async #mapLease<T>(session: string | undefined, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (cause) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(cause)) throw cause;
      throw RegistryErrors.SESSION_NOT_FOUND(
        `The session${session === undefined ? "" : ` "${session}"`} has lapsed or was closed, with all that lived by it. Open a new one and register again.`,
        { cause },
      );
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
