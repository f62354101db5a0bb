/**
 * What a stage of a rollout waits for, and when it has failed: acknowledgements of all whom it reaches, their health, and
 * time. Pure: (rollout, what was seen so far, what is seen now) → what to do, and why it waits. Times are a monotonic
 * clock's, of the process that looks: a wall clock that jumps neither shortens a hold nor ends a wait, and a restart begins
 * both anew.
 */
import type { Rollout } from "./rollout.ts";

/** Names in one sentence. */
const NAMED_MAX = 5;

/** Somebody whom the stage reaches. */
export interface Reached {
  readonly instance: string;
  /** What it said of the new release; undefined: nothing yet. */
  readonly outcome: "applied" | "failed" | undefined;
  readonly error?: string | undefined;
}

export interface Observed {
  readonly reached: readonly Reached[];
  /** Ids of the registry that are critical now, of instances that the stage reaches. */
  readonly critical: ReadonlySet<string>;
}

/** What one looker remembers of one turn. Milliseconds of its monotonic clock. */
export interface Seen {
  readonly turn: number;
  /** When acknowledgements began to be missing. */
  readonly missingSinceMs: number | undefined;
  /** When all had acknowledged for the first time. */
  readonly acknowledgedSinceMs: number | undefined;
  readonly criticalSinceMs: ReadonlyMap<string, number>;
  /** Whether the stage has ever reached anybody. */
  readonly reachedAny: boolean;
}

export type StageVerdict =
  | { readonly step: "wait"; readonly why: string; readonly untilMs?: number }
  | { readonly step: "next"; readonly because: string }
  | { readonly step: "fail"; readonly because: string };

export function judge(
  rollout: Rollout,
  before: Seen | undefined,
  { reached, critical }: Observed,
  nowMs: number,
): { readonly seen: Seen; readonly verdict: StageVerdict } {
  const { turn, spared, plan } = rollout;
  const stage = plan.stages[rollout.stage];
  const known = before?.turn === turn ? before : undefined;
  const failed = reached.filter(({ outcome, instance }) => outcome === "failed" && !spared.failed.includes(instance));
  const missing = reached.filter(({ outcome }) => outcome === undefined).map(({ instance }) => instance);
  const applied = reached.filter(({ outcome }) => outcome === "applied").length;
  const reachedAny = reached.length > 0 || known?.reachedAny === true;
  // All whom it reached have gone, perhaps because of it, or nobody says who is there: that proves nothing.
  const gone = reachedAny && reached.length === 0;
  const acksMin = stage?.acksMin ?? 0;
  const complete = missing.length === 0 && applied >= acksMin && !gone;
  const ill = [...critical].filter((id) => !spared.critical.includes(id)).sort();
  const seen: Seen = {
    turn,
    missingSinceMs: complete ? undefined : (known?.missingSinceMs ?? nowMs),
    // Who comes later is waited for, and does not have the others hold once more: a fleet that grows would never get on.
    acknowledgedSinceMs: known?.acknowledgedSinceMs ?? (complete ? nowMs : undefined),
    criticalSinceMs: new Map(ill.map((id) => [id, known?.criticalSinceMs.get(id) ?? nowMs])),
    reachedAny,
  };
  const verdict = (): StageVerdict => {
    if (rollout.state === "paused" || !stage) {
      return {
        step: "wait",
        why: `paused${rollout.because ? `: ${rollout.because}` : ""}; resume, promote or abort it`,
      };
    }
    const [first] = failed;
    if (first) {
      const others = failed.length > 1 ? `, and ${failed.length - 1} others` : "";
      return {
        step: "fail",
        because: `${first.instance} could not apply it: ${first.error ?? "no reason given"}${others}`,
      };
    }
    const { unhealthyMax, graceSeconds, service } = plan.health;
    const overdue = ill.filter((id) => nowMs - (seen.criticalSinceMs.get(id) ?? nowMs) >= graceSeconds * 1000);
    if (overdue.length > unhealthyMax) {
      return {
        step: "fail",
        because: `${overdue.length} instances of ${service} turned critical, ${unhealthyMax} may: ${named(overdue)}`,
      };
    }
    if (!complete) {
      const sinceMs = seen.missingSinceMs as number;
      const untilMs = sinceMs + stage.ackTimeoutSeconds * 1000;
      const what =
        missing.length > 0
          ? `${missing.length} of ${reached.length}: ${named(missing)}`
          : gone
            ? "the instances that it reached, which have all gone"
            : `${acksMin} acknowledgements, and ${applied} came`;
      if (nowMs >= untilMs) {
        return { step: "fail", because: `after ${stage.ackTimeoutSeconds} s it still waited for ${what}` };
      }
      return { step: "wait", why: `waiting for ${what}`, untilMs };
    }
    const untilMs = (seen.acknowledgedSinceMs as number) + stage.holdSeconds * 1000;
    // Those that may yet be too many are looked at until their grace is over.
    if (nowMs < untilMs) {
      return {
        step: "wait",
        why: `${applied} applied it; held for another ${Math.ceil((untilMs - nowMs) / 1000)} s`,
        untilMs,
      };
    }
    if (ill.length > unhealthyMax) return { step: "wait", why: `critical, within their grace: ${named(ill)}` };
    return {
      step: "next",
      because: `${applied} of ${reached.length} applied it, and all was well for ${stage.holdSeconds} s`,
    };
  };
  return { seen, verdict: verdict() };
}

function named(names: readonly string[]): string {
  const more = names.length - NAMED_MAX;
  return `${names.slice(0, NAMED_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
