/**
 * One gateway's lease of a limit that gateways share: its state, and the arithmetic on it. leased-limits.ts decides when
 * requests use the lease and when the gateway asks for more.
 */
import { invariant } from "#base";
import type { RatePolicy, RateVerdict } from "./rate-limit.ts";

/** A limit that several gateways share. */
export interface SharedPolicy {
  readonly requests: number;
  /** Milliseconds of a rate, or a calendar period. */
  readonly per: number | "day" | "month";
  readonly burst: number;
}

/** A request to the control plane. */
export interface LeaseAsk {
  readonly key: string;
  readonly requests: number;
  /** Seconds of a rate, or a calendar period. */
  readonly per: number | "day" | "month";
  readonly burst?: number;
  readonly want: number;
  /** How many of `want` are for waiting requests. */
  readonly waiting?: number;
  readonly spent: number;
  /** Milliseconds since the first waiting or spent request. */
  readonly agoMs: number;
}

export interface LeaseGrant {
  readonly key: string;
  readonly granted: number;
  readonly remaining: number;
  readonly resetMs: number;
  readonly validMs: number;
}

/**
 * Milliseconds that a request waits for an answer. A control plane that takes longer counts as unreachable. When an answer
 * that did not cover the request reports that requests remain, it waits once more.
 */
export const LEASE_WAIT_MS = 50;
/** Share of a limit that may be used before the first answer; at least one request. */
export const OPENING_SHARE = 0.05;
/** Most requests before the first answer: those of a busy gateway until the control plane has answered. */
export const OPENING_MAX = 1_000;
/** Least burst of a rate, in milliseconds of it: a lease must last longer than a call takes. */
const BURST_MS_MIN = 2 * LEASE_WAIT_MS;
/** Largest burst, in requests. */
const BURST_MAX = 10_000_000;
/** Milliseconds of use that one request for a lease covers. */
const AHEAD_MS = 2_000;
/** Shortest time, in milliseconds, over which a rate is measured. */
const LEAST_ELAPSED_MS = 50;
const DAY_MS = 86_400_000;
/** Milliseconds between two asks of a used-up rate that frees several requests in that time. */
const ASK_AGAIN_MS = 20;
/** Milliseconds after which a used-up limit is asked for in any case, since the control plane may have lost its count. */
const ASK_ANYWAY_MS = 5_000;
/** Milliseconds from a failed ask to the next. */
const RETRY_MS = 1_000;

export interface Lease {
  policy: SharedPolicy;
  tokens: number;
  /** When the tokens expire. */
  untilMs: number;
  /** Requests without a lease that no answered or pending ask contains. */
  spent: number;
  /** Waiting requests that no ask contains yet, and those that the pending ask contains (`asking`). */
  short: number;
  asking: number;
  /** When the first spent or waiting request arrived. */
  sinceMs: number;
  /** Since when a request waits for the next answer; Infinity: none does. */
  waitingSinceMs: number;
  /** Requests since the last answer. */
  demand: number;
  demandSinceMs: number;
  /** The pending ask, and when it was made. */
  asked: LeaseAsk | undefined;
  askedAtMs: number;
  /** Earliest time of the next ask. */
  nextAskMs: number;
  /** Counts the starts and ends of asks. */
  turn: number;
  /** For a period: what remains for all gateways, by the last answer. For a rate it follows from `resetAtMs`. */
  remaining: number;
  /** When the whole limit is available again, by the last answer. */
  resetAtMs: number;
  /** The last granted rate, in requests per millisecond; undefined: none yet. */
  lastRate: number | undefined;
  /** The control plane does not answer. */
  away: boolean;
}

/** A rate in its shared form. */
export function sharedRate({ requests, perMs, burst }: RatePolicy): SharedPolicy {
  const least = Math.min(BURST_MAX, Math.ceil((requests * BURST_MS_MIN) / perMs));
  return { requests, per: perMs, burst: Math.max(burst, least) };
}

