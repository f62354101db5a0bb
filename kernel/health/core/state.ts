/**
 * Judges one health check: failed probes in a row make it critical, successful ones make it passing. Pure: time is an argument, so a
 * test of one day of flapping takes a millisecond.
 *
 * Thresholds apply to changes only: from `unknown`, the first result decides, so a new instance receives traffic after one successful
 * probe, whatever its `rise`.
 */
import { invariant } from "#base";

/** `unknown`: not judged yet. `warning`: alive and in rotation, but asking for less load or for attention. */
export type HealthStatus = "passing" | "warning" | "critical" | "unknown";
/** The result of one probe or one report. */
export type HealthResult = Exclude<HealthStatus, "unknown">;

export interface Thresholds {
  /** Results in a row that are better than the status before the status gets better; 1 or more. */
  readonly rise: number;
  /** Results in a row that are worse than the status before the status gets worse; 1 or more. */
  readonly fall: number;
}

/** How many of the latest results in a row were … */
interface Runs {
  readonly passing: number;
  /** … passing or warning. */
  readonly alive: number;
  /** … warning or critical. */
  readonly troubled: number;
  readonly critical: number;
}

export interface Health {
  readonly status: HealthStatus;
  /** When it took this status, in milliseconds since 1970. */
  readonly sinceMs: number;
  readonly runs: Runs;
}

const NO_RUNS: Runs = { passing: 0, alive: 0, troubled: 0, critical: 0 };

/** Health before the first result. After a restart, pass the status from before, so that it does not flap. */
export function startHealth(nowMs: number, status: HealthStatus = "unknown"): Health {
  return { status, sinceMs: nowMs, runs: NO_RUNS };
}

/**
 * Health after one more result. `fall` results in a row worse than the status make it worse, but never worse than the
 * mildest of them; `rise` results in a row better than the status make it better, never better than the worst of them.
 */
export function observe(health: Health, result: HealthResult, nowMs: number, thresholds: Thresholds): Health {
  const runs: Runs = {
    passing: result === "passing" ? health.runs.passing + 1 : 0,
    alive: result === "critical" ? 0 : health.runs.alive + 1,
    troubled: result === "passing" ? 0 : health.runs.troubled + 1,
    critical: result === "critical" ? health.runs.critical + 1 : 0,
  };
  invariant(
    runs.passing <= runs.alive && runs.critical <= runs.troubled,
    "a run of one result is part of the wider run",
  );
  const status = health.status === "unknown" ? result : next(health.status, runs, thresholds);
  return { status, sinceMs: status === health.status ? health.sinceMs : nowMs, runs };
}

function next(status: HealthResult, runs: Runs, { rise, fall }: Thresholds): HealthResult {
  if (runs.critical >= fall) return "critical";
  if (status === "passing") return runs.troubled >= fall ? "warning" : "passing";
  if (runs.passing >= rise) return "passing";
  return status === "critical" && runs.alive < rise ? "critical" : "warning";
}

/** Whether a check, or an instance, with this status can answer requests: passing or warning. */
export function isAlive(status: HealthStatus): boolean {
  return status === "passing" || status === "warning";
}

/** Whether an instance accepts new requests by its own declaration, whatever its health. */
export function isServing({ lifecycle }: { readonly lifecycle: string }): boolean {
  return lifecycle === "serving";
}

/** Whether clients should send an instance new requests: it is serving and alive. */
export function isHealthy(instance: { readonly status: HealthStatus; readonly lifecycle: string }): boolean {
  return isServing(instance) && isAlive(instance.status);
}

const FROM_BEST_TO_WORST: readonly HealthStatus[] = ["passing", "warning", "unknown", "critical"];

/**
 * The status of an instance: the worst of its checks. `unknown` is worse than `warning`, because a check that never passed confirms
 * nothing. An instance without checks is passing.
 */
export function worstOf(statuses: Iterable<HealthStatus>): HealthStatus {
  let worst = 0;
  for (const status of statuses) worst = Math.max(worst, FROM_BEST_TO_WORST.indexOf(status));
  return FROM_BEST_TO_WORST[worst] as HealthStatus;
}

/** The status of a service for which one instance is enough: the best of its instances; without instances, critical. */
export function bestOf(statuses: Iterable<HealthStatus>): HealthStatus {
  let best = FROM_BEST_TO_WORST.length - 1;
  for (const status of statuses) best = Math.min(best, FROM_BEST_TO_WORST.indexOf(status));
  return FROM_BEST_TO_WORST[best] as HealthStatus;
}
