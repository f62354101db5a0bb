/**
 * Limits that several gateways share, without asking anybody in a request's path: a gateway holds a lease of a few
 * requests of each limit, uses it up, and has asked for the next by then. Pure: time comes in, and `asks` and `granted`
 * are the two ends of a call that the shell makes.
 *
 * The error, for each limit and gateway: before the first lease, OPENING_SHARE of the limit may be used, OPENING_MAX
 * requests at most, and is counted afterwards; and what one gateway holds unused, others miss, for as long as a lease is
 * valid. While the control plane is away, each goes on with the rate that it had last, or with the whole limit if it
 * never had any.
 */
import { RateLimiter, type RatePolicy, type RateVerdict } from "./rate-limit.ts";

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
  readonly spent: number;
}

export interface LeaseGrant {
  readonly key: string;
  readonly granted: number;
  readonly remaining: number;
  readonly resetMs: number;
  readonly validMs: number;
}

/** Share of a limit that may be used before the first answer, one request at least. */
export const OPENING_SHARE = 0.05;
/** And not more than that: a fast gateway's requests until the control plane has answered. */
export const OPENING_MAX = 1_000;
/** Milliseconds of use that one ask covers. */
const AHEAD_MS = 2_000;
/** A lease is renewed when so much of it is left. */
const RENEW_SHARE = 0.5;
/** Milliseconds below which a count of requests says nothing of their rate. */
const LEAST_ELAPSED_MS = 50;
const DAY_MS = 86_400_000;
/** Milliseconds after a refusal for want of a lease before it is worth asking again. */
const ASK_AGAIN_MS = 250;
/** Limits remembered; beyond, the longest unseen are forgotten, and what they hold lapses. */
export const SHARED_KEYS_MAX = 20_000;

interface Held {
  policy: SharedPolicy;
  tokens: number;
  untilMs: number;
  /** Used without a lease, and in no ask yet that was answered or may be. */
  spent: number;
  /** Asked for in vain since the last ask, or used: how much is wanted. */
  demand: number;
  demandSinceMs: number;
  /** The ask under way. */
  asked: LeaseAsk | undefined;
  /** Earliest moment of the next ask. */
  nextAskMs: number;
  remaining: number;
  resetAtMs: number;
  /** Granted last, per millisecond; undefined: never. */
  lastRate: number | undefined;
  away: boolean;
}

export class LeasedLimits {
  readonly #held = new Map<string, Held>();
  readonly #wanting = new Set<string>();
  readonly #alone = new RateLimiter();
  readonly #onWant: () => void;

  /** `onWant`: there is something to ask for. */
  constructor(onWant: () => void) {
    this.#onWant = onWant;
  }

  take(key: string, policy: SharedPolicy, nowMs: number): RateVerdict {
    const held = this.#of(key, policy, nowMs);
    held.demand += 1;
    if (held.away) return this.#takeAlone(key, held, nowMs);
    if (held.untilMs <= nowMs) held.tokens = 0;
    const allowed = held.tokens >= 1;
    if (allowed) held.tokens -= 1;
    const remaining = held.tokens + held.remaining;
    if (held.tokens < 1 || held.tokens < RENEW_SHARE * held.demand) this.#want(key, held, nowMs);
    const resetMs = Math.max(0, held.resetAtMs - nowMs);
    return allowed
      ? { allowed, remaining, resetMs, retryMs: 0 }
      : { allowed, remaining: 0, resetMs, retryMs: retryMs(held.policy, resetMs) };
  }

  /** What to ask for now, at most so much; each counts as asked until `granted` or `failed`. */
  asks(most: number, nowMs: number): LeaseAsk[] {
    const asks: LeaseAsk[] = [];
    for (const key of this.#wanting) {
      if (asks.length >= most) break;
      const held = this.#held.get(key);
      this.#wanting.delete(key);
      if (!held || held.asked) continue;
      const { requests, per, burst } = held.policy;
      const elapsed = Math.max(LEAST_ELAPSED_MS, nowMs - held.demandSinceMs);
      const want = Math.min(burst, Math.max(opening(held.policy), Math.ceil((held.demand * AHEAD_MS) / elapsed)));
      const asked = typeof per === "number" ? { per: per / 1000, burst } : { per };
      held.asked = { key, requests, ...asked, want, spent: held.spent };
      held.spent = 0;
      asks.push(held.asked);
    }
    return asks;
  }