/** The lease of a limit before the first answer. */
export function begin(policy: SharedPolicy, nowMs: number): Lease {
  const first = opening(policy);
  return {
    policy,
    tokens: first,
    untilMs: Infinity,
    spent: first,
    short: 0,
    asking: 0,
    sinceMs: nowMs,
    waitingSinceMs: Infinity,
    demand: 0,
    demandSinceMs: nowMs,
    asked: undefined,
    askedAtMs: nowMs,
    nextAskMs: nowMs,
    turn: 0,
    remaining: policy.burst - first,
    resetAtMs: nowMs + (isRate(policy) ? first * spacingMs(policy) : periodMs(policy)),
    lastRate: undefined,
    away: false,
  };
}

/** The lease has expired. */
export function lapse(lease: Lease, nowMs: number): void {
  const { policy } = lease;
  if (isRate(policy)) {
    // The tokens were counted, so they stay valid until the limit is full again; an opening stays valid longer.
    const good = Math.ceil((lease.resetAtMs - nowMs) / spacingMs(policy));
    lease.tokens = Math.min(lease.tokens, Math.max(opening(policy), good));
    return;
  }
  settle(lease);
  const { tokens, untilMs, spent, sinceMs, remaining, resetAtMs, nextAskMs } = begin(policy, nowMs);
  Object.assign(lease, { tokens, untilMs, spent, sinceMs, remaining, resetAtMs, nextAskMs });
}

/** A release changed the limit. Held tokens and counted use stay; the last answer no longer applies. */
export function amend(lease: Lease, policy: SharedPolicy, nowMs: number): void {
  const { requests, per, burst } = lease.policy;
  lease.policy = policy;
  if (requests === policy.requests && per === policy.per && burst === policy.burst) return;
  settle(lease);
  lease.tokens = Math.min(lease.tokens, policy.burst);
  lease.nextAskMs = nowMs;
  lease.remaining = policy.burst;
  if (isRate(policy)) lease.resetAtMs = nowMs;
  lease.lastRate = undefined;
}

/** The next ask for a lease. */
export function ask(lease: Lease, key: string, nowMs: number): LeaseAsk {
  const { requests, per, burst } = lease.policy;
  const waiting = Math.min(burst, lease.short);
  const want = Math.min(burst, waiting + Math.max(1, ahead(lease, nowMs) - lease.tokens));
  const limit = isRate(lease.policy) ? { per: (per as number) / 1000, burst } : { per };
  const spent = { spent: lease.spent, agoMs: Math.max(0, nowMs - lease.sinceMs) };
  lease.asked = { key, requests, ...limit, want, ...(waiting > 0 ? { waiting } : {}), ...spent };
  lease.askedAtMs = nowMs;
  lease.spent = 0;
  lease.asking = lease.short;
  lease.short = 0;
  lease.sinceMs = Infinity;
  lease.turn += 1;
  return lease.asked;
}

/** The pending ask was answered. */
export function grant(lease: Lease, { granted, remaining, resetMs, validMs }: LeaseGrant, nowMs: number): void {
  const { policy, askedAtMs, demandSinceMs } = lease;
  settle(lease);
  if (granted > 0) {
    // At most the rate of the limit itself.
    const rate = granted / Math.max(LEAST_ELAPSED_MS, nowMs - demandSinceMs);
    lease.lastRate = Math.min(rate, 1 / spacingMs(policy));
  }
  lease.tokens += granted;
  invariant(lease.tokens >= 0, "a lease is not overdrawn");
  lease.untilMs = nowMs + validMs;
  lease.remaining = remaining;
  // For a rate, an early estimate, so that due requests are asked for; for a period a late one, so that it does not end early.
  lease.resetAtMs = (isRate(policy) ? askedAtMs : nowMs) + resetMs;
  lease.demand = 0;
  lease.demandSinceMs = nowMs;
  lease.away = false;
  lease.nextAskMs = remaining > 0 ? nowMs : Math.min(againMs(lease, nowMs), nowMs + ASK_ANYWAY_MS);
}

/** The ask was not answered, so the gateway continues alone. */
export function fail(lease: Lease, nowMs: number): void {
  settle(lease);
  lease.away = true;
  lease.nextAskMs = nowMs + RETRY_MS;
}

/** The pending ask is over. Waiting requests take again. */
function settle(lease: Lease): void {
  lease.asked = undefined;
  lease.short = 0;
  lease.asking = 0;
  lease.waitingSinceMs = Infinity;
  lease.turn += 1;
}

