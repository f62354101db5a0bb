/**
 * The power of two choices: draw two endpoints by weight, take the one with less in flight for its weight. Close to
 * the least loaded of all, without looking at all, and without a herd towards whoever just became idle.
 * @see Mitzenmacher, The Power of Two Choices in Randomized Load Balancing
 */
import type { Endpoint, EndpointSet } from "./endpoints.ts";

export interface PickOptions {
  /** Requests in flight from which an endpoint counts as full. */
  readonly inFlightMax: number;
  readonly nowMs: number;
  /** Tried already. */
  readonly excluded?: readonly Endpoint[];
}

/** An endpoint with room, not among those tried; undefined when there is none. Refusers come last. */
export function pick(set: EndpointSet, random: () => number, options: PickOptions): Endpoint | undefined {
  const excluded = options.excluded ?? [];
  const from = excluded.length > 0 ? weigh(without(set.endpoints, excluded)) : set;
  const chosen = pickTwo(from, random);
  if (!chosen) return undefined;
  const { inFlightMax, nowMs } = options;
  if (chosen.load.inFlight < inFlightMax && chosen.load.avoidUntilMs <= nowMs) return chosen;
  // Both may be full, or refusing, while a third has room. Only then is it worth looking at all.
  const roomy = from.endpoints.filter((endpoint) => endpoint.load.inFlight < inFlightMax);
  const willing = roomy.filter((endpoint) => endpoint.load.avoidUntilMs <= nowMs);
  return pickTwo(weigh(willing.length > 0 ? willing : roomy), random);
}

function pickTwo(set: EndpointSet, random: () => number): Endpoint | undefined {
  const { endpoints } = set;
  if (endpoints.length < 2) return endpoints[0];
  const first = draw(set, random);
  const a = endpoints[first] as Endpoint;
  const b = endpoints[drawOther(set, first, random)] as Endpoint;
  // On a tie the first draw stands, so that an idle cluster is shared exactly by weight.
  return b.load.inFlight / b.weight < a.load.inFlight / a.weight ? b : a;
}

/** The index of one endpoint, drawn by weight. */
function draw({ endpoints, ends }: EndpointSet, random: () => number): number {
  if (!ends) return Math.min(endpoints.length - 1, Math.floor(random() * endpoints.length));
  return indexAt(ends, random() * (ends.at(-1) as number));
}

/** The index of another one, drawn by weight from the rest. */
function drawOther({ endpoints, ends }: EndpointSet, first: number, random: () => number): number {
  if (!ends) {
    const other = Math.min(endpoints.length - 2, Math.floor(random() * (endpoints.length - 1)));
    return other >= first ? other + 1 : other;
  }
  const start = first === 0 ? 0 : (ends[first - 1] as number);
  const weight = (ends[first] as number) - start;
  const at = random() * ((ends.at(-1) as number) - weight);
  return indexAt(ends, at >= start ? at + weight : at);
}

function indexAt(ends: readonly number[], at: number): number {
  let low = 0;
  let high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] as number) > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

function without(endpoints: readonly Endpoint[], excluded: readonly Endpoint[]): Endpoint[] {
  return endpoints.filter((endpoint) => !excluded.some((other) => other.key === endpoint.key));
}

/** Adds the running sums of the weights, unless all weigh the same. */
export function weigh(endpoints: readonly Endpoint[]): EndpointSet {
  const first = endpoints[0]?.weight;
  if (endpoints.every((endpoint) => endpoint.weight === first)) return { endpoints };
  let sum = 0;
  return { endpoints, ends: endpoints.map((endpoint) => (sum += endpoint.weight)) };
}
