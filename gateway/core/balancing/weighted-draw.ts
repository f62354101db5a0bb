/** Random draws of endpoints by weight. A new endpoint is drawn less often at first (slow start). */
import { firstIndexWhere } from "#base";
import type { Endpoint, EndpointSet } from "./endpoints.ts";
import type { PickOptions } from "./policies/policy.ts";

/** The part of its share that a new endpoint starts with. */
const SLOW_START_MIN = 0.1;

/** The part of its share that an endpoint gets now, up to 1: less while it is new, since its caches and code are cold. */
export function readiness({ load }: Endpoint, { slowStartMs = 0, nowMs }: PickOptions): number {
  const age = nowMs - load.sinceMs;
  return age >= slowStartMs ? 1 : Math.max(SLOW_START_MIN, age / slowStartMs);
}

/** The index of an endpoint, drawn by weight. A draw of a new endpoint counts as often as it is ready; else it is drawn again. */
export function drawReady(set: EndpointSet, random: () => number, options: PickOptions): number {
  const index = draw(set, random);
  const ready = readiness(set.endpoints[index] as Endpoint, options);
  return ready >= 1 || random() < ready ? index : drawOther(set, index, random);
}

function draw({ endpoints, ends }: EndpointSet, random: () => number): number {
  if (!ends) return Math.min(endpoints.length - 1, Math.floor(random() * endpoints.length));
  return indexAt(ends, random() * (ends.at(-1) as number));
}

/** The index of an endpoint other than `first`, drawn by weight. */
export function drawOther({ endpoints, ends }: EndpointSet, first: number, random: () => number): number {
  if (!ends) {
    const other = Math.min(endpoints.length - 2, Math.floor(random() * (endpoints.length - 1)));
    return other >= first ? other + 1 : other;
  }
  const start = first === 0 ? 0 : (ends[first - 1] as number);
  const weight = (ends[first] as number) - start;
  const at = random() * ((ends.at(-1) as number) - weight);
  return indexAt(ends, at >= start ? at + weight : at);
}

/** The endpoint whose part of the weights contains `at`; the last one, should a sum be inexact. */
function indexAt(ends: readonly number[], at: number): number {
  return firstIndexWhere(ends.length - 1, (index) => (ends[index] as number) > at);
}
