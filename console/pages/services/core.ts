/** The computations of the pages of services: ribbons from transitions, rows of instances, and calls in and out. Pure. */
import type { HealthTransition, Instance, InstanceHistory } from "#registry/api";
import type { TrafficEdge } from "#traffic/api";
import { addLoad, type ServiceLoad } from "../../data/services.ts";

export type RowStatus = "critical" | "warning" | "unknown" | "draining" | "passing" | "absent";

/** In order of trouble, the worst first. */
export const ROW_STATUSES: readonly RowStatus[] = ["critical", "warning", "unknown", "draining", "passing", "absent"];

interface MomentState {
  readonly status: HealthTransition["status"];
  readonly lifecycle?: HealthTransition["lifecycle"] | undefined;
}

/** Draining shows before health: such an instance takes no new requests, whatever its checks say. */
export function rowStatus({ status, lifecycle }: MomentState): RowStatus {
  if (status === "gone") return "absent";
  if (lifecycle === "draining" || lifecycle === "stopped") return "draining";
  return lifecycle === "starting" ? "unknown" : status;
}

export interface StatusSpan {
  readonly status: RowStatus;
  readonly from: number;
  readonly to: number;
}

/** The states between `from` and `to` without gaps; neighbors of the same status are one. */
export function statusSpans(history: InstanceHistory, from: number, to: number): readonly StatusSpan[] {
  const cutAt = history.cutAt === undefined ? from : Date.parse(history.cutAt);
  const states: { at: number; status: RowStatus }[] = [{ at: from, status: rowStatus(history.start) }];
  // The time before the first kept transition is not known.
  if (cutAt > from) states[0] = { at: from, status: "unknown" };
  for (const transition of history.transitions) {
    const at = Math.max(from, Date.parse(transition.at));
    if (at <= to) states.push({ at, status: rowStatus(transition) });
  }
  const spans: StatusSpan[] = [];
  for (const [index, { at, status }] of states.entries()) {
    const end = states[index + 1]?.at ?? to;
    const last = spans.at(-1);
    if (last?.status === status) spans[spans.length - 1] = { ...last, to: end };
    else if (end > at) spans.push({ status, from: at, to: end });
  }
  return spans;
}

export interface InstanceRow {
  readonly id: string;
  readonly status: RowStatus;
  /** Absent: the instance has gone, and only its history is known. */
  readonly instance: Instance | undefined;
  readonly history: InstanceHistory | undefined;
  readonly load: ServiceLoad | undefined;
  /** When the present status began, in milliseconds. */
  readonly since: number | undefined;
}

/** Present instances, and those that have gone within the history, the worst first. */
export function instanceRows(
  instances: readonly Instance[],
  histories: ReadonlyMap<string, InstanceHistory>,
  loads: ReadonlyMap<string, ServiceLoad>,
): readonly InstanceRow[] {
  const present = instances.map((instance): InstanceRow => {
    const history = histories.get(instance.id);
    const { id } = instance;
    return {
      id,
      status: rowStatus(instance),
      instance,
      history,
      load: loads.get(id),
      since: sinceOf(instance, history),
    };
  });
  const known = new Set(instances.map(({ id }) => id));
  const gone = [...histories.values()]
    .filter(({ instance }) => !known.has(instance))
    .map((history): InstanceRow => ({
      id: history.instance,
      status: "absent",
      instance: undefined,
      history,
      load: undefined,
      since: lastAt(history),
    }));
  return [...present, ...gone];
}

function lastAt(history: InstanceHistory | undefined): number | undefined {
  const last = history?.transitions.at(-1);
  return last && Date.parse(last.at);
}

/** By the history, or by the checks where the history does not reach back so far. */
function sinceOf({ checks, status }: Instance, history: InstanceHistory | undefined): number | undefined {
  const known = lastAt(history);
  if (known !== undefined) return known;
  const times = checks.flatMap((check) =>
    check.status === status && check.since !== undefined ? [Date.parse(check.since)] : [],
  );
  return times.length === 0 ? undefined : Math.min(...times);
}

/** The load of each called instance: the sum over its callers; of latencies, the highest. */
export function loadByInstance(edges: readonly TrafficEdge[], service: string): ReadonlyMap<string, ServiceLoad> {
  const loads = new Map<string, ServiceLoad>();
  for (const edge of edges) {
    if (edge.to !== service) continue;
    for (const { instance, now } of edge.instances ?? []) loads.set(instance, addLoad(loads.get(instance), now));
  }
  return loads;
}

/** The problem of a text that should be a JSON object; undefined: it is one. */
export function jsonProblem(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "{ … }";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Whether gateways and clients send requests to the instance, as far as its weight allows. */
export function receivesRequests({ status }: Pick<InstanceRow, "status">): boolean {
  return status === "passing" || status === "warning";
}

/** The weights of all other instances that receive requests. */
export function weightOfOthers(rows: readonly InstanceRow[], id: string): number {
  return rows.reduce(
    (sum, row) => (row.id !== id && receivesRequests(row) ? sum + (row.instance?.weight ?? 0) : sum),
    0,
  );
}

/** The percent of the requests that a weight receives beside the others. */
export function sharePercent(weight: number, others: number): number {
  return weight === 0 ? 0 : (weight / (weight + others)) * 100;
}
