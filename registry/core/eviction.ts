/**
 * Plans one sweep of evictions: which of the instances that were critical for too long are deregistered, and which brake
 * keeps the others. Each brake is per service or bounded in time and states its reason, so that no brake stays on
 * unnoticed. Pure.
 */
import { invariant } from "#base";

/** Milliseconds between two sweeps. */
export const SWEEP_MS = 10_000;
/** Percent of a service's instances that one sweep removes at most; one instance may always be removed. */
const EVICT_PERCENT_MAX = 10;
/** A sweep that is late by more than this share of its interval evicts nothing: the member was not observing meanwhile. */
const LATE_SHARE_MAX = 0.5;
/** Earlier sweeps that a jump is measured against: five minutes. */
export const JUMP_SWEEPS = 30;
/** A jump is a rise by at least this percentage of all instances … */
const JUMP_PERCENT = 20;
/** … and by at least this many instances: in a small fleet, one instance is a large percentage. */
const JUMP_INSTANCES = 10;

export interface Fleet {
  readonly instances: number;
  readonly critical: number;
}

export interface DueInstances {
  /** `namespace/service`. */
  readonly service: string;
  /** Instances of the service, whatever their health. */
  readonly size: number;
  /** Instances that were critical for too long, the longest first. */
  readonly ids: readonly string[];
}

export interface Sweep {
  /** Milliseconds by which the sweep is late. */
  readonly lateMs: number;
  /** The fleet at earlier sweeps, the latest last. Only the last JUMP_SWEEPS count. */
  readonly before: readonly Fleet[];
  readonly now: Fleet;
  readonly due: readonly DueInstances[];
}

export type Brake = "paused" | "jump" | "pace";

export interface Eviction {
  readonly evict: readonly { readonly service: string; readonly id: string }[];
  /** Why instances were kept, for people; undefined: none was kept. */
  readonly brake: { readonly kind: Brake; readonly reason: string; readonly kept: number } | undefined;
}

export function planEvictions({ lateMs, before, now, due }: Sweep): Eviction {
  const all = due.reduce((sum, { ids }) => sum + ids.length, 0);
  const none = (kind: Brake, reason: string): Eviction => ({ evict: [], brake: { kind, reason, kept: all } });
  if (all === 0) return { evict: [], brake: undefined };
  if (lateMs > SWEEP_MS * LATE_SHARE_MAX) {
    return none(
      "paused",
      `this process was paused for ${Math.round(lateMs)} ms, so its last observations may be out of date`,
    );
  }
  const jump = jumpOf(before.slice(-JUMP_SWEEPS), now);
  if (jump !== undefined) return none("jump", jump);
  const evict: { service: string; id: string }[] = [];
  for (const { service, size, ids } of due) {
    const most = Math.max(1, Math.floor((size * EVICT_PERCENT_MAX) / 100));
    evict.push(...ids.slice(0, most).map((id) => ({ service, id })));
  }
  const kept = all - evict.length;
  invariant(kept >= 0, "a sweep evicts only instances that are due");
  const reason = `one sweep removes at most ${EVICT_PERCENT_MAX} % of a service, or one instance`;
  return { evict, brake: kept > 0 ? { kind: "pace", reason, kept } : undefined };
}

/** Many instances turning critical together point at the network, or at this member, rather than at the instances. */
function jumpOf(before: readonly Fleet[], now: Fleet): string | undefined {
  const calm = before.reduce<Fleet | undefined>(
    (least, fleet) => (least === undefined || fleet.critical < least.critical ? fleet : least),
    undefined,
  );
  if (!calm || now.instances === 0) return undefined;
  const rise = now.critical - calm.critical;
  const percent = (rise / now.instances) * 100;
  if (rise < JUMP_INSTANCES || percent < JUMP_PERCENT) return undefined;
  return `${now.critical} of ${now.instances} instances are critical, ${rise} more than a few minutes ago`;
}
