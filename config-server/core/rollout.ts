/**
 * A rollout: its plan and its steps. The live pointer of the set holds all of its state, so each step is one revision, in
 * order with releases. Pure: a command and the present state become the next state or an error.
 */
import { invariant } from "#base";
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
 * Names of instances that do not count because they were critical before: the record of a rollout stays small. Instances
 * beyond the limit count as if they had been healthy, which errs toward a rollback.
 */
export const SPARED_MAX = 1000;

export interface Stage extends Selector {
  readonly holdSeconds: number;
  readonly ackTimeoutSeconds: number;
  readonly acksMin: number;
}

export interface RolloutPlan {
  /** The last stage selects every instance. */
  readonly stages: readonly Stage[];
  readonly health: { readonly service: string; readonly unhealthyMax: number; readonly graceSeconds: number };
  readonly onFailure: "rollback" | "pause";
}

export interface Rollout {
  readonly version: number;
  readonly hash: string;
  /** As in the pointer, once the release is live. */
  readonly secrets?: true;
  readonly author: string;
  readonly reason: string;
  readonly startedAt: string;
  readonly state: "running" | "paused";
  readonly stage: number;
  /** Grows with each step. A decision applies only to the turn that it was made for. */
  readonly turn: number;
  readonly plan: RolloutPlan;
  /** One entry per started stage. */
  readonly log: readonly StageLog[];
  /** Instances that were critical before this stage, and those whose failure an operator accepted. */
  readonly spared: { readonly critical: readonly string[]; readonly failed: readonly string[] };
  /** The reason of a pause. */
  readonly because?: string;
  readonly by?: string;
}

interface StageLog {
  readonly beganAt: string;
  readonly endedAt?: string;
  readonly reached?: number;
  readonly applied?: number;
}

/** The live pointer of a set. */
export interface LiveRecord {
  readonly version: number;
  readonly hash: string;
  /** The release has secrets, which the next release may refer to implicitly. */
  readonly secrets?: true;
  /** When it became live. Absent in records of earlier versions. */
  readonly at?: string;
  /** The highest release number, when it is not the live one: numbers are never reused. */
  readonly latest?: number;
  readonly rollout?: Rollout;
}

/** How many instances a stage reached, how many applied the release, and the failures. */
export interface Tally {
  readonly reached: number;
  readonly applied: number;
  readonly failures: readonly Failure[];
}

/** A plan with all defaults filled in. @throws CONFIG_ROLLOUT_INVALID */
export function planned(
  { stages, everybody = {}, health = {}, onFailure = "rollback" }: RolloutRequest,
  app: string,
): RolloutPlan {
  const named = stages.reduce((sum, { instances = [] }) => sum + instances.length, 0);
  if (named > STAGE_INSTANCES_MAX) {
    throw ConfigErrors.ROLLOUT_INVALID(
      `The stages name ${named} instances; at most ${STAGE_INSTANCES_MAX} in total are allowed. Select by a label or a percentage.`,
      { extra: { field: "/rollout/stages" } },
    );
  }
  let share = 0;
  const filled = stages.map((stage, index): Stage => {
    const { labels, instances, percent, ...gate } = stage;
    if ([labels, instances, percent].filter((one) => one !== undefined).length !== 1) {
      throw invalid(index, "", "must have exactly one of labels, instances and percent");
    }
    if (labels && Object.keys(labels).length === 0) throw invalid(index, "/labels", "has no label to select by");
    if (percent !== undefined && percent < share) {
      throw invalid(
        index,
        "/percent",
        `has ${percent} %, but an earlier stage has ${share} %. Percentages must not decrease`,
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

/** The first stage that selects an instance; the last selects every instance. */
export function stageOf(
  { plan: { stages }, version }: Pick<Rollout, "plan" | "version">,
  { name, who, hash }: { name: SetName; who: Identity; hash: (text: string) => string },
): number {
  let known: number | undefined;
  const place = () => (known ??= sharePlaceOf(`${setId(name)}@${version}`, who.instance ?? "", hash));
  return stages.findIndex((stage) => selects(stage, who, place));
}

/** The circumstances of a step: its author, reason and time, and the state of the stage. */
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
 * The pointer after one step. The driver takes `next` and `fail`; an operator takes the others.
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
      if (rollout.state === "paused") throw wrongState(rollout, "It is already paused.");
      return going(live, paused(rollout, context));
    case "resume":
      if (rollout.state === "running") throw wrongState(rollout, "Only a paused rollout can be resumed.");
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

/** An operator that resumes has seen the problems and accepts them. */
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
  invariant(rollout.stage + 1 < rollout.plan.stages.length, "only a stage with a next one is advanced");
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
  invariant(applied >= 0 && applied <= reached, "a stage has at most as many acknowledgements as reached instances");
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

/** The view of a rollout, without the state of its instances. */
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
