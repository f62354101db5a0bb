/**
 * Outlier detection: an endpoint receives no requests for a while after consecutive errors, or when it succeeds far less
 * often than the others. Each gateway judges for itself, and ejects only a limited part of a cluster.
 * @see Envoy, Outlier detection, for both rules and their numbers
 */
import { invariant } from "#base";
import type { EndpointLoad } from "./endpoint-load.ts";
import type { EndpointSet } from "./endpoints.ts";
import type { OutlierPolicy } from "./cluster.ts";

/** The longest ejection, in milliseconds, however often the endpoint was ejected. */
export const EJECTION_MS_MAX = 300_000;
/** Milliseconds over which success rates are counted. */
export const SUCCESS_RATE_MS = 10_000;
/** With fewer endpoints that have enough answers, success rates are not compared. */
const SUCCESS_RATE_HOSTS_MIN = 5;
/** With fewer answers in that time, an endpoint's success rate does not count. */
export const SUCCESS_RATE_ANSWERS_MIN = 100;
/** An endpoint is an outlier when its rate is this many standard deviations below the mean. */
const DEVIATIONS = 1.9;

/** Statuses that say that the request was not served. */
function isGatewayError(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/**
 * Notes how an attempt ended: its status, or 0 when the endpoint is to blame for the lack of an answer. Returns whether
 * an endpoint was ejected.
 */
export function noteOutcome(
  load: EndpointLoad,
  status: number,
  { set, policy, nowMs }: { set: EndpointSet; policy: OutlierPolicy; nowMs: number },
): boolean {
  const failed = status === 0 || status >= 500;
  load.answers += 1;
  if (!failed) load.successes += 1;
  invariant(load.successes <= load.answers, "an endpoint has at most as many successes as answers");
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
 * Notes an ejection by another worker. The limit applies here, too: when two workers eject different halves at the same
 * time, each of them keeps the half that it still uses.
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

/** Whether one more endpoint may be ejected. */
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

/** One ejection is forgotten for each `ejectionMs` of good behavior. */
function payOff(load: EndpointLoad, { ejectionMs }: OutlierPolicy, nowMs: number): void {
  if (load.ejections === 0 || nowMs - load.ejectedUntilMs < ejectionMs) return;
  load.ejections -= 1;
  invariant(load.ejections >= 0, "the ejections of an endpoint are not below 0");
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
