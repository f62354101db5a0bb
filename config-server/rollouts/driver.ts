/**
 * Drives rollouts: observes acknowledgements and health, asks the core, and commits the next step. Every member does so. A
 * step applies only to the turn that it was decided for, so two drivers do no harm, and a crash of one leaves nothing undone.
 * All state is in the store, except durations: each member measures them itself.
 */
import { AppError, deadline, decodeJson, encodeJson, messageOf, Trigger, type Host } from "#base";
import { ChangeLog, type ChangeEntry } from "#changes";
import { commit, type KnownEntries, type Store } from "#store";
import {
  ConfigErrors,
  SHOWN_INSTANCES_MAX,
  type RolloutAction,
  type RolloutInstance,
  type RolloutView,
  type SetName,
} from "../api.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { rolloutChange } from "../releases/release-changes.ts";
import { judge, type Observed, type Seen } from "../core/gate.ts";
import { liveKey, rolloutKey, rolloutsPrefix, setId, setOf } from "../core/keys.ts";
import type { ActiveRollout } from "../core/live.ts";
import {
  step,
  viewOf,
  type LiveRecord,
  type RolloutPlan,
  type Rollout,
  type Step,
  type Tally,
} from "../core/rollout.ts";
import type { Subscribers } from "./subscribers.ts";

/** Milliseconds between two observations without a change. Health has no change events, so it is read this often. */
const LOOK_MS = 500;
/** The least milliseconds between two observations, and the pause as a multiple of the last one: large fleets are observed less often. */
const PAUSE_MS_MIN = 50;
const PAUSE_LOOKS = 10;
/** Milliseconds that this member may take to see its own step before it answers with the state. */
const CATCH_UP_MS_MAX = 2_000;
/** Rollouts of one listing. */
const ROLLOUTS_LISTED_MAX = 100;

/** An instance in the registry. `owner` claims it, such as an agent's node. */
export interface InstanceHealth {
  readonly id: string;
  readonly owner: string | undefined;
  readonly critical: boolean;
}

/** Returns the instances of a service with their health. */
export type HealthSource = (namespace: string, service: string) => readonly InstanceHealth[];

interface Parts {
  readonly config: ConfigServer;
  readonly acknowledgements: Acknowledgements;
  readonly subscribers: Subscribers;
  readonly health: HealthSource;
}

interface Observation extends Observed {
  readonly instances: readonly RolloutInstance[];
  readonly tally: Tally;
}

export class Rollouts {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: Parts;
  readonly #changes: ChangeLog;
  readonly #wake = new Trigger();
  /** By set and version. */
  #seen = new Map<string, Seen>();
  readonly #steps;

