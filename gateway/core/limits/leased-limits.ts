/**
 * Limits that several gateways share, usually without a call in a request's path: a gateway holds a lease of a few requests
 * of each limit, and asks for the next lease before this one is used up. Pure: callers pass the time, and `asks` and
 * `granted` are the two ends of a call that the shell makes.
 *
 * A request without a lease is not rejected at once. If requests may remain by the last answer, it waits for the next
 * answer. A request that no answer within that time could admit is rejected at once.
 *
 * The error for each limit and gateway: before the first lease of a limit or period, OPENING_SHARE of it may be used, at
 * most OPENING_MAX requests, and is counted afterwards. Requests that one gateway holds unused are not available to
 * others: an opening, or its use of two seconds; those of a rate may be used when the others have regained as many. While
 * the control plane is unreachable, each gateway continues with its last rate, or with the whole limit if it never had
 * one. A daily or monthly quota that was used up by the last answer stays so until the next period.
 */
import { invariant } from "#base";
import {
  allow,
  alonePolicy,
  amend,
  ask,
  begin,
  borrow,
  deny,
  dueMs,
  fail,
  grant,
  lapse,
  LEASE_WAIT_MS,
  spend,
  type Lease,
  type LeaseAsk,
  type LeaseGrant,
  type SharedPolicy,
} from "./lease-arithmetic.ts";
import { RateLimiter, type RateVerdict } from "./rate-limit.ts";
import { RecentMap } from "./recent-map.ts";

/** No verdict yet: the control plane is about to answer. The caller passes this to the next `take` of the request. */
export interface LeaseWait {
  readonly key: string;
  /** Longest wait in milliseconds; an answer about the key ends it earlier. */
  readonly forMs: number;
  /** When the request arrived. */
  readonly sinceMs: number;
  /** When the verdict is due, unless an earlier answer gives reason to keep waiting. */
  readonly untilMs: number;
  /** The lease's turn when the wait began. */
  readonly turn: number;
}

/** A lease is renewed when this share of it is left. */
const RENEW_SHARE = 0.5;
/** Most limits that are kept; at least half of it. Leases of limits that were unused for longest are dropped. */
const SHARED_KEYS_MAX = 20_000;

export class LeasedLimits {
  readonly #leases = new RecentMap<Lease>(SHARED_KEYS_MAX);
  readonly #wanting = new Set<string>();
  readonly #alone = new RateLimiter();
  readonly #onWant: (urgent: boolean) => void;

  /** `onWant`: called when there is something to ask for; urgent: a request waits for it. */
  constructor(onWant: (urgent: boolean) => void) {
    this.#onWant = onWant;
  }

  /** `waited`: the earlier result for the same request. */
  take(key: string, policy: SharedPolicy, nowMs: number, waited?: LeaseWait): RateVerdict | LeaseWait {
    const lease = this.#of(key, policy, nowMs);
    if (waited?.key !== key) lease.demand += 1;
    if (lease.untilMs <= nowMs) lapse(lease, nowMs);
    if (lease.tokens < 1) {
      return lease.away ? this.#takeAlone(key, lease, nowMs) : this.#takeLater(key, lease, nowMs, waited);
    }
    lease.tokens -= 1;
    if (lease.away || lease.tokens < RENEW_SHARE * lease.demand) this.#want(key, lease, nowMs, false);
    return allow(lease, nowMs);
  }

  /** The request stops waiting. */
  leave(waited: LeaseWait): void {
    const lease = this.#leases.get(waited.key);
    if (lease) leave(lease, waited);
  }

  /** The asks to send now, at most `most`. Each is pending until `granted` or `failed` is called with it. */
  asks(most: number, nowMs: number): LeaseAsk[] {
    const asks: LeaseAsk[] = [];
    for (const key of this.#wanting) {
      if (asks.length >= most) break;
      const lease = this.#leases.get(key);
      this.#wanting.delete(key);
      if (!lease || lease.asked) continue;
      if (lease.untilMs <= nowMs) lapse(lease, nowMs);
      asks.push(ask(lease, key, nowMs));
    }
    return asks;
  }

