/**
 * When a lease lapses. etcd keeps leases for a week longer, and the members end them when their own time is over. So a lease that could
 * not be renewed, because all members were down, gets its full time again when the first member returns. Pure: facts and the time are
 * arguments; the results are the leases to query and the leases to end.
 *
 * etcd counts the time since the latest renewal on any member, so a lease is ended only after a query to etcd, never on a local count.
 */
import type { LeaseId } from "../types.ts";

/** Milliseconds without an answer from etcd after which this member counts as having been away. */
export const AWAY_MS = 3_000;
/** Leases due at once, and their share of all leases, from which on the network is suspected instead of the owners. */
const MASS_LEASES_MIN = 8;
const MASS_SHARE = 1 / 2;
/** Longest hold of a mass lapse, in milliseconds. */
const HOLD_MS_MAX = 60_000;
/** Share of all leases that lapse in a second at most while a mass lapse goes on. */
const PACE_SHARE = 1 / 10;
const PACE_MS = 1_000;
/** Milliseconds until the next query of a lease that is due within etcd's whole seconds. */
const ASK_AGAIN_MS = 250;

interface Tracked {
  readonly ttlMs: number;
  /** The earliest time of the next query to etcd. */
  dueMs: number;
  /** Until when a mass lapse holds it; it is held once. */
  heldUntilMs: number | undefined;
}

export class Lapses {
  readonly #leases = new Map<LeaseId, Tracked>();
  #answeredMs: number;
  /** Since when a mass lapse goes on, and how many may still lapse in this second. */
  #mass = false;
  #pace = { sinceMs: -Infinity, left: 0 };

  constructor(nowMs: number) {
    this.#answeredMs = nowMs;
  }

  get size(): number {
    return this.#leases.size;
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  /** A lease was granted or discovered. Its full time runs from now. */
  track(id: LeaseId, ttlMs: number, nowMs: number): void {
    this.#leases.set(id, { ttlMs, dueMs: nowMs + ttlMs, heldUntilMs: undefined });
  }

  renewed(id: LeaseId, nowMs: number): void {
    const lease = this.#leases.get(id);
    if (lease) this.track(id, lease.ttlMs, nowMs);
  }

  forget(id: LeaseId): void {
    this.#leases.delete(id);
  }

  /** Keeps only the leases that etcd has. */
  keepOnly(ids: ReadonlySet<LeaseId>): void {
    for (const id of this.#leases.keys()) if (!ids.has(id)) this.#leases.delete(id);
  }

  /**
   * etcd answered. If it had not for a while, no lease could be renewed through this member, so every lease gets its full time again.
   * @returns whether that was so
   */
  answered(nowMs: number): boolean {
    const wasAway = nowMs - this.#answeredMs > AWAY_MS;
    this.#answeredMs = nowMs;
    if (wasAway) for (const [id, { ttlMs }] of this.#leases) this.track(id, ttlMs, nowMs);
    return wasAway;
  }

  /** The leases to query now. None while etcd does not answer. */
  due(nowMs: number): LeaseId[] {
    if (nowMs - this.#answeredMs > AWAY_MS) return [];
    return [...this.#leases].filter(([, { dueMs }]) => dueMs <= nowMs).map(([id]) => id);
  }

  /** Takes etcd's answers: the minimum time since each lease's renewal. Returns the leases to end, and the held ones. */
  judge(
    silences: ReadonlyMap<LeaseId, number>,
    nowMs: number,
  ): { readonly end: readonly LeaseId[]; readonly held: number } {
    const over: [LeaseId, Tracked][] = [];
    for (const [id, silentMs] of silences) {
      const lease = this.#leases.get(id);
      if (!lease || lease.dueMs > nowMs) continue;
      if (silentMs >= lease.ttlMs) over.push([id, lease]);
      // Known in whole seconds: it may be due a second before etcd can say so.
      else lease.dueMs = nowMs + Math.max(ASK_AGAIN_MS, lease.ttlMs - silentMs - 1_000);
    }
    this.#mass = over.length >= MASS_LEASES_MIN && (this.#mass || over.length > this.#leases.size * MASS_SHARE);
    if (!this.#mass) return { end: over.map(([id]) => id), held: 0 };
    const end = over.filter(([, lease]) => this.#passes(lease, nowMs)).map(([id]) => id);
    return { end, held: over.length - end.length };
  }

  #passes(lease: Tracked, nowMs: number): boolean {
    lease.heldUntilMs ??= nowMs + Math.min(lease.ttlMs, HOLD_MS_MAX);
    if (nowMs < lease.heldUntilMs) return false;
    if (nowMs - this.#pace.sinceMs >= PACE_MS) {
      this.#pace = { sinceMs: nowMs, left: Math.max(1, Math.floor(this.#leases.size * PACE_SHARE)) };
    }
    return this.#pace.left-- > 0;
  }
}
