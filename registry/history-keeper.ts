/**
 * Records transitions that no command recorded: a check that lapsed, a session that ended, instances of a batch, and
 * instances from before histories existed. Each instance is compared with its history at every revision, and at every
 * start. Members share the work. When two members record the same transition, readers see one.
 */
import { AppError, fullJitter, messageOf, Trigger, type Host } from "#base";
import { commit, type Store, StoreErrors, TXN_OPS_MAX } from "#store";
import type { ServiceDelta } from "./api.ts";
import type { Catalog } from "./core/catalog.ts";
import { readsOfState, transitionFound } from "./core/commands/history.ts";
import { put, type KnownEntries } from "./core/commands/plan.ts";
import { GONE_STATE, isSameState, transitionStamp, type InstanceState } from "./core/history.ts";
import { historyKey, instanceKey, type InstanceName } from "./core/keys.ts";
import { ownership } from "./core/ownership.ts";
import type { HealthPast } from "./health-past.ts";
import type { Members } from "./members.ts";

/** Milliseconds over which differences are gathered: a rack that goes is then some transactions and not hundreds. */
const GATHER_MS = 100;
/** Milliseconds before a difference that is another member's to record is looked at again: that member may be gone. */
const LEFT_MS = 5_000;
/** Operations of one transaction of this kind: half of what fits, since verdicts that are found count as comparisons. */
const OPS_MAX = TXN_OPS_MAX / 2;
const RETRY = { baseMs: 200, capMs: 5_000 };

interface Parts {
  readonly catalog: Catalog;
  readonly past: HealthPast;
}

interface Difference {
  readonly name: InstanceName;
  /** Noticed in a listing, so it may be of any age. */
  readonly isOld: boolean;
}

export class HistoryKeeper {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: Parts;
  readonly #due = new Map<string, Difference>();
  readonly #wake = new Trigger();

  constructor(host: Host, store: Store, parts: Parts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
  }

  /** Compares everything: the catalog and the histories were listed. */
  compareAll(): void {
    this.#due.clear();
    const { catalog, past } = this.#parts;
    for (const { namespace, service } of catalog.services()) {
      for (const { id } of catalog.instances(namespace, service)) this.#compare({ namespace, service, id }, true);
    }
    for (const name of past.names()) this.#compare(name, true);
    if (this.#due.size > 0) this.#wake.fire();
  }

  /** Compares the instances that changed at one revision, after their histories were applied. */
  compare(deltas: readonly ServiceDelta[]): void {
    for (const { namespace, service, instances, removed } of deltas) {
      for (const { id } of instances) this.#compare({ namespace, service, id }, false);
      for (const id of removed) this.#compare({ namespace, service, id }, false);
    }
    if (this.#due.size > 0) this.#wake.fire();
  }

  #compare(name: InstanceName, isOld: boolean): void {
    const key = instanceKey(name);
    if (!this.#differs(name)) this.#due.delete(key);
    else if (!this.#due.has(key)) this.#due.set(key, { name, isOld });
  }

  #differs(name: InstanceName): boolean {
    const { catalog, past } = this.#parts;
    const instance = catalog.instance(name);
    const now: InstanceState = instance ? { status: instance.status, lifecycle: instance.lifecycle } : GONE_STATE;
    const latest = past.latest(name);
    return latest === undefined ? now.status !== "gone" : !isSameState(latest, now);
  }

  /** Records differences until the signal aborts. Give it to a TaskGroup. */
  async run(members: Members, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#host;
    let failures = 0;
    let cancel = () => {};
    while (!signal.aborted) {
      await this.#wake.wait(signal);
      await clock.sleep(GATHER_MS, signal).catch(() => {});
      cancel();
      if (signal.aborted) return;
      const owns = ownership(members.list(), members.id);
      try {
        for (const batch of this.#batches(owns)) {
          if (signal.aborted) break;
          await this.#record(batch);
        }
        failures = 0;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#host.log.debug({ code: error.code }, `health history not written yet, retrying: ${messageOf(error)}`);
        await clock.sleep(fullJitter(random, failures++, RETRY), signal).catch(() => {});
        this.#wake.fire();
        continue;
      }
      if (this.#due.size > 0 && !signal.aborted) cancel = clock.after(LEFT_MS, () => this.#wake.fire());
    }
  }

  /** This member's differences, in groups that fit one transaction each. */
  #batches(owns: (key: string) => boolean): Difference[][] {
    const batches: Difference[][] = [];
    let batch: Difference[] = [];
    let ops = 0;
    for (const [key, due] of this.#due) {
      if (!this.#differs(due.name)) {
        this.#due.delete(key);
        continue;
      }
      if (!owns(key)) continue;
      const cost = 2 + (this.#parts.catalog.instance(due.name)?.checks.length ?? 1);
      if (ops + cost > OPS_MAX) {
        batches.push(batch);
        batch = [];
        ops = 0;
      }
      batch.push(due);
      ops += cost;
    }
    if (batch.length > 0) batches.push(batch);
    return batches;
  }

  async #record(batch: readonly Difference[]): Promise<void> {
    const reads = batch.flatMap(({ name }) => readsOfState(name));
    try {
      await commit(this.#store, reads, (known) => ({
        writes: batch.flatMap((one) => this.#writes(known, one)),
        result: undefined,
      }));
    } catch (error) {
      // More verdicts than expected, or many writers at once: one instance at a time has fewer comparisons.
      if (batch.length === 1 || !(StoreErrors.INVALID.is(error) || StoreErrors.CONTENDED.is(error))) throw error;
      for (const one of batch) await this.#record([one]);
    }
    for (const { name } of batch) if (!this.#differs(name)) this.#due.delete(instanceKey(name));
  }

  #writes(known: KnownEntries, { name, isOld }: Difference) {
    const { past } = this.#parts;
    const transition = transitionFound(known, { name, latest: past.latest(name), isOld });
    if (!transition) return [];
    const { clock, random } = this.#host;
    const stamp = transitionStamp(clock.now(), random.float(), past.latestStamp(name));
    return [put(historyKey(name, stamp), transition, undefined)];
  }
}