  constructor(host: Host, store: Store, parts: Parts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
    this.#changes = new ChangeLog(host, store);
    parts.config.publisher.rolloutWatch = {
      critical: ({ namespace }, plan) => this.#criticalOf(namespace, plan),
      tally: (name) => this.#lookAt(name)?.tally ?? NO_TALLY,
    };
    this.#steps = host.metrics.counter({
      name: "posthouse_config_rollout_steps_total",
      help: "Steps of gradual releases, by kind; each counted by the member that took it.",
      labelNames: ["step"],
    });
  }

  /** Observes and takes steps until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#host;
    const { config, acknowledgements, subscribers } = this.#parts;
    const off = [config, acknowledgements, subscribers].map((part) => part.onChange(() => this.#wake.fire()));
    while (!signal.aborted) {
      const active = [...config.live.rollouts()];
      const cancel = active.length > 0 ? clock.after(LOOK_MS, () => this.#wake.fire()) : () => {};
      await this.#wake.wait(signal);
      cancel();
      if (signal.aborted) break;
      const beganMs = clock.monotonic();
      await this.#look();
      const pauseMs = Math.max(PAUSE_MS_MIN, PAUSE_LOOKS * (clock.monotonic() - beganMs));
      if (this.#seen.size > 0) await clock.sleep(pauseMs, signal).catch(() => {});
    }
    for (const end of off) end();
  }

  /** The running rollout of a set. @throws CONFIG_ROLLOUT_NOT_FOUND */
  async view(name: SetName): Promise<RolloutView> {
    const { entries } = await this.#store.range({ key: liveKey(name) });
    const record = entries[0] && decodeJson<LiveRecord>(entries[0].value);
    if (!entries[0] || !record?.rollout) throw noRollout(name);
    await this.#caughtUp(entries[0].modRevision);
    const view = viewOf(name, record, record.rollout);
    const active = this.#activeOf(name);
    if (active?.record.rollout.turn !== record.rollout.turn) return view;
    const { instances, tally, ...observed } = this.#observe(active);
    const { verdict } = judge(record.rollout, this.#seen.get(idOf(active)), observed, this.#host.clock.monotonic());
    const stages = view.stages.map((stage, index) =>
      index === record.rollout?.stage ? { ...stage, reached: tally.reached, applied: tally.applied } : stage,
    );
    return {
      ...view,
      stages,
      failures: [...tally.failures],
      ...(verdict.step === "wait" ? { waitsFor: verdict.why } : {}),
      instances: [...instances].sort(byUrgency).slice(0, SHOWN_INSTANCES_MAX),
    };
  }

  /** The running rollout of a set, then its ended rollouts, newest first. */
  async list(name: SetName): Promise<RolloutView[]> {
    const prefix = rolloutsPrefix(name);
    const keys = await this.#store.range({ prefix, keysOnly: true });
    const after = keys.entries.at(-1 - ROLLOUTS_LISTED_MAX)?.key;
    const { entries } = await this.#store.range({ prefix, ...(after === undefined ? {} : { after }) });
    const ended = entries.map(({ value }) => decodeJson<RolloutView>(value));
    const record = await this.#parts.config.releases.liveRecord(name);
    return [...(record?.rollout ? [viewOf(name, record, record.rollout)] : []), ...ended.toReversed()];
  }

  /** Applies an operator's command to the running rollout. @throws CONFIG_ROLLOUT_NOT_FOUND, CONFIG_ROLLOUT_STATE */
  async command(
    name: SetName,
    action: RolloutAction,
    { by, reason }: { by: string; reason: string },
  ): Promise<RolloutView> {
    const because = reason === "" ? `${action} by ${by}` : reason;
    const done = await this.#step(name, action, { by, because });
    if (!done) throw noRollout(name);
    if (done.ended) return done.ended;
    await this.#caughtUp(done.revision);
    return this.view(name);
  }

  async #look(): Promise<void> {
    const { config, acknowledgements, subscribers } = this.#parts;
    const seen = new Map<string, Seen>();
    // Without a connection acknowledgements may be missing only here, so this member does not judge. Its waits start over.
    const hears = config.connected && acknowledgements.connected && subscribers.connected;
    for (const active of hears ? config.live.rollouts() : []) {
      const { rollout } = active.record;
      const id = idOf(active);
      const found = judge(rollout, this.#seen.get(id), this.#observe(active), this.#host.clock.monotonic());
      seen.set(id, found.seen);
      if (found.verdict.step === "wait") continue;
      const { step, because } = found.verdict;
      try {
        await this.#step(active.name, step, { because, turn: rollout.turn, version: rollout.version });
      } catch (error) {
        // The next observation decides again.
        if (!(error instanceof AppError)) throw error;
        this.#host.log.debug({ code: error.code, rollout: id }, `rollout step not taken: ${messageOf(error)}`);
      }
    }
    this.#seen = seen;
  }

  /** Undefined when no rollout is running, or it is no longer at the given turn. */
  async #step(
    name: SetName,
    what: Step,
    given: { because: string; by?: string; turn?: number; version?: number },
  ): Promise<{ revision: number; ended: RolloutView | undefined } | undefined> {
    const key = liveKey(name);
    const tally = this.#lookAt(name)?.tally ?? NO_TALLY;
    const { because, by, turn, version } = given;
    const plan = (known: KnownEntries, noted: ChangeEntry) => {
      const entry = known.get(key);
      const record = entry && decodeJson<LiveRecord>(entry.value);
      if (!record?.rollout) return { result: undefined };
      const { rollout } = record;
      if (turn !== undefined && (rollout.turn !== turn || rollout.version !== version)) return { result: undefined };
      const critical = this.#criticalOf(name.namespace, rollout.plan);
      const nowMs = this.#host.clock.now();
      const context = { because, by, tally, critical, nowMs };
      const { live, ended } = step(name, { ...record, rollout }, what, context);
      return {
        writes: [
          { type: "put" as const, key, value: encodeJson(live) },
          ...(ended
            ? [{ type: "put" as const, key: rolloutKey(name, rollout.version), value: encodeJson(ended) }]
            : []),
          noted(rolloutChange(name, { what, because, by, atMs: nowMs }, { rollout, ended })),
        ],
        result: { rollout, ended },
      };
    };
    const { result, revision } = await this.#changes.use((entry) =>
      commit(this.#store, [{ key }], (known) => plan(known, entry)),
    );
    if (!result) return undefined;
    this.#noted(name, { what, because, by, ...result });
    return { revision, ended: result.ended };
  }

  #noted(
    name: SetName,
    {
      what,
      because,
      by,
      rollout,
      ended,
    }: { what: Step; because: string; by: string | undefined; rollout: Rollout; ended: RolloutView | undefined },
  ): void {
    this.#steps.labels(ended?.state ?? what).inc();
    const level = what === "fail" || ended?.state === "rolledBack" ? "warn" : "info";
    const { version, stage } = rollout;
    this.#host.log[level](
      { set: setId(name), version, stage, step: what, state: ended?.state, by, because },
      `rollout of release ${version} of "${setId(name)}": ${ended?.state ?? what}: ${because}`,
    );
  }

  async #caughtUp(revision: number): Promise<void> {
    using late = deadline(this.#host.clock, CATCH_UP_MS_MAX);
    await this.#parts.config.waitFor(revision, late.signal).catch(() => {});
  }

  #activeOf(name: SetName): ActiveRollout | undefined {
    const record = this.#parts.config.live.get(name)?.record;
    return record?.rollout && { name, record: { ...record, rollout: record.rollout } };
  }

  #lookAt(name: SetName): Observation | undefined {
    const active = this.#activeOf(name);
    return active && this.#observe(active);
  }

  /** All instances that the rollout concerns, and those that it has reached. */
  #observe(active: ActiveRollout): Observation {
    const { config, acknowledgements, subscribers, health } = this.#parts;
    const { rollout } = active.record;
    const healthOf = new Map<string, InstanceHealth[]>();
    for (const one of health(active.name.namespace, rollout.plan.health.service)) {
      for (const id of new Set([one.id, one.owner ?? one.id])) healthOf.set(id, [...(healthOf.get(id) ?? []), one]);
    }
    const rolling = setId(active.name);
    const instances: RolloutInstance[] = [];
    const critical = new Set<string>();
    for (const set of new Set([...acknowledgements.sets(), ...subscribers.sets()])) {
      const name = setOf(set);
      if (!config.live.concerns(active, name)) continue;
      const acknowledged = acknowledgements.of(name);
      const here = subscribers.of(name);
      for (const instance of new Set([...acknowledged.keys(), ...here.keys()])) {
        const last = acknowledged.get(instance);
        const there = here.get(instance);
        const who = { instance, labels: there?.labels ?? last?.labels ?? {} };
        const stage = config.live.stageOf(active, who);
        // Building the config makes its versions known to `madeOf`.
        config.live.resolved(name, who);
        const ofThis = last !== undefined && config.live.madeOf(last.releaseKey)?.get(rolling) === rollout.version;
        const present = there !== undefined || last?.session === true;
        // An instance that is gone is not waited for, but its failure still counts.
        if (!present && !(ofThis && last.outcome === "failed")) continue;
        const judged = healthOf.get(instance);
        const reached = stage <= rollout.stage;
        for (const one of reached ? (judged ?? []) : []) if (one.critical) critical.add(one.id);
        instances.push({
          instance,
          ...(set === rolling ? {} : { set }),
          labels: who.labels,
          stage,
          reached,
          present,
          ...(ofThis
            ? { outcome: last.outcome, at: last.at, ...(last.error === undefined ? {} : { error: last.error }) }
            : {}),
          ...(judged ? { health: judged.some((one) => one.critical) ? "critical" : "well" } : {}),
        });
      }
    }
    const reached = instances.filter((one) => one.reached);
    return {
      instances,
      critical,
      reached: reached.map(({ instance, outcome, error }) => ({ instance, outcome, error })),
      tally: {
        reached: reached.length,
        applied: reached.filter(({ outcome }) => outcome === "applied").length,
        failures: reached
          .filter(({ outcome }) => outcome === "failed")
          .map(({ instance, error = "" }) => ({ instance, error })),
      },
    };
  }

  #criticalOf(namespace: string, { health: { service } }: RolloutPlan): string[] {
    return this.#parts.health(namespace, service).flatMap(({ id, critical }) => (critical ? [id] : []));
  }
}

const NO_TALLY: Tally = { reached: 0, applied: 0, failures: [] };

function idOf({ name, record: { rollout } }: ActiveRollout): string {
  return `${setId(name)}@${rollout.version}`;
}

/** Reached instances first; among them, failed and missing ones first. */
function byUrgency(a: RolloutInstance, b: RolloutInstance): number {
  const rank = ({ reached, outcome, stage }: RolloutInstance) =>
    reached ? (outcome === "failed" ? 0 : outcome === undefined ? 1 : 2) : 3 + stage;
  return rank(a) - rank(b) || (a.instance < b.instance ? -1 : 1);
}

function noRollout(name: SetName) {
  return ConfigErrors.ROLLOUT_NOT_FOUND(
    `No rollout of "${setId(name)}" is running. GET …/rollouts lists those that ended; POST …/releases with "rollout" begins one.`,
  );
}
