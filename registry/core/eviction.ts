/**
 * Which instances are deregistered in one sweep of those that were critical for too long, and what holds a sweep back.
 * Each brake is per service or bounded in time, and says why, so that none is on for ever without anybody knowing. Pure.
 */
import { RegistryErrors } from "../api.ts";
import { deregisterInstance, notFound, type Deregister, type Known, type Plan } from "./commands.ts";
import { decodeJson } from "#base";
import { instanceKey, verdictKey } from "./keys.ts";
import type { InstanceRecord, VerdictRecord } from "./record.ts";

/** Milliseconds between two sweeps. */
export const SWEEP_MS = 10_000;
/** Percent of a service's instances that one sweep removes at most; one instance always may go. */
const EVICT_PERCENT_MAX = 10;
/** A sweep that comes later than planned by more than this share of its interval evicts nothing: we were not looking. */
const LATE_SHARE_MAX = 0.5;
/** Sweeps over which a jump is looked for: five minutes. */
export const JUMP_SWEEPS = 30;
/** A jump is a rise by so many percent of all instances … */
const JUMP_PERCENT = 20;
/** … and by so many instances: in a small fleet each one is many percent. */
const JUMP_INSTANCES = 10;

export interface Fleet {
  readonly instances: number;
  readonly critical: number;
}

export interface Due {
  /** `namespace/service`. */
  readonly service: string;
  /** Instances of the service, whatever their health. */
  readonly size: number;
  /** Those critical for too long, the longest first. */
  readonly ids: readonly string[];
}

export interface Sweep {
  /** Milliseconds by which it came later than planned. */
  readonly lateMs: number;
  /** The fleet at earlier sweeps, the latest last; at most JUMP_SWEEPS count. */
  readonly before: readonly Fleet[];
  readonly now: Fleet;
  readonly due: readonly Due[];
}

export type Brake = "paused" | "jump" | "pace";

export interface Eviction {
  readonly evict: readonly { readonly service: string; readonly id: string }[];
  /** What kept others from going, in words; undefined: nothing did. */
  readonly brake: { readonly kind: Brake; readonly reason: string; readonly kept: number } | undefined;
}

export function planEvictions({ lateMs, before, now, due }: Sweep): Eviction {
  const all = due.reduce((sum, { ids }) => sum + ids.length, 0);
  const none = (kind: Brake, reason: string): Eviction => ({ evict: [], brake: { kind, reason, kept: all } });
  if (all === 0) return { evict: [], brake: undefined };
  if (lateMs > SWEEP_MS * LATE_SHARE_MAX) {
    return none("paused", `this process was paused for ${Math.round(lateMs)} ms, so what it saw last may be old`);
  }
  const jump = jumpOf(before.slice(-JUMP_SWEEPS), now);
  if (jump !== undefined) return none("jump", jump);
  const evict: { service: string; id: string }[] = [];
  for (const { service, size, ids } of due) {
    const most = Math.max(1, Math.floor((size * EVICT_PERCENT_MAX) / 100));
    evict.push(...ids.slice(0, most).map((id) => ({ service, id })));
  }
  const kept = all - evict.length;
  const reason = `at most ${EVICT_PERCENT_MAX} % of a service, or one instance, go in one sweep`;
  return { evict, brake: kept > 0 ? { kind: "pace", reason, kept } : undefined };
}

/** Many instances that turn critical together say more about the network, or about us, than about themselves. */
function jumpOf(before: readonly Fleet[], now: Fleet): string | undefined {
  const calm = before.reduce<Fleet | undefined>(
    (least, fleet) => (least === undefined || fleet.critical < least.critical ? fleet : least),
    undefined,
  );
  if (!calm || now.instances === 0) return undefined;
  const rise = now.critical - calm.critical;
  const percent = (rise / now.instances) * 100;
  if (rise < JUMP_INSTANCES || percent < JUMP_PERCENT) return undefined;
  return `${now.critical} of ${now.instances} instances are critical, ${rise} more than in the last minutes`;
}

export interface Evict extends Deregister {
  readonly check: string;
}

/**
 * Deregisters an instance if the check is critical still, so that a verdict that came meanwhile wins.
 * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND, REGISTRY_REVISION_MISMATCH
 */
export function evictInstance(known: Known, { check, ...deregister }: Evict): Plan<boolean> {
  const { name } = deregister;
  const entry = known.get(instanceKey(name));
  if (!entry) throw notFound(name);
  const stored = decodeJson<InstanceRecord>(entry.value).checks.find(({ id }) => id === check);
  if (!stored) throw RegistryErrors.CHECK_NOT_FOUND(`Instance "${name.id}" has no check "${check}" any more.`);
  const verdict = known.get(verdictKey(name, check));
  const status = verdict
    ? decodeJson<VerdictRecord>(verdict.value).status
    : stored.type === "ttl"
      ? "critical"
      : "unknown";
  if (status !== "critical") return { writes: [], result: false };
  const { writes } = deregisterInstance(known, deregister);
  return { writes, result: true };
}
