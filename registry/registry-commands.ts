/**
 * The commands of the registry. Each one reads the store, lets the core plan, and writes one transaction. The change
 * comes back to the catalog through the store's watch.
 */
import type { Host } from "#base";
import type { HealthHistory } from "#health";
import {
  commit,
  COMMIT_TRIES,
  SharedLease,
  TXN_OPS_MAX,
  type KeyOrPrefix,
  type KnownEntries,
  type Store,
  StoreErrors,
} from "#store";
import {
  CHECKS_PER_INSTANCE_MAX,
  INSTANCES_PER_SERVICE_MAX,
  RegistryErrors,
  type Batch,
  type BatchRegistered,
  type Lifecycle,
  type Registered,
  type Registration,
  type Report,
  type ServicePolicy,
} from "./api.ts";
import type { Catalog } from "./core/catalog.ts";
import { SERVERS, type Commander } from "./core/commands/commander.ts";
import { deregisterInstance } from "./core/commands/deregister.ts";
import { evictInstance } from "./core/commands/evict.ts";
import { readsOfChecks, readsOfState, transitionBy, type HistoryStep } from "./core/commands/history.ts";
import { setLifecycle } from "./core/commands/lifecycle.ts";
import { instanceNotFound, put, type CommandPlan, type RecordOf, type RegistryWrite } from "./core/commands/plan.ts";
import { setPolicy } from "./core/commands/policy.ts";
import { readsToRegister, registerBatch, registerInstance } from "./core/commands/register.ts";
import { reportVerdict } from "./core/commands/verdict.ts";
import { setWeight } from "./core/commands/weight.ts";
import { transitionStamp, type TransitionReason } from "./core/history.ts";
import {
  historyKey,
  instanceKey,
  policyKey,
  tombstoneKey,
  verdictKey,
  type InstanceName,
  type ServiceName,
} from "./core/keys.ts";
import { parseFilter } from "./core/selector.ts";
import type { ProbedCheck } from "./core/stored-check.ts";
import type { HealthPast } from "./health-past.ts";
import type { Cause, Journal } from "./journal.ts";

/**
 * Seconds for which a deregistered claim is rejected. Deregistered by others: a day, so that a host that was cut off does
 * not restore the instance. Deregistered by its owner: every request that was on its way has arrived by then.
 */
const TOMBSTONE_SECONDS = { byOwner: 600, byOthers: 86_400 };

/** All checks of an instance may flip at the same moment, and the transition of each depends on all of them. */
const HISTORY_TRIES = COMMIT_TRIES + CHECKS_PER_INSTANCE_MAX;
const LIFECYCLE = { reads: [], reason: { cause: "lifecycle" } } as const;

/** The owner and incarnation are set when the instance's own owner deregisters it; they name the latest claim to withdraw. */
export interface DeregisterOptions {
  readonly by: Commander;
  readonly ifRevision?: number | undefined;
  readonly owner?: string | undefined;
  readonly incarnation?: number | undefined;
}

/** The parts of the registry that its commands use. */
export interface RegistryParts {
  readonly catalog: Catalog;
  readonly history: HealthHistory;
  readonly journal: Journal;
  /** The histories that commands add to. */
  readonly past: HealthPast;
  /** Revision up to which the catalog is complete. */
  readonly revision: () => number;
  /** Why the servers would not run a check; undefined: they would. */
  readonly refuse: (check: ProbedCheck) => string | undefined;
}

export class RegistryCommands {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: RegistryParts;
  readonly #tombstones: { readonly byOwner: SharedLease; readonly byOthers: SharedLease };

  readonly #recordOf: RecordOf;

