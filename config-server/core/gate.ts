/**
 * The gate of a rollout's stage: what the stage waits for, and when it has failed, by acknowledgements of all reached
 * instances, their health, and time. Pure: (rollout, earlier observations, present observations) → the next step, and why it
 * waits. Times are of a monotonic clock of the observing process: a jump of the wall clock neither shortens a hold nor ends a
 * wait, and both start over after a restart.
 */
import { invariant } from "#base";
import type { Rollout, Stage } from "./rollout.ts";

/** Names in one sentence. */
const NAMED_MAX = 5;

/** An instance that the stage reaches. */
export interface Reached {
  readonly instance: string;
  /** Its acknowledgement of the new release; undefined: none yet. */
  readonly outcome: "applied" | "failed" | undefined;
  readonly error?: string | undefined;
}

export interface Observed {
  readonly reached: readonly Reached[];
  /** Registry ids of reached instances that are critical now. */
  readonly critical: ReadonlySet<string>;
}

/** The memory of one observer for one turn. Milliseconds of its monotonic clock. */
export interface Seen {
  readonly turn: number;
  /** Start of the time without all acknowledgements. */
  readonly missingSinceMs: number | undefined;
  /** The first time that every reached instance had acknowledged. */
  readonly acknowledgedSinceMs: number | undefined;
  readonly criticalSinceMs: ReadonlyMap<string, number>;
  /** Whether the stage has ever reached an instance. */
  readonly reachedAny: boolean;
}

export type StageVerdict =
  | { readonly step: "wait"; readonly why: string; readonly untilMs?: number }
  | { readonly step: "next"; readonly because: string }
  | { readonly step: "fail"; readonly because: string };

/** The observations of one look at a stage, sorted. */
interface StageFacts {
  readonly reached: readonly Reached[];
  /** Failures that did not exist when an operator resumed the rollout. */
  readonly failed: readonly Reached[];
  readonly missing: readonly string[];
  readonly applied: number;
  /** Critical instances that were not critical before the stage. */
  readonly unhealthy: readonly string[];
  /** Every reached instance is gone, perhaps because of the release. That proves nothing. */
  readonly gone: boolean;
  /** Every required acknowledgement is there. */
  readonly complete: boolean;
  readonly seen: Seen;
}

export function judge(
  rollout: Rollout,
  before: Seen | undefined,
  observed: Observed,
  nowMs: number,
): { readonly seen: Seen; readonly verdict: StageVerdict } {
  const facts = factsOf(rollout, before, observed, nowMs);
  const verdict =
    pauseVerdict(rollout) ??
    failureVerdict(facts) ??
    healthVerdict(rollout, facts, nowMs) ??
    acknowledgementVerdict(rollout, facts, nowMs) ??
    holdVerdict(rollout, facts, nowMs);
  return { seen: facts.seen, verdict };
}

function factsOf(
  { turn, spared, plan, stage }: Rollout,
  before: Seen | undefined,
  { reached, critical }: Observed,
  nowMs: number,
): StageFacts {
  const known = before?.turn === turn ? before : undefined;
  const missing = reached.filter(({ outcome }) => outcome === undefined).map(({ instance }) => instance);
  const applied = reached.filter(({ outcome }) => outcome === "applied").length;
  invariant((known?.missingSinceMs ?? nowMs) <= nowMs, "a stage never waits from a time in the future");
  const reachedAny = reached.length > 0 || known?.reachedAny === true;
  const gone = reachedAny && reached.length === 0;
  const complete = missing.length === 0 && applied >= (plan.stages[stage]?.acksMin ?? 0) && !gone;
  const unhealthy = [...critical].filter((id) => !spared.critical.includes(id)).sort();
  return {
    reached,
    failed: reached.filter(({ outcome, instance }) => outcome === "failed" && !spared.failed.includes(instance)),
    missing,
    applied,
    unhealthy,
    gone,
    complete,
    seen: {
      turn,
      missingSinceMs: complete ? undefined : (known?.missingSinceMs ?? nowMs),
      // A later instance is waited for, but does not restart the hold: a growing fleet would never get to the next stage.
      acknowledgedSinceMs: known?.acknowledgedSinceMs ?? (complete ? nowMs : undefined),
      criticalSinceMs: new Map(unhealthy.map((id) => [id, known?.criticalSinceMs.get(id) ?? nowMs])),
      reachedAny,
    },
  };
}

function pauseVerdict({ state, stage, plan, because }: Rollout): StageVerdict | undefined {
  if (state !== "paused" && plan.stages[stage]) return undefined;
  return { step: "wait", why: `paused${because ? `: ${because}` : ""}; resume, promote or abort it` };
}

function failureVerdict({ failed }: StageFacts): StageVerdict | undefined {
  const [first] = failed;
  if (!first) return undefined;
  const others = failed.length > 1 ? `, and ${failed.length - 1} others` : "";
  return {
    step: "fail",
    because: `${first.instance} could not apply it: ${first.error ?? "no reason given"}${others}`,
  };
}

function healthVerdict({ plan }: Rollout, { unhealthy, seen }: StageFacts, nowMs: number): StageVerdict | undefined {
  const { unhealthyMax, graceSeconds, service } = plan.health;
  const overdue = unhealthy.filter((id) => nowMs - (seen.criticalSinceMs.get(id) ?? nowMs) >= graceSeconds * 1000);
  if (overdue.length <= unhealthyMax) return undefined;
  return {
    step: "fail",
    because: `${overdue.length} instances of ${service} turned critical (at most ${unhealthyMax} may): ${named(overdue)}`,
  };
}

function acknowledgementVerdict(rollout: Rollout, facts: StageFacts, nowMs: number): StageVerdict | undefined {
  if (facts.complete) return undefined;
  const { reached, missing, applied, gone, seen } = facts;
  const { ackTimeoutSeconds, acksMin } = stageOfRollout(rollout);
  const untilMs = (seen.missingSinceMs as number) + ackTimeoutSeconds * 1000;
  const what =
    missing.length > 0
      ? `${missing.length} of ${reached.length}: ${named(missing)}`
      : gone
        ? "the instances that it reached, which have all gone"
        : `${acksMin} acknowledgements (${applied} so far)`;
  if (nowMs >= untilMs) return { step: "fail", because: `after ${ackTimeoutSeconds} s it still waited for ${what}` };
  return { step: "wait", why: `waiting for ${what}`, untilMs };
}

function holdVerdict(rollout: Rollout, { reached, applied, unhealthy, seen }: StageFacts, nowMs: number): StageVerdict {
  const { holdSeconds } = stageOfRollout(rollout);
  const untilMs = (seen.acknowledgedSinceMs as number) + holdSeconds * 1000;
  if (nowMs < untilMs) {
    const why = `${applied} applied it; held for another ${Math.ceil((untilMs - nowMs) / 1000)} s`;
    return { step: "wait", why, untilMs };
  }
  // Instances within their grace may still become too many, so the stage waits for the end of it.
  if (unhealthy.length > rollout.plan.health.unhealthyMax) {
    return { step: "wait", why: `critical, within their grace: ${named(unhealthy)}` };
  }
  return { step: "next", because: `${applied} of ${reached.length} applied it, and all was well for ${holdSeconds} s` };
}

function stageOfRollout({ plan, stage }: Rollout): Stage {
  return plan.stages[stage] as Stage;
}

function named(names: readonly string[]): string {
  const more = names.length - NAMED_MAX;
  return `${names.slice(0, NAMED_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
