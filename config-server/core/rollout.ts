/**
 * A gradual release: its plan, and the steps that it takes. All of it stands in the live pointer of its set, so each step is
 * one revision, in order with releases. Pure: a command and what is known become the next state or an error.
 */
import {
  ACK_SECONDS,
  ConfigErrors,
  HOLD_SECONDS,
  KEPT_FAILURES_MAX,
  STAGE_INSTANCES_MAX,
  type Failure,
  type Identity,
  type RolloutAction,
  type RolloutRequest,
  type RolloutView,
  type SetName,
  type StageView,
} from "../api.ts";
import { sharePlaceOf, selects, type Selector } from "./identity.ts";
import { setId } from "./keys.ts";

/**
 * Names of instances that are left out of account because they were ill before: the record of a rollout stays small. Those
 * beyond count as if they had been well, which errs on the side of going back.
 */
export const SPARED_MAX = 1000;

export interface Stage extends Selector {
  readonly holdSeconds: number;
  readonly ackTimeoutSeconds: number;
  readonly acksMin: number;
}

export interface RolloutPlan {
  /** The last selects everybody. */
  readonly stages: readonly Stage[];
  readonly health: { readonly service: string; readonly unhealthyMax: number; readonly graceSeconds: number };
  readonly onFailure: "rollback" | "pause";
}

export interface Rollout {
  readonly version: number;
  readonly hash: string;
  /** As in the pointer, once it is live. */
  readonly secrets?: true;
  readonly author: string;
  readonly reason: string;
  readonly startedAt: string;
  readonly state: "running" | "paused";
  readonly stage: number;
  /** Grows with each step: who looked at another turn knows something else. */
  readonly turn: number;
  readonly plan: RolloutPlan;
  /** One per stage that began. */
  readonly log: readonly StageLog[];
  /** Instances that were critical before this stage, and those whose failure somebody went on in spite of. */
  readonly spared: { readonly critical: readonly string[]; readonly failed: readonly string[] };
  /** Of a pause. */
  readonly because?: string;
  readonly by?: string;
}

interface StageLog {
  readonly beganAt: string;
  readonly endedAt?: string;
  readonly reached?: number;
  readonly applied?: number;
}

/** What the live pointer of a set says. */
export interface LiveRecord {
  readonly version: number;
  readonly hash: string;
  /** It has secrets, which a release on top of it may refer to without saying so. */
  readonly secrets?: true;
  /** Since when this is so. Absent in what earlier versions wrote. */
  readonly at?: string;
  /** The highest number of a release, when that is not the live one: numbers are not used again. */
  readonly latest?: number;
  readonly rollout?: Rollout;
}

/** How many a stage reached, how many of them acknowledged, and who could not take it. */
export interface Tally {
  readonly reached: number;
  readonly applied: number;
  readonly failures: readonly Failure[];
}

/** A plan with all that it does not say filled in. @throws CONFIG_ROLLOUT_INVALID */
export function planned(
  { stages, everybody = {}, health = {}, onFailure = "rollback" }: RolloutRequest,
  app: string,
): RolloutPlan {
  const named = stages.reduce((sum, { instances = [] }) => sum + instances.length, 0);
  if (named > STAGE_INSTANCES_MAX) {
    throw ConfigErrors.ROLLOUT_INVALID(
      `The stages name ${named} instances, ${STAGE_INSTANCES_MAX} in all are the most. Select by a label or a share.`,
      { extra: { field: "/rollout/stages" } },
    );
  }
  let share = 0;
  const filled = stages.map((stage, index): Stage => {
    const { labels, instances, percent, ...gate } = stage;
    if ([labels, instances, percent].filter((one) => one !== undefined).length !== 1) {
      throw invalid(index, "", "gives exactly one of labels, instances and percent");
    }
    if (labels && Object.keys(labels).length === 0) throw invalid(index, "/labels", "has no label to select by");
    if (percent !== undefined && percent < share) {
      throw invalid(
        index,
        "/percent",
        `reaches ${percent} %, and a stage before it ${share} %: whoever is in stays in`,
      );
    }
    share = percent ?? share;
    const selector = labels ? { labels } : instances ? { instances } : { percent: percent as number };
    return { ...selector, ...filledGate(gate, percent === undefined ? 1 : 0) };
  });
  return {
    stages: [...filled, filledGate(everybody, 0)],
    health: {
      service: health.service ?? app,
      unhealthyMax: health.unhealthyMax ?? 0,
      graceSeconds: health.graceSeconds ?? 0,
    },
    onFailure,
  };
}

function filledGate(gate: Partial<Omit<Stage, keyof Selector>>, acksMin: number): Stage {
  const { holdSeconds = HOLD_SECONDS, ackTimeoutSeconds = ACK_SECONDS } = gate;
  return { holdSeconds, ackTimeoutSeconds, acksMin: gate.acksMin ?? acksMin };
}

function invalid(index: number, field: string, problem: string) {
  return ConfigErrors.ROLLOUT_INVALID(`Stage ${index + 1} of the rollout ${problem}.`, {
    extra: { field: `/rollout/stages/${index}${field}` },
  });
}

export function begin(
  plan: RolloutPlan,
  given: Pick<Rollout, "version" | "hash" | "secrets" | "author" | "reason"> & {
    critical: readonly string[];
    nowMs: number;
  },
): Rollout {
  const { critical, nowMs, ...release } = given;
  const startedAt = new Date(nowMs).toISOString();
  return {
    ...release,
    startedAt,
    state: "running",
    stage: 0,
    turn: 1,
    plan,
    log: [{ beganAt: startedAt }],
    spared: { critical: bounded(critical), failed: [] },
  };
}