  constructor(host: Host, store: Store, parts: RegistryParts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
    this.#recordOf = (name, entry) => parts.catalog.recordIn(name, entry);
    this.#tombstones = {
      byOwner: new SharedLease(host, store, TOMBSTONE_SECONDS.byOwner),
      byOthers: new SharedLease(host, store, TOMBSTONE_SECONDS.byOthers),
    };
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
    this.#requireCapacity([name]);
    const { refuse } = this.#parts;
    const { result, revision } = await this.#note([name], { by: by.id }, () =>
      withSession(registration.session, () =>
        this.#commit([name], { reads: readsToRegister(name), reason: { cause: "registered" } }, (known) =>
          registerInstance(known, { name, by, registration, ifRevision, nowMs: this.#host.clock.now(), refuse }),
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
      refuse: this.#parts.refuse,
    }));
    const names = batch.map(({ name }) => name);
    this.#requireCapacity(names);
    const reads = new Map(
      names.flatMap((name) => readsToRegister(name)).map((read) => ["key" in read ? read.key : read.prefix, read]),
    );
    const sessions = [...new Set(batch.map(({ registration }) => registration.session))];
    const { result, revision } = await this.#note(names, { by: by.id }, () =>
      withSession(sessions.length === 1 ? sessions[0] : undefined, () =>
        this.#commit(names, { reads: [...reads.values()], reason: { cause: "registered" } }, (known) =>
          registerBatch(known, batch),
        ),
      ),
    );
    return { revision, created: result.created };
  }

  /**
   * An instance that was claimed with an incarnation leaves a tombstone.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH, REGISTRY_NOT_OWNER
   */
  async deregister(
    name: InstanceName,
    { by, ifRevision, owner, incarnation }: DeregisterOptions,
  ): Promise<{ revision: number }> {
    const byOwner = owner !== undefined && owner === (this.#parts.catalog.record(name)?.owner ?? owner);
    const tombstones = byOwner ? this.#tombstones.byOwner : this.#tombstones.byOthers;
    const claim = owner === undefined || incarnation === undefined ? undefined : { owner, incarnation };
    const reads = [{ key: instanceKey(name) }, { key: tombstoneKey(name) }];
    const { revision, result } = await this.#note([name], { by: by.id }, () =>
      tombstones.use((tombstoneLease) =>
        this.#commit([name], { reads, reason: { cause: "deregistered" } }, (known) =>
          deregisterInstance(known, { name, by, ifRevision, tombstoneLease, claim }),
        ),
      ),
    );
    if (result.absent) throw instanceNotFound(name);
    return { revision };
  }

  /**
   * Deregisters an instance if this check of it is still critical, and returns whether it did.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
   */
  async evict(name: InstanceName, check: string, reason: string): Promise<boolean> {
    const reads = [{ key: instanceKey(name) }, { key: tombstoneKey(name) }, { key: verdictKey(name, check) }];
    const { result } = await this.#note([name], { by: SERVERS.id, reason }, () =>
      this.#tombstones.byOthers.use((tombstoneLease) =>
        this.#commit([name], { reads, reason: { cause: "evicted", check, output: reason } }, (known) =>
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
      withSession(undefined, () =>
        this.#commit([name], LIFECYCLE, (known) => setLifecycle(known, { name, by, lifecycle, drainUntilMs })),
      ),
    );
    return { revision };
  }

  /** Stops an instance whose drain deadline has passed, unless the drain was ended meanwhile. */
  async endDrain(name: InstanceName): Promise<void> {
    const nowMs = this.#host.clock.now();
    await this.#note([name], { by: SERVERS.id, reason: "its deadline has passed" }, () =>
      this.#commit([name], LIFECYCLE, (known) =>
        setLifecycle(known, { name, by: SERVERS, lifecycle: "stopped", drainUntilMs: nowMs, ifOverAtMs: nowMs }),
      ),
    );
  }

  /** Leaves the rest of the registration as it is. @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_NOT_OWNER */
  async setWeight(name: InstanceName, weight: number, by: Commander): Promise<{ revision: number }> {
    const { revision } = await this.#note([name], { by: by.id }, () =>
      withSession(undefined, () =>
        commit(this.#store, [{ key: instanceKey(name) }], (known) => setWeight(known, { name, by, weight })),
      ),
    );
    return { revision };
  }

  /** @throws REGISTRY_FILTER_INVALID, REGISTRY_CHECK_INVALID */
  async setPolicy(name: ServiceName, policy: ServicePolicy | undefined): Promise<{ revision: number }> {
    for (const [subset, filter] of Object.entries(policy?.subsets ?? {})) parseFilter(filter, `/subsets/${subset}`);
    const key = policyKey(name);
    const { revision } = await commit(this.#store, [{ key }], (known) => setPolicy(known, key, policy));
    return { revision };
  }

  /**
   * Takes the verdict on a check. Costs a revision only when the verdict changes; a report on a TTL check otherwise only
   * renews the lease of its verdict.
   * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
   */
  async report(
    name: InstanceName,
    check: string,
    { status, output, by }: Report & { by: Commander },
  ): Promise<{ revision: number }> {
    const keys = [{ key: instanceKey(name) }, { key: verdictKey(name, check) }];
    // A report that changes nothing is the most frequent call of all, so it reads its own verdict only. Should the status
    // have changed meanwhile, the keeper records that.
    const isFlip = this.#parts.catalog.instance(name)?.checks.find(({ id }) => id === check)?.status !== status;
    const checks = this.#parts.catalog.record(name)?.checks;
    const plan = (lease: string | undefined) => (known: KnownEntries) =>
      reportVerdict(known, { name, by, check, status, nowMs: this.#host.clock.now(), lease, recordOf: this.#recordOf });
    const attempt = (lease: string | undefined) =>
      this.#note([name], { by: by.id, ...(output === undefined ? {} : { reason: output }) }, () =>
        withSession(undefined, () =>
          isFlip
            ? this.#commit([name], { reads: keys, reason: { cause: "check", check, output }, checks }, plan(lease))
            : commit(this.#store, keys, plan(lease)),
        ),
      );
    let done = await attempt(undefined);
    if (done.result && "keepAlive" in done.result) {
      try {
        await this.#store.keepAlive(done.result.keepAlive);
      } catch (error) {
        // The lease has just lapsed and its verdict is gone, so plan again from there.
        if (!StoreErrors.LEASE_NOT_FOUND.is(error)) throw error;
        done = await attempt(undefined);
      }
    }
    if (done.result && "grantSeconds" in done.result) {
      const lease = await this.#store.grant(done.result.grantSeconds);
      done = await attempt(lease.id);
    }
    if (output !== undefined) this.#parts.history.said(instanceKey(name), check, status, output);
    return { revision: done.revision };
  }

  /** @throws REGISTRY_SESSION_NOT_FOUND when the session has lapsed and everything attached to it is removed */
  async heartbeat(session: string): Promise<void> {
    await withSession(session, () => this.#store.keepAlive(session));
  }

  /** Ends a session and removes everything attached to it, in one revision. @throws REGISTRY_SESSION_NOT_FOUND */
  async closeSession(session: string): Promise<void> {
    await withSession(session, () => this.#store.revoke(session));
  }

  /**
   * Commits a command together with the transitions of its instances, as far as both fit one transaction. `checks`: those of the
   * one instance, as far as known, when the command changes a verdict only.
   */
  #commit<T>(
    names: readonly InstanceName[],
    {
      reads,
      reason,
      checks,
    }: { reads: readonly KeyOrPrefix[]; reason: TransitionReason; checks?: HistoryStep["checks"] },
    plan: (known: KnownEntries) => CommandPlan<T>,
  ) {
    const readsOf = (name: InstanceName) => (checks ? readsOfChecks(name, checks) : readsOfState(name));
    const all = new Map(
      [...reads, ...names.flatMap(readsOf)].map((read) => ["key" in read ? read.key : read.prefix, read]),
    );
    const { catalog } = this.#parts;
    const verdicts = checks ? 0 : names.reduce((sum, name) => sum + (catalog.record(name)?.checks.length ?? 0), 0);
    // The keeper records the histories of a batch that is too large: each entry that is read takes a comparison.
    if (all.size + verdicts > TXN_OPS_MAX) return commit(this.#store, reads, plan);
    return commit(
      this.#store,
      [...all.values()],
      (known) => {
        const { writes, result } = plan(known);
        if (writes.length === 0) return { writes, result };
        const history = names.flatMap((name) =>
          this.#transition(known, writes, { name, reason, checks, recordOf: this.#recordOf }),
        );
        return { writes: writes.length + history.length > TXN_OPS_MAX ? writes : [...writes, ...history], result };
      },
      { tries: HISTORY_TRIES },
    );
  }

  #transition(known: KnownEntries, writes: readonly RegistryWrite[], step: HistoryStep): RegistryWrite[] {
    const transition = transitionBy(known, writes, step);
    if (!transition) return [];
    const { clock, random } = this.#host;
    const stamp = transitionStamp(clock.now(), random.float(), this.#parts.past.latestStamp(step.name));
    return [put(historyKey(step.name, stamp), transition, undefined)];
  }

  /** Runs a command whose change is logged with its cause. */
  #note<T extends { revision: number }>(
    names: readonly InstanceName[],
    cause: Cause,
    run: () => Promise<T>,
  ): Promise<T> {
    return this.#parts.journal.noting(names, { cause, seen: this.#parts.revision, run });
  }

  #requireCapacity(names: readonly InstanceName[]): void {
    const { catalog } = this.#parts;
    for (const name of names) {
      const { namespace, service } = name;
      if (catalog.size(namespace, service) < INSTANCES_PER_SERVICE_MAX || catalog.record(name)) continue;
      throw RegistryErrors.SERVICE_FULL(
        `Service "${service}" has ${INSTANCES_PER_SERVICE_MAX} instances, the most allowed. Deregister some first.`,
      );
    }
  }
}

/** To a caller, a lease that is gone is a session that is gone. @throws REGISTRY_SESSION_NOT_FOUND */
async function withSession<T>(session: string | undefined, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (!StoreErrors.LEASE_NOT_FOUND.is(cause)) throw cause;
    throw RegistryErrors.SESSION_NOT_FOUND(
      `The session${session === undefined ? "" : ` "${session}"`} has lapsed or was closed, and everything attached to it was removed. Open a new session and register again.`,
      { cause },
    );
  }
}
