/**
 * Endpoints that answer badly are sent nothing for a while: after errors in a row, or when they succeed far less often
 * than their like. An opinion of this gateway alone, bounded, so that it never takes a cluster away by itself.
 * @see Envoy, Outlier detection, for both rules and their numbers
 */
import type { EndpointLoad } from "./endpoint-load.ts";
import type { EndpointSet } from "./endpoints.ts";
import type { OutlierPolicy } from "./cluster.ts";

/** An ejection is never longer, however often there was one. */
export const EJECTION_MS_MAX = 300_000;
/** Milliseconds over which success rates are counted. */
export const SUCCESS_RATE_MS = 10_000;
/** Endpoints with enough answers, below which "far less than the others" means nothing. */
const SUCCESS_RATE_HOSTS_MIN = 5;
/** Answers of an endpoint in that time, below which its rate means nothing. */
export const SUCCESS_RATE_ANSWERS_MIN = 100;
/** Standard deviations below the mean that make an outlier. */
const DEVIATIONS = 1.9;

/** Statuses by which a proxy or a service says that nobody served the request. */
function isGatewayError(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/**
 * Notes how a try ended: its status, or 0 when there was no answer for which the endpoint is to blame. Says whether that
 * ejected anybody.
 */
export function noteOutcome(
  load: EndpointLoad,
  status: number,
  { set, policy, nowMs }: { set: EndpointSet; policy: OutlierPolicy; nowMs: number },
): boolean {
  const failed = status === 0 || status >= 500;
  load.answers += 1;
  if (!failed) load.successes += 1;
  let ejected = false;
  if (status === 0 || isGatewayError(status)) {
    load.errors += 1;
    if (policy.consecutiveErrors > 0 && load.errors >= policy.consecutiveErrors)
      ejected = eject(load, set, policy, nowMs);
  } else {
    load.errors = 0;
    payOff(load, policy, nowMs);
  }
  if (policy.successRate && nowMs - load.cluster.comparedMs >= SUCCESS_RATE_MS) {
    ejected = compare(set, policy, nowMs) || ejected;
    load.cluster.comparedMs = nowMs;
  }
  return ejected;
}

/**
 * Notes what another worker found. The bound holds here, too: two that eject different halves in one moment, before
 * either has heard of the other, each go on with what they have.
 */
export function hearEjection(
  load: EndpointLoad,
  { ejections, untilMs }: { readonly ejections: number; readonly untilMs: number },
  { set, policy, nowMs }: { set: EndpointSet; policy: OutlierPolicy; nowMs: number },
): void {
  if (load.ejectedUntilMs <= nowMs && !hasRoom(set, policy, nowMs)) return;
  load.ejections = Math.max(load.ejections, ejections);
  load.ejectedUntilMs = Math.max(load.ejectedUntilMs, untilMs);
  load.errors = 0;
}

/** Whether one more may be ejected. */
function hasRoom({ endpoints }: EndpointSet, policy: OutlierPolicy, nowMs: number): boolean {
  const ejected = endpoints.filter((one) => one.load.ejectedUntilMs > nowMs).length;
  return ejected < Math.max(1, Math.floor((endpoints.length * policy.ejectedPercentMax) / 100));
}

function eject(load: EndpointLoad, set: EndpointSet, policy: OutlierPolicy, nowMs: number): boolean {
  if (load.ejectedUntilMs > nowMs || !hasRoom(set, policy, nowMs)) return false;
  load.ejections += 1;
  load.errors = 0;
  load.ejectedUntilMs = nowMs + Math.min(EJECTION_MS_MAX, policy.ejectionMs * load.ejections);
  return true;
}

/** One ejection is forgotten for each time of it spent well. */
function payOff(load: EndpointLoad, { ejectionMs }: OutlierPolicy, nowMs: number): void {
  if (load.ejections === 0 || nowMs - load.ejectedUntilMs < ejectionMs) return;
  load.ejections -= 1;
  load.ejectedUntilMs += ejectionMs;
}

function compare(set: EndpointSet, policy: OutlierPolicy, nowMs: number): boolean {
  const counted = set.endpoints.filter(({ load }) => load.answers >= SUCCESS_RATE_ANSWERS_MIN);
  let ejected = false;
  if (counted.length >= SUCCESS_RATE_HOSTS_MIN) {
    const rates = counted.map(({ load }) => load.successes / load.answers);
    const mean = rates.reduce((a, b) => a + b, 0) / rates.length;
    const deviation = Math.sqrt(rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length);
    const least = mean - DEVIATIONS * deviation;
    for (const [index, { load }] of counted.entries()) {
      if ((rates[index] as number) < least) ejected = eject(load, set, policy, nowMs) || ejected;
    }
  }
  for (const { load } of set.endpoints) load.answers = load.successes = 0;
  return ejected;
}