/** The first stage that selects somebody; the last selects everybody. */
export function stageOf(
  { plan: { stages }, version }: Pick<Rollout, "plan" | "version">,
  { name, who, hash }: { name: SetName; who: Identity; hash: (text: string) => string },
): number {
  let known: number | undefined;
  const place = () => (known ??= sharePlaceOf(`${setId(name)}@${version}`, who.instance ?? "", hash));
  return stages.findIndex((stage) => selects(stage, who, place));
}

/** What a step is taken with: who said so, why, when, and how the stage stands. */
export interface StepContext {
  readonly by?: string | undefined;
  readonly because: string;
  readonly nowMs: number;
  readonly tally: Tally;
  /** Instances that are critical in the registry now. */
  readonly critical: readonly string[];
}

export type Step = RolloutAction | "next" | "fail" | "supersede";

export type Stepped = { readonly live: LiveRecord; readonly ended?: RolloutView };

/**
 * The pointer after one step. `next` and `fail` are the driver's; the others are somebody's.
 * @throws CONFIG_ROLLOUT_STATE
 */
export function step(
  name: SetName,
  live: LiveRecord & { readonly rollout: Rollout },
  what: Step,
  context: StepContext,
): Stepped {
  const { rollout } = live;
  switch (what) {
    case "pause":
      if (rollout.state === "paused") throw wrongState(rollout, "It is paused already.");
      return going(live, paused(rollout, context));
    case "resume":
      if (rollout.state === "running") throw wrongState(rollout, "Only one that is paused is resumed.");
      return going(live, resumed(rollout, context));
    case "next":
    case "promote":
      if (rollout.stage === rollout.plan.stages.length - 1) return end(name, live, "completed", context);
      return going(live, advanced(rollout, context));
    case "complete":
      return end(name, live, "completed", context);
    case "supersede":
      return end(name, live, "superseded", context);
    case "fail":
    case "abort":
      return what === "fail" && rollout.plan.onFailure === "pause"
        ? going(live, paused(rollout, context))
        : end(name, live, "rolledBack", context);
    default:
      throw new Error(`a rollout has no step "${String(what satisfies never)}"`);
  }
}

function going(live: LiveRecord, rollout: Rollout): Stepped {
  return { live: { ...live, rollout: { ...rollout, turn: rollout.turn + 1 } } };
}

function paused(rollout: Rollout, { because, by }: StepContext): Rollout {
  const { because: _because, by: _by, ...rest } = rollout;
  return { ...rest, state: "paused", because, ...(by === undefined ? {} : { by }) };
}

/** Whoever resumes has seen what is wrong, and goes on in spite of it. */
function resumed(rollout: Rollout, { tally, critical }: StepContext): Rollout {
  const { because: _because, by: _by, spared, ...rest } = rollout;
  const failed = tally.failures.map(({ instance }) => instance);
  return {
    ...rest,
    state: "running",
    spared: { critical: bounded([...spared.critical, ...critical]), failed: bounded([...spared.failed, ...failed]) },
  };
}

function advanced(rollout: Rollout, context: StepContext): Rollout {
  const { because: _because, by: _by, log, spared, ...rest } = rollout;
  return {
    ...rest,
    state: "running",
    stage: rollout.stage + 1,
    log: [...closed(log, context), { beganAt: new Date(context.nowMs).toISOString() }],
    spared: { ...spared, critical: bounded(context.critical) },
  };
}

function closed(log: Rollout["log"], { nowMs, tally: { reached, applied } }: StepContext): StageLog[] {
  const last = log.at(-1) as StageLog;
  return [...log.slice(0, -1), { ...last, endedAt: new Date(nowMs).toISOString(), reached, applied }];
}

function end(
  name: SetName,
  live: LiveRecord & { readonly rollout: Rollout },
  state: "completed" | "rolledBack" | "superseded",
  context: StepContext,
): Stepped {
  const { rollout, latest: _latest, ...before } = live;
  const at = new Date(context.nowMs).toISOString();
  const log = closed(rollout.log, context);
  const ended: RolloutView = {
    ...viewOf(name, live, { ...rollout, log }),
    state,
    because: context.because,
    ...(context.by === undefined ? {} : { by: context.by }),
    endedAt: at,
    failures: context.tally.failures.slice(0, KEPT_FAILURES_MAX),
  };
  const { version, hash, secrets } = rollout;
  const completed = { version, hash, at, ...(secrets ? { secrets } : {}) };
  return { live: state === "completed" ? completed : { ...before, at, latest: version }, ended };
}

/** A rollout as it is told, without what only the followers know. */
export function viewOf(name: SetName, live: LiveRecord, rollout: Rollout): RolloutView {
  const { version, state, author, reason, startedAt, stage, plan, log, because, by } = rollout;
  const { namespace, app, profile } = name;
  return {
    namespace,
    app,
    profile,
    version,
    baseVersion: live.version,
    state,
    author,
    reason,
    startedAt,
    stage,
    stages: plan.stages.map(
      (one, index): StageView =>
        ({
          ...one,
          ...(one.instances ? { instances: [...one.instances] } : {}),
          ...log[index],
        }) as StageView,
    ),
    onFailure: plan.onFailure,
    ...(because === undefined ? {} : { because }),
    ...(by === undefined ? {} : { by }),
    failures: [],
  };
}

function bounded(names: readonly string[]): string[] {
  return [...new Set(names)].sort().slice(0, SPARED_MAX);
}

function wrongState({ version, state }: Rollout, what: string) {
  return ConfigErrors.ROLLOUT_STATE(`The rollout of release ${version} is ${state}. ${what}`, { extra: { state } });
}
