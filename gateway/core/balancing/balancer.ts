/**
 * Which endpoint gets a request. By default the power of two choices: draw two by weight, take the one that would be
 * done sooner. Close to the best of all without looking at all, and without a herd towards whoever just became idle.
 * @see Mitzenmacher, The Power of Two Choices in Randomized Load Balancing
 */
import type { Balance } from "../../api.ts";
import { isSilent, latencyAt } from "./endpoint-load.ts";
import type { Endpoint, EndpointSet } from "./endpoints.ts";
import { hashOf } from "./maglev.ts";
import { weigh } from "./endpoints.ts";

export interface PickOptions {
  /** Requests in flight from which an endpoint counts as full. */
  readonly inFlightMax: number;
  readonly nowMs: number;
  /** Tried already. */
  readonly excluded?: readonly Endpoint[];
  /** Absent: `p2c`. */
  readonly balance?: Balance;
  /** Whose requests should meet the same endpoint, for `maglev`. */
  readonly hashKey?: string | undefined;
  /** Milliseconds over which a newcomer gets up to its share; absent: none. */
  readonly slowStartMs?: number;
  /** Of the endpoints in the set: with fewer left than that, the ejected ones are used, too. Absent: never. */
  readonly panicPercent?: number;
}

/** Latencies closer than that are the same; else whoever is a hair faster would get everything. */
const SAME_LATENCY = 0.8;
/** Share of its share that a newcomer begins with. */
const SLOW_START_LEAST = 0.1;

/**
 * An endpoint with room, not among those tried; undefined when there is none. Refusers and ejected ones come last, those
 * that let connections hang not at all.
 */
export function pick(set: EndpointSet, random: () => number, options: PickOptions): Endpoint | undefined {
  const excluded = options.excluded ?? [];
  const from = excluded.length > 0 ? weigh(without(set.endpoints, excluded)) : set;
  const near = from.near && random() < from.near.share ? from.near : undefined;
  const chosen = choose(near ?? from, random, options);
  if (!chosen) return undefined;
  const { inFlightMax, nowMs } = options;
  if (isWilling(chosen, options)) return chosen;
  // The chosen may be full, refusing or ejected while another has room. Only then is it worth looking at all.
  const roomy = from.endpoints.filter(({ load }) => load.inFlight < inFlightMax && !isSilent(load));
  const willing = roomy.filter((endpoint) => isWilling(endpoint, options));
  if (panics(set, options)) {
    const trusted = roomy.filter(({ load }) => load.avoidUntilMs <= nowMs);
    return choose(weigh(trusted.length > 0 ? trusted : roomy), random, options);
  }
  return choose(weigh(willing.length > 0 ? willing : roomy), random, options);
}

/** Whether nobody there takes connections, as far as this gateway has seen. */
export function isDead({ endpoints }: EndpointSet, nowMs: number): boolean {
  return endpoints.length > 0 && endpoints.every(({ load }) => load.avoidUntilMs > nowMs);
}

export function isEjected({ load }: Pick<Endpoint, "load">, nowMs: number): boolean {
  return load.ejectedUntilMs > nowMs;
}

function isWilling(endpoint: Endpoint, { inFlightMax, nowMs }: PickOptions): boolean {
  const { load } = endpoint;
  return load.inFlight < inFlightMax && load.avoidUntilMs <= nowMs && load.ejectedUntilMs <= nowMs;
}

/** Whether so many are ejected that the rest could not bear it. */
function panics({ endpoints }: EndpointSet, { panicPercent = 0, nowMs }: PickOptions): boolean {
  const left = endpoints.reduce((count, endpoint) => count + (isEjected(endpoint, nowMs) ? 0 : 1), 0);
  return left * 100 < endpoints.length * panicPercent;
}

