/**
 * The registry's shell: what is known goes in, the core is asked, a transaction goes out; the store's watch brings the
 * news back, and every watcher of the catalog hears it from there and from nowhere else.
 */
import { deadline, type Host } from "#base";
import { WatchHub } from "#http";
import { commit, type Store, StoreErrors, View } from "#store";
import {
  INSTANCES_PER_SERVICE_MAX,
  RegistryErrors,
  type CheckView,
  type Registered,
  type Registration,
  type Report,
  type ServiceDelta,
  type Session,
} from "./api.ts";
import { Catalog } from "./core/catalog.ts";
import { deregisterInstance, notFound, registerInstance, reportVerdict, setDraining } from "./core/commands.ts";
import { instanceKey, REGISTRY_PREFIX, verdictKey, verdictsPrefix, type InstanceName } from "./core/keys.ts";

/** Milliseconds that a reader waits for the revision it asked for before it is told that we lag. */
const REVISION_WAIT_MS_MAX = 5_000;

/** The topic of one service, and the one of a whole namespace. */
export function serviceTopic(namespace: string, service: string): string {
  return `${namespace}/${service}`;
}
export function namespaceTopic(namespace: string): string {
  return `${namespace}/*`;
}

export class Registry {
  readonly catalog = new Catalog();
  readonly hub: WatchHub;
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  /** What the last probe or report said, for people. Kept here only: text does not belong in replicated state. */
  readonly #outputs = new Map<string, string>();
  readonly #listeners = new Set<(deltas: readonly ServiceDelta[]) => void>();

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    this.hub = new WatchHub(host, "services");
    const flips = host.metrics.counter({
      name: "posthouse_registry_changes_total",
      help: "Revisions that changed the catalog.",
    });
    this.#view = new View(host, store, {
      name: "registry",
      prefix: REGISTRY_PREFIX,
      reset: (entries, revision) => {
        this.catalog.reset(entries);
        this.hub.reset(revision);
        this.#tell([]);
      },
      apply: ({ events, revision }) => {
        const deltas = this.catalog.apply(events);
        this.hub.publish(
          revision,
          deltas.map((data) => ({
            topics: [serviceTopic(data.namespace, data.service), namespaceTopic(data.namespace)],
            data,
          })),
        );
        if (deltas.length === 0) return;
        flips.labels().inc();
        this.#forgetOutputs(deltas);
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

  /** @throws REGISTRY_REVISION_MISMATCH, REGISTRY_SESSION_NOT_FOUND, REGISTRY_SERVICE_FULL, REGISTRY_CHECK_INVALID */
  async register(name: InstanceName, registration: Registration, ifRevision?: number): Promise<Registered> {
    const { namespace, service } = name;
    if (this.catalog.size(namespace, service) >= INSTANCES_PER_SERVICE_MAX && !this.catalog.instance(name)) {
      throw RegistryErrors.SERVICE_FULL(
        `Service "${service}" has ${INSTANCES_PER_SERVICE_MAX} instances, the most there may be. Deregister some first.`,
      );
    }
    const { result, revision } = await this.#commit(name, registration.session, (known) =>
      registerInstance(known, { name, registration, ifRevision }),
    );
    return { revision, created: result.created };
  }

  /** @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH */
  async deregister(name: InstanceName, ifRevision?: number): Promise<{ revision: number }> {
    const { revision } = await this.#commit(name, undefined, (known) => deregisterInstance(known, name, ifRevision));
    return { revision };
  }

  /** @throws REGISTRY_INSTANCE_NOT_FOUND */
  async drain(name: InstanceName, draining: boolean): Promise<{ revision: number }> {
    const { revision } = await this.#commit(name, undefined, (known) => setDraining(known, name, draining));
    return { revision };
  }

  /**
   * Takes the verdict on a check. Costs a revision only when the verdict changes; a TTL check otherwise only renews the
   * lease that its passing lives by.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
   */
  async report(name: InstanceName, check: string, { status, output }: Report): Promise<{ revision: number }> {
    const keys = [{ key: instanceKey(name) }, { key: verdictKey(name, check) }];
    const attempt = (lease: string | undefined) =>
      this.#mapLease(undefined, () =>
        commit(this.#store, keys, (known) =>
          reportVerdict(known, { name, check, status, nowMs: this.#host.clock.now(), lease }),
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
    if (output !== undefined) this.#outputs.set(verdictKey(name, check), output);
    return { revision: done.revision };
  }

  /** The checks of an instance with what was last said of each. @throws REGISTRY_INSTANCE_NOT_FOUND */
  health(name: InstanceName): (CheckView & { output?: string })[] {
    const instance = this.catalog.instance(name);
    if (!instance) throw notFound(name);
    return instance.checks.map((check) => {
      const output = this.#outputs.get(verdictKey(name, check.id));
      return output === undefined ? check : { ...check, output };
    });
  }

  async openSession(ttlSeconds: number): Promise<Session> {
    return this.#store.grant(ttlSeconds);
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
      yield { namespace, service, instances: this.catalog.instances(namespace, service), removed: [] };
    }
  }

  #commit<Result>(name: InstanceName, session: string | undefined, plan: Parameters<typeof commit<Result>>[2]) {
    const keys = [{ key: instanceKey(name) }, { prefix: verdictsPrefix(name) }];
    return this.#mapLease(session, () => commit(this.#store, keys, plan));
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

  #forgetOutputs(deltas: readonly ServiceDelta[]): void {
    for (const { namespace, service, removed } of deltas) {
      for (const id of removed) {
        const prefix = verdictsPrefix({ namespace, service, id });
        for (const key of this.#outputs.keys()) if (key.startsWith(prefix)) this.#outputs.delete(key);
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
        total[status] = (total[status] ?? 0) + count;
      }
    }
    for (const [namespace, total] of totals) {
      for (const [status, count] of Object.entries(total)) gauge.labels(namespace, status).set(count);
    }
  }
}