  granted(asks: readonly LeaseAsk[], grants: readonly LeaseGrant[], nowMs: number): void {
    const byKey = new Map(grants.map((one) => [one.key, one]));
    for (const one of asks) {
      const lease = this.#leases.get(one.key);
      const given = byKey.get(one.key);
      if (lease && lease.untilMs <= nowMs) lapse(lease, nowMs);
      // A limit that was dropped, changed or reset meanwhile asks again.
      if (lease?.asked !== one) continue;
      if (given) grant(lease, given, nowMs);
      else this.failed([one], nowMs);
    }
  }

  /** The control plane did not answer: the gateway continues with its last share. */
  failed(asks: readonly LeaseAsk[], nowMs: number): void {
    for (const one of asks) {
      const lease = this.#leases.get(one.key);
      if (!lease) continue;
      spend(lease, one.spent, nowMs - one.agoMs);
      if (lease.asked === one) fail(lease, nowMs);
    }
  }

  #of(key: string, policy: SharedPolicy, nowMs: number): Lease {
    let lease = this.#leases.get(key);
    if (!lease) this.#leases.set(key, (lease = begin(policy, nowMs)));
    else if (lease.policy !== policy) amend(lease, policy, nowMs);
    return lease;
  }

  /** The lease is used up: requests wait in their order of arrival for what may remain. */
  #takeLater(key: string, lease: Lease, nowMs: number, waited: LeaseWait | undefined): RateVerdict | LeaseWait {
    const { asked, turn } = lease;
    const sinceMs = waited?.sinceMs ?? nowMs;
    const untilMs = waited?.untilMs ?? nowMs + LEASE_WAIT_MS;
    const counted = waited?.key === key && waitingCount(lease, waited) !== undefined;
    if (counted && asked && nowMs < untilMs) return { ...waited, forMs: untilMs - nowMs };
    if (counted) leave(lease, waited);
    if (nowMs >= untilMs) return this.#takeOverdue(key, lease, nowMs);
    const place = counted ? 1 : 1 + lease.short + lease.asking;
    const atMs = Math.max(dueMs(lease, place, nowMs), asked ? nowMs : lease.nextAskMs);
    this.#want(key, lease, nowMs, atMs <= nowMs);
    if (atMs > untilMs) return deny(lease, place, nowMs);
    lease.short += 1;
    lease.sinceMs = Math.min(lease.sinceMs, sinceMs);
    if (!asked && atMs > nowMs) return { key, forMs: atMs - nowMs, sinceMs, untilMs, turn };
    // The last answer reports that requests remain, and the next answer includes this request.
    const onMs = counted ? untilMs : Math.min(nowMs, sinceMs + LEASE_WAIT_MS) + LEASE_WAIT_MS;
    lease.waitingSinceMs = Math.min(lease.waitingSinceMs, nowMs);
    return { key, forMs: onMs - nowMs, sinceMs, untilMs: onMs, turn };
  }

  /** The request has waited for the longest time, for an answer that did not arrive or for its turn. */
  #takeOverdue(key: string, lease: Lease, nowMs: number): RateVerdict {
    if (lease.waitingSinceMs + LEASE_WAIT_MS <= nowMs) {
      lease.away = true;
      return this.#takeAlone(key, lease, nowMs);
    }
    return borrow(lease, nowMs) ? allow(lease, nowMs) : deny(lease, 1, nowMs);
  }

  #takeAlone(key: string, lease: Lease, nowMs: number): RateVerdict {
    this.#want(key, lease, nowMs, false);
    const policy = alonePolicy(lease);
    if (!policy) return deny(lease, 1, nowMs);
    const verdict = this.#alone.take(key, policy, nowMs);
    if (verdict.allowed) spend(lease, 1, nowMs);
    return verdict;
  }

  #want(key: string, lease: Lease, nowMs: number, urgent: boolean): void {
    if (lease.asked || nowMs < lease.nextAskMs) return;
    this.#wanting.add(key);
    this.#onWant(urgent);
  }
}

/** Which of the lease's counts includes a waiting request; undefined: the ask was answered since. */
function waitingCount({ turn, asked, short, asking }: Lease, waited: LeaseWait): "short" | "asking" | undefined {
  if (waited.turn === turn) return short > 0 ? "short" : undefined;
  return asked && asking > 0 && waited.turn === turn - 1 ? "asking" : undefined;
}

function leave(lease: Lease, waited: LeaseWait): void {
  const among = waitingCount(lease, waited);
  if (!among) return;
  lease[among] -= 1;
  invariant(lease[among] >= 0, "the count of waiting requests is not below 0");
}