function choose(set: EndpointSet, random: () => number, options: PickOptions): Endpoint | undefined {
  const { endpoints } = set;
  if (endpoints.length < 2) return endpoints[0];
  const { balance } = options;
  if (balance === "round-robin") return nextInTurn(endpoints, options);
  if (balance === "least-requests") return leastLoaded(endpoints, random);
  if (balance === "random") return endpoints[drawReady(set, random, options)];
  return (balance === "maglev" ? hashed(set, options) : undefined) ?? pickTwo(set, random, options);
}

function pickTwo(set: EndpointSet, random: () => number, options: PickOptions): Endpoint {
  const { endpoints } = set;
  const first = drawReady(set, random, options);
  const a = endpoints[first] as Endpoint;
  const b = endpoints[drawOther(set, first, random)] as Endpoint;
  // A newcomer is sent what is drawn for it, and no more for being idle.
  if (readiness(b, options) < 1) return a;
  return isBetter(b, a, options.nowMs) ? b : a;
}

/** Whether `b` would be done clearly sooner. On a tie the first draw stands: an idle cluster is shared by weight. */
function isBetter(b: Endpoint, a: Endpoint, nowMs: number): boolean {
  const heavier = Math.max(a.weight, b.weight);
  const queueA = (a.load.inFlight * heavier) / a.weight;
  const queueB = (b.load.inFlight * heavier) / b.weight;
  const latencyA = latencyAt(a.load, nowMs);
  const latencyB = latencyAt(b.load, nowMs);
  if (latencyA === 0 || latencyB === 0) return queueB < queueA;
  const ratio = latencyB / latencyA;
  if (ratio > SAME_LATENCY && ratio < 1 / SAME_LATENCY) return queueB < queueA;
  return latencyB * (queueB + 1) < latencyA * (queueA + 1);
}

/** How much of its share an endpoint gets now: less for one that just came, whose caches and code are cold. */
export function readiness({ load }: Endpoint, { slowStartMs = 0, nowMs }: PickOptions): number {
  const age = nowMs - load.sinceMs;
  return age >= slowStartMs ? 1 : Math.max(SLOW_START_LEAST, age / slowStartMs);
}

/** Draws by weight; a newcomer's draw counts as often as it is ready, else it is drawn once more. */
function drawReady(set: EndpointSet, random: () => number, options: PickOptions): number {
  const index = draw(set, random);
  const ready = readiness(set.endpoints[index] as Endpoint, options);
  return ready >= 1 || random() < ready ? index : drawOther(set, index, random);
}

/** Smooth weighted round robin: the heavy ones' turns lie apart. @see nginx, ngx_http_upstream_get_peer */
function nextInTurn(endpoints: readonly Endpoint[], options: PickOptions): Endpoint | undefined {
  let sum = 0;
  let best: Endpoint | undefined;
  for (const endpoint of endpoints) {
    if (!isWilling(endpoint, options)) continue;
    const weight = endpoint.weight * readiness(endpoint, options);
    sum += weight;
    endpoint.load.turn += weight;
    if (!best || endpoint.load.turn > best.load.turn) best = endpoint;
  }
  if (best) best.load.turn -= sum;
  return best ?? endpoints[0];
}

function leastLoaded(endpoints: readonly Endpoint[], random: () => number): Endpoint | undefined {
  // From a random place, so that a tie does not always fall to the same one.
  const start = Math.floor(random() * endpoints.length);
  let best: Endpoint | undefined;
  for (let i = 0; i < endpoints.length; i++) {
    const endpoint = endpoints[(start + i) % endpoints.length] as Endpoint;
    if (!best || endpoint.load.inFlight * best.weight < best.load.inFlight * endpoint.weight) best = endpoint;
  }
  return best;
}

/** The key's place in the table, and the places after it while those there will not have it. */
function hashed(set: EndpointSet, options: PickOptions): Endpoint | undefined {
  const table = set.table?.();
  if (!table || table.length === 0 || options.hashKey === undefined) return undefined;
  for (let attempt = 0; attempt < set.endpoints.length; attempt++) {
    const endpoint = set.endpoints[table[hashOf(options.hashKey, attempt) % table.length] as number];
    if (endpoint && isWilling(endpoint, options)) return endpoint;
  }
  return undefined;
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
