/**
 * What one gateway holds of a limit that it shares with others, and what it knows of the rest: the state, and the
 * arithmetic upon it. Who takes of it and who asks for more is in leased-limits.ts.
 */
import type { RatePolicy, RateVerdict } from "./rate-limit.ts";

/** A limit that is shared. */
export interface SharedPolicy {
  readonly requests: number;
  /** Milliseconds of a rate, or a calendar period. */
  readonly per: number | "day" | "month";
  readonly burst: number;
}

/** What the control plane is asked. */
export interface LeaseAsk {
  readonly key: string;
  readonly requests: number;
  /** Seconds of a rate, or a calendar period. */
  readonly per: number | "day" | "month";
  readonly burst?: number;
  readonly want: number;
  /** Of these, for requests that wait. */
  readonly waiting?: number;
  readonly spent: number;
  /** Since the first of what waits or is spent. */
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
 * Milliseconds that a request waits for an answer; a control plane that takes longer counts as away. An answer that
 * there is enough, given before it was asked for this request, is waited for once more.
 */
export const LEASE_WAIT_MS = 50;
/** Share of a limit that may be used before the first answer, one request at least. */
export const OPENING_SHARE = 0.05;
/** And not more than that: a fast gateway's requests until the control plane has answered. */
export const OPENING_MAX = 1_000;
/** Milliseconds of a rate that its burst is at least: what is held must last for longer than a call takes. */
const BURST_MS_MIN = 2 * LEASE_WAIT_MS;
/** Requests; no larger burst is asked about. */
const BURST_MAX = 10_000_000;
/** Milliseconds of use that one ask covers. */
const AHEAD_MS = 2_000;
/** Milliseconds below which a count of requests says nothing of their rate. */
const LEAST_ELAPSED_MS = 50;
const DAY_MS = 86_400_000;
/** Milliseconds from an answer that nothing is left to the next ask, where several requests are due by then. */
const ASK_AGAIN_MS = 20;
/** Milliseconds after which it is asked for in any case: whoever counts may have lost his count. */
const ASK_ANYWAY_MS = 5_000;
/** Milliseconds after an ask that failed. */
const RETRY_MS = 1_000;

export interface Lease {
  policy: SharedPolicy;
  tokens: number;
  /** All tokens are good until then. */
  untilMs: number;
  /** Used without a lease, and in no ask yet that was answered or may be. */
  spent: number;
  /** Requests that wait and are in no ask yet; and those that wait and are in the one under way. */
  short: number;
  asking: number;
  /** When the first of those came that are spent, or short. */
  sinceMs: number;
  /** Since when somebody waits for the next answer; Infinity: nobody does. */
  waitingSinceMs: number;
  /** Requests since the last answer. */
  demand: number;
  demandSinceMs: number;
  /** The ask under way, and when it began. */
  asked: LeaseAsk | undefined;
  askedAtMs: number;
  /** Earliest moment of the next ask. */
  nextAskMs: number;
  /** Counts asks and ends of asks. */
  turn: number;
  /** Of a period: left for everybody, by the last answer. A rate's is reckoned from the next. */
  remaining: number;
  /** When all of it is there again, by the last answer. */
  resetAtMs: number;
  /** Granted last, per millisecond; undefined: never. */
  lastRate: number | undefined;
  away: boolean;
}

/** A rate as it is shared. */
export function sharedRate({ requests, perMs, burst }: RatePolicy): SharedPolicy {
  const least = Math.min(BURST_MAX, Math.ceil((requests * BURST_MS_MIN) / perMs));
  return { requests, per: perMs, burst: Math.max(burst, least) };
}

/** Of a limit of which nobody has told yet. */
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

/** Its time is over. */
export function lapse(lease: Lease, nowMs: number): void {
  const { policy } = lease;
  if (isRate(policy)) {
    // It was counted, so it is as good as what others find until the limit is whole again, and an opening longer.
    const good = Math.ceil((lease.resetAtMs - nowMs) / spacingMs(policy));
    lease.tokens = Math.min(lease.tokens, Math.max(opening(policy), good));
    return;
  }
  settle(lease);
  const { tokens, untilMs, spent, sinceMs, remaining, resetAtMs, nextAskMs } = begin(policy, nowMs);
  Object.assign(lease, { tokens, untilMs, spent, sinceMs, remaining, resetAtMs, nextAskMs });
}

/** Another release may have changed the limit: what is held and used stays, what was said of it no longer counts. */
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

/** What is asked for it now. */
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

/** The ask under way was answered. */
export function grant(lease: Lease, { granted, remaining, resetMs, validMs }: LeaseGrant, nowMs: number): void {
  const { policy, askedAtMs, demandSinceMs } = lease;
  settle(lease);
  if (granted > 0) {
    // Not more than the limit itself.
    const rate = granted / Math.max(LEAST_ELAPSED_MS, nowMs - demandSinceMs);
    lease.lastRate = Math.min(rate, 1 / spacingMs(policy));
  }
  lease.tokens += granted;
  lease.untilMs = nowMs + validMs;
  lease.remaining = remaining;
  // Of a rate not too late, so that what is due is asked for; of a period not too soon, for the next is not this one's.
  lease.resetAtMs = (isRate(policy) ? askedAtMs : nowMs) + resetMs;
  lease.demand = 0;
  lease.demandSinceMs = nowMs;
  lease.away = false;
  lease.nextAskMs = remaining > 0 ? nowMs : Math.min(againMs(lease, nowMs), nowMs + ASK_ANYWAY_MS);
}

/** It was not answered: whoever holds the limit goes on alone. */
export function fail(lease: Lease, nowMs: number): void {
  settle(lease);
  lease.away = true;
  lease.nextAskMs = nowMs + RETRY_MS;
}

/** Nothing is under way any more, and whoever waited comes again. */
function settle(lease: Lease): void {
  lease.asked = undefined;
  lease.short = 0;
  lease.asking = 0;
  lease.waitingSinceMs = Infinity;
  lease.turn += 1;
}

/** Used without a lease, to be counted later. */
export function spend(lease: Lease, requests: number, sinceMs: number): void {
  if (requests === 0) return;
  lease.spent += requests;
  lease.sinceMs = Math.min(lease.sinceMs, sinceMs);
}

export function allow(lease: Lease, nowMs: number): RateVerdict {
  const resetMs = Math.max(0, lease.resetAtMs - nowMs);
  return { allowed: true, remaining: lease.tokens + left(lease, nowMs), resetMs, retryMs: 0 };
}

/** `place`: how many would have to be there for this one to be among them. */
export function deny(lease: Lease, place: number, nowMs: number): RateVerdict {
  const retryMs = Math.max(1, dueMs(lease, place, nowMs) - nowMs);
  return { allowed: false, remaining: 0, resetMs: Math.max(0, lease.resetAtMs - nowMs), retryMs };
}

/** What nobody holds, as far as the last answer tells. */
function left({ policy, remaining, resetAtMs }: Lease, nowMs: number): number {
  if (!isRate(policy)) return remaining;
  const missing = Math.max(0, resetAtMs - nowMs) / spacingMs(policy);
  return Math.max(0, Math.floor(policy.burst - missing + 1e-6));
}

/** When so many requests are there beyond those that are held, as far as the last answer tells. */
export function dueMs({ policy, remaining, resetAtMs }: Lease, count: number, nowMs: number): number {
  if (!isRate(policy)) return count <= remaining ? nowMs : resetAtMs;
  return Math.max(resetAtMs, nowMs) + (count - policy.burst) * spacingMs(policy);
}

/** One request goes on what is due, uncounted yet; as many as an opening has may be so. False: it must not. */
export function borrow(lease: Lease, nowMs: number): boolean {
  const { policy, spent, asked } = lease;
  if (spent + (asked?.spent ?? 0) >= opening(policy) || dueMs(lease, 1, nowMs) > nowMs) return false;
  spend(lease, 1, nowMs);
  if (isRate(policy)) lease.resetAtMs = Math.max(lease.resetAtMs, nowMs) + spacingMs(policy);
  else lease.remaining -= 1;
  return true;
}

/** When it is worth asking again while nothing is left: for each request that is due, but not for each of a fast limit. */
function againMs(lease: Lease, nowMs: number): number {
  const due = dueMs(lease, 1, nowMs);
  return isRate(lease.policy) && spacingMs(lease.policy) < ASK_AGAIN_MS ? Math.max(due, nowMs + ASK_AGAIN_MS) : due;
}

/** How much should be held: what is used in AHEAD_MS, as far as the limit is not used up faster than it comes back. */
function ahead({ policy, demand, demandSinceMs }: Lease, nowMs: number): number {
  // One request is no rate.
  const used = (demand - 1) / Math.max(LEAST_ELAPSED_MS, nowMs - demandSinceMs);
  const rate = isRate(policy) ? Math.min(used, 1 / spacingMs(policy)) : used;
  return Math.max(opening(policy), Math.ceil(rate * AHEAD_MS));
}

/** The share that a gateway goes on with while it is alone. Undefined: the last answer said that the period is used up. */
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
