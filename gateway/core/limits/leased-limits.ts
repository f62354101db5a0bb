/**
 * Limits that several gateways share, without asking anybody in a request's path: a gateway holds a lease of a few
 * requests of each limit, uses it up, and has asked for the next by then. Pure: time comes in, and `asks` and `granted`
 * are the two ends of a call that the shell makes.
 *
 * A request that finds nothing held is not refused for that: where by the last answer there may be something left, it
 * waits for the next one. Only what no answer within that time can make right is refused, and at once.
 *
 * The error, for each limit and gateway: before the first lease of a limit or a period, OPENING_SHARE of it may be used,
 * OPENING_MAX requests at most, and is counted afterwards. What one gateway holds unused, others miss: an opening, or
 * what it uses in two seconds; of a rate it may be used when they have as much back. While the control plane is away,
 * each goes on with the rate that it had last, or with the whole limit if it never had any. A quota of a day or month
 * that the last answer called used up stays so until it begins again.
 */
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

/** No verdict yet: the control plane is about to say. Whoever waits asks again with this. */
export interface LeaseWait {
  readonly key: string;
  /** At most; an answer that is about the key ends it. */
  readonly forMs: number;
  /** When the request came. */
  readonly sinceMs: number;
  /** When there is a verdict, unless an answer before gives reason to wait on. */
  readonly untilMs: number;
  /** Of the lease, when it began to wait. */
  readonly turn: number;
}

/** A lease is renewed when so much of it is left. */
const RENEW_SHARE = 0.5;
/** Limits remembered, and half of it at least; beyond, the longest unseen are forgotten, and what they hold lapses. */
const SHARED_KEYS_MAX = 20_000;

export class LeasedLimits {
  readonly #leases = new RecentMap<Lease>(SHARED_KEYS_MAX);
  readonly #wanting = new Set<string>();
  readonly #alone = new RateLimiter();
  readonly #onWant: (urgent: boolean) => void;

  /** `onWant`: there is something to ask for; urgent: a request waits for it. */
  constructor(onWant: (urgent: boolean) => void) {
    this.#onWant = onWant;
  }

  /** `waited`: what this said before of the same request. */
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

  /** Whoever waited does so no more. */
  leave(waited: LeaseWait): void {
    const lease = this.#leases.get(waited.key);
    if (lease) leave(lease, waited);
  }

  /** What to ask for now, at most so much; each counts as asked until `granted` or `failed`. */
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
      // A limit that was forgotten, changed or begun anew meanwhile asks anew.
      if (lease?.asked !== one) continue;
      if (given) grant(lease, given, nowMs);
      else this.failed([one], nowMs);
    }
  }

  /** The control plane did not answer: the last share goes on. */
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

  /** Nothing is held: waits for what there may be, in the order of coming. */
  #takeLater(key: string, lease: Lease, nowMs: number, waited: LeaseWait | undefined): RateVerdict | LeaseWait {
    const { asked, turn } = lease;
    const sinceMs = waited?.sinceMs ?? nowMs;
    const untilMs = waited?.untilMs ?? nowMs + LEASE_WAIT_MS;
    const counted = waited?.key === key && standing(lease, waited) !== undefined;
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
    // An answer has just said that there is enough, and the next one is for this request, too.
    const onMs = counted ? untilMs : Math.min(nowMs, sinceMs + LEASE_WAIT_MS) + LEASE_WAIT_MS;
    lease.waitingSinceMs = Math.min(lease.waitingSinceMs, nowMs);
    return { key, forMs: onMs - nowMs, sinceMs, untilMs: onMs, turn };
  }

  /** It has waited as long as it may: for an answer that did not come, or for its turn. */
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

/** Among which of a lease's requests one is that waits; undefined: it was answered since. */
function standing({ turn, asked, short, asking }: Lease, waited: LeaseWait): "short" | "asking" | undefined {
  if (waited.turn === turn) return short > 0 ? "short" : undefined;
  return asked && asking > 0 && waited.turn === turn - 1 ? "asking" : undefined;
}

function leave(lease: Lease, waited: LeaseWait): void {
  const among = standing(lease, waited);
  if (among) lease[among] -= 1;
}
