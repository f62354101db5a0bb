/**
 * Power of two choices: draws two endpoints by weight and takes the one that is expected to finish sooner. It is close
 * to the best of all endpoints without looking at all of them, and does not send every request to the endpoint that
 * just became idle.
 * @see Mitzenmacher, The Power of Two Choices in Randomized Load Balancing
 */
import { latencyAt } from "../endpoint-load.ts";
import type { Endpoint } from "../endpoints.ts";
import { drawOther, drawReady, readiness } from "../weighted-draw.ts";
import type { BalancingPolicy } from "./policy.ts";

/** Latencies with a ratio above this count as equal; otherwise the endpoint that is barely faster would get everything. */
const SAME_LATENCY = 0.8;

export const p2c: BalancingPolicy = {
  pick(set, random, options) {
    const { endpoints } = set;
    const first = drawReady(set, random, options);
    const a = endpoints[first] as Endpoint;
    const b = endpoints[drawOther(set, first, random)] as Endpoint;
    // A new endpoint gets only the requests that are drawn for it, and no extra ones for being idle.
    if (readiness(b, options) < 1) return a;
    return isBetter(b, a, options.nowMs) ? b : a;
  },
};

/** Whether `b` is expected to finish clearly sooner. A tie goes to the first draw, so weights share an idle cluster. */
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
