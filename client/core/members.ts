/**
 * How a client judges the members of the control plane: facts and the time go in, a standing comes out. A member is *good* by
 * default; *stale* when it answers with old data; *silent* when it does not answer. A member that is not good is probed until it is
 * good again.
 */
import { invariant } from "#base";

/** Milliseconds without a byte that a member owes, after which it is probed: its watches send a heartbeat every 1.5 s. */
export const QUIET_MS = 2_000;
/** Milliseconds that a probe may take. Together with QUIET_MS it leaves two of five seconds to reach another member. */
export const PROBE_MS = 1_000;
/** Milliseconds between two probes of a member that is not good. */
export const PROBE_EVERY_MS = 2_000;
/** Milliseconds of age of a member's data above which another member is better. */
export const DATA_AGE_MS_MAX = 3_000;

/** From the best to the worst. */
const STANDINGS = ["good", "stale", "silent"] as const;
export type Standing = (typeof STANDINGS)[number];

export interface MemberRecord {
  readonly standing: Standing;
  /** When the last byte came from it. */
  readonly heardMs: number;
  /** When it was last probed. */
  readonly probedMs: number;
}

export type MemberFact =
  /** It sent something. */
  | { readonly type: "heard" }
  /** It stated the age of its data, or answered a probe without stating it. */
  | { readonly type: "age"; readonly ageMs: number | undefined }
  /** It refused a connection, broke one off, or did not answer a probe. */
  | { readonly type: "unanswered" };

export const UNKNOWN_MEMBER: MemberRecord = { standing: "good", heardMs: -Infinity, probedMs: -Infinity };

export function judge(record: MemberRecord, fact: MemberFact, nowMs: number): MemberRecord {
  invariant(nowMs >= record.heardMs, "facts about a member arrive in the order of time");
  if (fact.type === "unanswered") return { ...record, standing: "silent" };
  if (fact.type === "heard") return { ...record, heardMs: nowMs };
  const isOld = fact.ageMs !== undefined && fact.ageMs > DATA_AGE_MS_MAX;
  return { ...record, heardMs: nowMs, standing: isOld ? "stale" : "good" };
}

/** The members in the order to try them: the best first, and the preferred one first among equals. */
export function order(records: readonly MemberRecord[], preferred: number): number[] {
  invariant(records.length === 0 || (preferred >= 0 && preferred < records.length), "the preferred member exists");
  const turn = (index: number) => (index - preferred + records.length) % records.length;
  const rank = (index: number) => rankOf(records[index]);
  return records.map((_, index) => index).sort((a, b) => rank(a) - rank(b) || turn(a) - turn(b));
}

/** Whether another member is better than this one. Without a better one it is not worth leaving. */
export function hasBetter(records: readonly MemberRecord[], index: number): boolean {
  const rank = rankOf(records[index]);
  return records.some((record) => rankOf(record) < rank);
}

function rankOf(record: MemberRecord | undefined): number {
  return STANDINGS.indexOf(record?.standing ?? "silent");
}

/** Whether a member should be probed now. `owesSinceMs`: since when it owes an answer or a heartbeat; absent: it does not owe one. */
export function isProbeDue(record: MemberRecord, owesSinceMs: number | undefined, nowMs: number): boolean {
  if (nowMs - record.probedMs < PROBE_EVERY_MS) return false;
  if (record.standing !== "good") return true;
  return owesSinceMs !== undefined && nowMs - Math.max(record.heardMs, owesSinceMs) >= QUIET_MS;
}
