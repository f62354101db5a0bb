/** The numbers of one report, one point of a series or one edge: counts and latency buckets, which can be added. Pure. */
import { TRAFFIC_BUCKETS_MS, type TrafficCounts, type TrafficRate } from "../api.ts";

const BUCKETS = TRAFFIC_BUCKETS_MS.length + 1;
/** Positions of a tally. The buckets follow. */
const REQUESTS = 0;
const CLIENT_ERRORS = 1;
const ERRORS = 2;
const REFUSED = 3;
const LATENCY_MS = 4;
const FIRST_BUCKET = 5;
/** Numbers of one tally. */
export const TALLY_WIDTH = FIRST_BUCKET + BUCKETS;

/** Whole numbers in a fixed order, so that series are arrays and adding is a loop. */
export type Tally = readonly number[] | Uint32Array;

export function tallyOf(counts: TrafficCounts): number[] {
  const { requests = 0, clientErrors = 0, errors = 0, refused = 0, latencyMs = 0, buckets = [] } = counts;
  const tally = [requests, clientErrors, errors, refused, Math.round(latencyMs)];
  for (let bucket = 0; bucket < BUCKETS; bucket++) tally.push(buckets[bucket] ?? 0);
  return tally;
}

export function emptyTally(): number[] {
  return Array.from({ length: TALLY_WIDTH }, () => 0);
}

export function addTally(to: number[], from: Tally): void {
  for (let index = 0; index < TALLY_WIDTH; index++) to[index] = (to[index] ?? 0) + (from[index] ?? 0);
}

export function requestsOf(tally: Tally): number {
  return tally[REQUESTS] ?? 0;
}

/** Rates per second over a time, and latencies. */
export function rateOf(tally: Tally, seconds: number): Omit<TrafficRate, "inFlight"> {
  const per = (index: number) => rounded((tally[index] ?? 0) / seconds);
  const requests = requestsOf(tally);
  return {
    rps: per(REQUESTS),
    errors: per(ERRORS),
    clientErrors: per(CLIENT_ERRORS),
    refused: per(REFUSED),
    mean: requests === 0 ? null : rounded((tally[LATENCY_MS] ?? 0) / requests),
    p50: quantileOf(tally, 0.5),
    p99: quantileOf(tally, 0.99),
  };
}

/**
 * The latency in milliseconds that a share of the requests does not exceed, interpolated within its bucket; null without
 * requests. Above the last bound it is that bound, because nothing more is known.
 */
export function quantileOf(tally: Tally, share: number): number | null {
  let total = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) total += tally[FIRST_BUCKET + bucket] ?? 0;
  if (total === 0) return null;
  const wanted = share * total;
  let below = 0;
  for (let bucket = 0; bucket < TRAFFIC_BUCKETS_MS.length; bucket++) {
    const here = tally[FIRST_BUCKET + bucket] ?? 0;
    if (here > 0 && below + here >= wanted) {
      const low = TRAFFIC_BUCKETS_MS[bucket - 1] ?? 0;
      const high = TRAFFIC_BUCKETS_MS[bucket] as number;
      return rounded(low + ((high - low) * (wanted - below)) / here);
    }
    below += here;
  }
  return TRAFFIC_BUCKETS_MS.at(-1) as number;
}

/** Four significant digits: more would be noise, and fewer decimals would hide one request in an hour. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
