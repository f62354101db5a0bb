/**
 * A check with every default filled in: what to probe, how often, and how to judge the results. Plain data, so that two definitions
 * are the same check when they are equal.
 */
import type { DampingOptions } from "./core/damping.ts";
import type { Thresholds } from "./core/state.ts";
import type { Target } from "./probes/kinds.ts";

export interface ProbeDefinition extends Thresholds {
  readonly target: Target;
  readonly intervalMs: number;
  /** From the first packet to the last byte read. */
  readonly timeoutMs: number;
  /** Before the first probe of a check without a verdict. */
  readonly initialDelayMs: number;
  /** A successful probe that took longer is a warning. */
  readonly warnAfterMs: number | undefined;
  /** Absent: not damped. */
  readonly damping: DampingOptions | undefined;
}

/** When a contract has a check probed and how it judges the results, in the contract's units. */
export interface StatedJudging extends Thresholds {
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly initialDelaySeconds: number;
  readonly warnAfterMs?: number;
  readonly damping: DampingOptions | false;
}

/** A check as a contract states it. */
export type StatedCheck = Target & StatedJudging & { readonly id: string; readonly deregisterAfterSeconds?: number };

/** The definition that a runner makes of a stated check. */
export function definitionOf(check: StatedCheck): ProbeDefinition {
  const { id: _id, deregisterAfterSeconds: _after, ...stated } = check;
  const { intervalSeconds, timeoutSeconds, initialDelaySeconds, rise, fall, warnAfterMs, damping, ...target } = stated;
  return {
    target,
    intervalMs: intervalSeconds * 1000,
    timeoutMs: timeoutSeconds * 1000,
    initialDelayMs: initialDelaySeconds * 1000,
    warnAfterMs,
    rise,
    fall,
    damping: damping === false ? undefined : damping,
  };
}