  granted(asks: readonly LeaseAsk[], grants: readonly LeaseGrant[], nowMs: number): void {
    const byKey = new Map(grants.map((grant) => [grant.key, grant]));
    for (const ask of asks) {
      const held = this.#held.get(ask.key);
      const grant = byKey.get(ask.key);
      // A limit that was forgotten or changed meanwhile asks anew.
      if (held?.asked !== ask || !grant) continue;
      if (grant.granted > 0) held.lastRate = rateOf(held, grant.granted, nowMs);
      if (held.untilMs <= nowMs) held.tokens = 0;
      held.tokens += grant.granted;
      held.untilMs = nowMs + grant.validMs;
      held.remaining = grant.remaining;
      held.resetAtMs = nowMs + grant.resetMs;
      held.demand = 0;
      held.demandSinceMs = nowMs;
      held.asked = undefined;
      held.away = false;
      held.nextAskMs = grant.granted > 0 ? nowMs : nowMs + ASK_AGAIN_MS;
    }
  }

  /** The control plane did not answer: the last share goes on. */
  failed(asks: readonly LeaseAsk[], nowMs: number): void {
    for (const ask of asks) {
      const held = this.#held.get(ask.key);
      if (!held) continue;
      held.spent += ask.spent;
      if (held.asked !== ask) continue;
      held.asked = undefined;
      held.away = true;
      held.nextAskMs = nowMs + ASK_AGAIN_MS * 4;
    }
  }

  #of(key: string, policy: SharedPolicy, nowMs: number): Held {
    let held = this.#held.get(key);
    if (held) {
      this.#held.delete(key);
      if (held.policy !== policy) amend(held, policy, nowMs);
    } else {
      const first = opening(policy);
      held = {
        policy,
        tokens: first,
        untilMs: Infinity,
        spent: first,
        demand: 0,
        demandSinceMs: nowMs,
        asked: undefined,
        nextAskMs: -Infinity,
        remaining: policy.requests - first,
        resetAtMs: nowMs,
        lastRate: undefined,
        away: false,
      };
    }
    this.#held.set(key, held);
    if (this.#held.size > SHARED_KEYS_MAX) {
      const oldest = this.#held.keys().next();
      if (!oldest.done) this.#held.delete(oldest.value);
    }
    return held;
  }

  #takeAlone(key: string, held: Held, nowMs: number): RateVerdict {
    this.#want(key, held, nowMs);
    // What is left of the lease was counted, so it goes first.
    if (held.tokens >= 1 && held.untilMs > nowMs) {
      held.tokens -= 1;
      return { allowed: true, remaining: held.tokens, resetMs: 0, retryMs: 0 };
    }
    const verdict = this.#alone.take(key, alonePolicy(held), nowMs);
    if (verdict.allowed) held.spent += 1;
    return verdict;
  }

  #want(key: string, held: Held, nowMs: number): void {
    if (held.asked || nowMs < held.nextAskMs || this.#wanting.has(key)) return;
    this.#wanting.add(key);
    this.#onWant();
  }
}

/** Another release may have changed the limit: what is held and used stays, what was said of it no longer counts. */
function amend(held: Held, policy: SharedPolicy, nowMs: number): void {
  const { requests, per, burst } = held.policy;
  held.policy = policy;
  if (requests === policy.requests && per === policy.per && burst === policy.burst) return;
  held.tokens = Math.min(held.tokens, policy.burst);
  held.asked = undefined;
  held.nextAskMs = nowMs;
  held.remaining = 0;
  held.resetAtMs = nowMs;
  held.lastRate = undefined;
}

/** Requests per millisecond that the last grants come to, and not more than the limit itself. */
function rateOf({ policy, demandSinceMs }: Held, granted: number, nowMs: number): number {
  return Math.min(granted / Math.max(LEAST_ELAPSED_MS, nowMs - demandSinceMs), policy.requests / periodMs(policy));
}

function periodMs({ per }: SharedPolicy): number {
  return typeof per === "number" ? per : per === "day" ? DAY_MS : 30 * DAY_MS;
}

function opening({ requests, burst }: SharedPolicy): number {
  return Math.max(1, Math.min(OPENING_MAX, Math.floor(Math.min(requests, burst) * OPENING_SHARE)));
}

/** The share that a gateway goes on with while it is alone. */
function alonePolicy({ policy, lastRate }: Held): RatePolicy {
  if (lastRate !== undefined && lastRate > 0) {
    return { requests: 1, perMs: 1 / lastRate, burst: Math.max(1, Math.floor(lastRate * AHEAD_MS)) };
  }
  const { requests, burst } = policy;
  return { requests, perMs: periodMs(policy), burst };
}

/** When it is worth coming back: for a rate when the next request is due, for a period when it ends. */
function retryMs({ requests, per }: SharedPolicy, resetMs: number): number {
  return typeof per === "number" ? Math.max(per / requests, ASK_AGAIN_MS) : Math.max(resetMs, ASK_AGAIN_MS);
}
