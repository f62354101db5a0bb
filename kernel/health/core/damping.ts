/**
 * Holds a check critical while it flaps. Each turn to critical adds to a penalty, which halves in a fixed time. Above one bound the
 * check is held; below another it is released. Damping never keeps a check passing. Pure: time is an argument. The rule is that of RFC
 * 2439, counted in turns.
 * @see RFC 2439, section 4.8.2 (figure of merit, cutoff, reuse, ceiling)
 */
import { invariant } from "#base";

export interface DampingOptions {
  /** Seconds in which the penalty halves. */
  readonly halfLifeSeconds: number;
  /** Turns: with a penalty above this the check is held critical. */
  readonly suppress: number;
  /** Turns: with a penalty below this the check is released; less than `suppress`. */
  readonly reuse: number;
  /** Longest hold, in seconds after the latest turn. */
  readonly holdSecondsMax: number;
}

export interface Damping {
  /** In turns, as of `atMs`. */
  readonly penalty: number;
  /** Monotonic milliseconds of the latest change. */
  readonly atMs: number;
  /** Whether the check is held critical. */
  readonly held: boolean;
  /** Turns to critical since it was last at rest. */
  readonly turns: number;
}

/** A check below this penalty is at rest, and its earlier turns are forgotten. */
const REST = 0.1;

export function startDamping(nowMs: number): Damping {
  return { penalty: 0, atMs: nowMs, held: false, turns: 0 };
}

/** The damping after a turn to critical. The penalty is capped so that it falls to `reuse` within the longest hold. */
export function addTurn(damping: Damping, nowMs: number, options: DampingOptions): Damping {
  const faded = fade(damping, nowMs, options);
  invariant(faded.penalty >= 0 && faded.turns >= 0, "a penalty and its turns are at least 0");
  const penalty = Math.min(faded.penalty + 1, ceiling(options));
  return { penalty, atMs: nowMs, held: faded.held || penalty > options.suppress, turns: faded.turns + 1 };
}

/** The damping after some time without a turn. */
export function fade(damping: Damping, nowMs: number, options: DampingOptions): Damping {
  const seconds = Math.max(0, nowMs - damping.atMs) / 1000;
  const penalty = damping.penalty * 0.5 ** (seconds / options.halfLifeSeconds);
  const held = damping.held && penalty >= options.reuse;
  const rest = penalty < REST && !held;
  return { penalty: rest ? 0 : penalty, atMs: nowMs, held, turns: rest ? 0 : damping.turns };
}

/** Seconds until a check without further turns is released; 0 when it is not held. */
export function heldForSeconds({ penalty, held }: Damping, { reuse, halfLifeSeconds }: DampingOptions): number {
  invariant(!held || penalty > 0, "a held check has a penalty");
  return held ? Math.max(0, halfLifeSeconds * Math.log2(penalty / reuse)) : 0;
}

function ceiling({ reuse, holdSecondsMax, halfLifeSeconds }: DampingOptions): number {
  return reuse * 2 ** (holdSecondsMax / halfLifeSeconds);
}
