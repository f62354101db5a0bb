/** The computations of the overview: figures of the services, and the changes that came before a problem. */
import type { ServiceSummary } from "#registry/api";
import type { Change, Problem } from "#timeline/api";

export interface ServiceTotals {
  readonly services: number;
  /** Services with an instance that is critical, or with none that passes. */
  readonly troubled: number;
  readonly instances: number;
  readonly healthy: number;
}

export function totalsOf(services: readonly ServiceSummary[]): ServiceTotals {
  let [troubled, instances, healthy] = [0, 0, 0];
  for (const { instances: all, passing, warning, critical } of services) {
    instances += all;
    healthy += passing + warning;
    if (critical > 0 || (all > 0 && passing + warning === 0)) troubled += 1;
  }
  return { services: services.length, troubled, instances, healthy };
}

/** Milliseconds before a problem in which its cause is looked for: a release takes minutes to show. */
export const CAUSE_MS = 15 * 60_000;
/** A change may be recorded shortly after the problem that it caused was noticed. */
const LATE_MS = 5_000;

/** Kinds of changes that are consequences, so they explain nothing. */
const CONSEQUENCES: ReadonlySet<string> = new Set(["instance-health", "rollout-paused", "rollout-rolled-back"]);

/** Changes shortly before the problem began, the nearest first; those of its own subject come before others. */
export function changesBefore(
  { since, subject }: Problem,
  changes: readonly Change[],
  most: number,
): readonly Change[] {
  if (since === undefined) return [];
  const start = Date.parse(since);
  const isOwn = (change: Change) =>
    change.subject.service !== undefined && change.subject.service === subject.service
      ? true
      : change.subject.app !== undefined &&
        (change.subject.app === subject.app || change.subject.app === subject.service);
  return changes
    .filter(({ at, kind }) => {
      const before = start - Date.parse(at);
      return before <= CAUSE_MS && before >= -LATE_MS && !CONSEQUENCES.has(kind);
    })
    .sort((one, other) => Number(isOwn(other)) - Number(isOwn(one)) || Date.parse(other.at) - Date.parse(one.at))
    .slice(0, most);
}

export interface ProblemGroup {
  readonly problem: Problem;
  /** Problems of single instances that are the same trouble seen from closer. */
  readonly parts: readonly Problem[];
}

const OF_SERVICES: ReadonlySet<string> = new Set(["service-down", "service-panic"]);

/** One entry per trouble: failing instances of a service that is down are parts of that, not further entries. */
export function groupProblems(problems: readonly Problem[]): readonly ProblemGroup[] {
  const keyOf = ({ subject: { namespace, service } }: Problem) => `${namespace}/${service}`;
  const parts = new Map<string, Problem[]>();
  for (const problem of problems) if (OF_SERVICES.has(problem.kind)) parts.set(keyOf(problem), []);
  const groups: ProblemGroup[] = [];
  for (const problem of problems) {
    const own = parts.get(keyOf(problem));
    if (own && problem.subject.instance !== undefined) own.push(problem);
    else groups.push({ problem, parts: own ?? [] });
  }
  return groups;
}

export interface TimelineSpan {
  /** Shares of the width, 0 to 1. */
  readonly left: number;
  readonly width: number;
}

/** The part of a span of time that lies within the axis; undefined: none of it. */
export function spanWithin(
  start: number,
  end: number,
  { from, to }: { readonly from: number; readonly to: number },
): TimelineSpan | undefined {
  const [first, last] = [Math.max(start, from), Math.min(end, to)];
  if (last < first || to <= from) return undefined;
  return { left: (first - from) / (to - from), width: (last - first) / (to - from) };
}