/** Requests without a lease, which the control plane counts later. */
export function spend(lease: Lease, requests: number, sinceMs: number): void {
  if (requests === 0) return;
  lease.spent += requests;
  lease.sinceMs = Math.min(lease.sinceMs, sinceMs);
}

export function allow(lease: Lease, nowMs: number): RateVerdict {
  const resetMs = Math.max(0, lease.resetAtMs - nowMs);
  return { allowed: true, remaining: lease.tokens + left(lease, nowMs), resetMs, retryMs: 0 };
}

/** `place`: the request's place among those that wait for the limit. */
export function deny(lease: Lease, place: number, nowMs: number): RateVerdict {
  const retryMs = Math.max(1, dueMs(lease, place, nowMs) - nowMs);
  return { allowed: false, remaining: 0, resetMs: Math.max(0, lease.resetAtMs - nowMs), retryMs };
}

/** Requests that no gateway holds, by the last answer. */
function left({ policy, remaining, resetAtMs }: Lease, nowMs: number): number {
  if (!isRate(policy)) return remaining;
  const missing = Math.max(0, resetAtMs - nowMs) / spacingMs(policy);
  return Math.max(0, Math.floor(policy.burst - missing + 1e-6));
}

/** When `count` requests are available beyond those that are held, by the last answer. */
export function dueMs({ policy, remaining, resetAtMs }: Lease, count: number, nowMs: number): number {
  if (!isRate(policy)) return count <= remaining ? nowMs : resetAtMs;
  return Math.max(resetAtMs, nowMs) + (count - policy.burst) * spacingMs(policy);
}

/** Admits one request that is due before it is counted, up to as many as an opening has. False: not allowed. */
export function borrow(lease: Lease, nowMs: number): boolean {
  const { policy, spent, asked } = lease;
  if (spent + (asked?.spent ?? 0) >= opening(policy) || dueMs(lease, 1, nowMs) > nowMs) return false;
  spend(lease, 1, nowMs);
  if (isRate(policy)) lease.resetAtMs = Math.max(lease.resetAtMs, nowMs) + spacingMs(policy);
  else lease.remaining -= 1;
  return true;
}

/** When to ask again while nothing is left: when the next request is due, but less often for a fast limit. */
function againMs(lease: Lease, nowMs: number): number {
  const due = dueMs(lease, 1, nowMs);
  return isRate(lease.policy) && spacingMs(lease.policy) < ASK_AGAIN_MS ? Math.max(due, nowMs + ASK_AGAIN_MS) : due;
}

/** How many requests to hold: the use of AHEAD_MS, at most at the rate of the limit. */
function ahead({ policy, demand, demandSinceMs }: Lease, nowMs: number): number {
  // A single request has no rate.
  const used = (demand - 1) / Math.max(LEAST_ELAPSED_MS, nowMs - demandSinceMs);
  const rate = isRate(policy) ? Math.min(used, 1 / spacingMs(policy)) : used;
  return Math.max(opening(policy), Math.ceil(rate * AHEAD_MS));
}

/** The rate that a gateway uses while it is alone. Undefined: by the last answer the period is used up. */
export function alonePolicy({ policy, lastRate, remaining }: Lease): RatePolicy | undefined {
  const { requests } = policy;
  const burst = isRate(policy) ? policy.burst : Math.min(policy.burst, remaining);
  if (burst < 1) return undefined;
  if (lastRate !== undefined && lastRate > 0) {
    const atOnce = Math.max(1, Math.min(burst, Math.floor(lastRate * AHEAD_MS)));
    return { requests: 1, perMs: 1 / lastRate, burst: atOnce };
  }
  return { requests, perMs: periodMs(policy), burst };
}

function opening({ requests, burst }: SharedPolicy): number {
  return Math.max(1, Math.min(OPENING_MAX, Math.floor(Math.min(requests, burst) * OPENING_SHARE)));
}

function isRate({ per }: SharedPolicy): boolean {
  return typeof per === "number";
}

function spacingMs(policy: SharedPolicy): number {
  return periodMs(policy) / policy.requests;
}

function periodMs({ per }: SharedPolicy): number {
  return typeof per === "number" ? per : per === "day" ? DAY_MS : 30 * DAY_MS;
}
