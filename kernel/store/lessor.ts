/**
 * Leases of the embedded engines: the keys of each, and when it lapses. Deadlines use the monotonic clock, so that a jump of the wall
 * clock ends no lease. A renewal only changes a number; the heap of deadlines notices it when the old deadline is due. Nothing here is
 * durable: the engine persists grants and ends, and restarts each lease with its full time after a restart.
 */
import { randomId, type CancelTimer, type Clock, type Random } from "#base";
import { leaseNotFound } from "./rules.ts";
import type { LeaseId, Op } from "./types.ts";

/** Longest wait of a Node timer. Later deadlines are examined again then. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Bytes of a lease's id: the same as in etcd. */
const ID_BYTES = 8;

interface Held {
  readonly ttlSeconds: number;
  /** By the monotonic clock; infinite until the grant is durable. */
  deadlineMs: number;
  readonly keys: Set<string>;
}

interface Deadline {
  readonly atMs: number;
  readonly id: LeaseId;
}

export class Lessor implements Disposable {
  readonly #clock: Clock;
  readonly #lapse: (id: LeaseId) => void;
  readonly #leases = new Map<LeaseId, Held>();
  readonly #deadlines: Deadline[] = [];
  #timer: { readonly atMs: number; readonly cancel: CancelTimer } | undefined;

  /** `lapse` is called once for a lease whose time is over, never early, and should `end` it. */
  constructor(clock: Clock, lapse: (id: LeaseId) => void) {
    this.#clock = clock;
    this.#lapse = lapse;
  }

  /** Creates a lease with a unique id. Its time runs from `start`. */
  add(random: Random, ttlSeconds: number): LeaseId {
    let id = randomId(random, ID_BYTES);
    while (this.#leases.has(id)) id = randomId(random, ID_BYTES);
    this.#leases.set(id, { ttlSeconds, deadlineMs: Infinity, keys: new Set() });
    return id;
  }

  /** A lease from before a restart; its full time runs from now. */
  restore(id: LeaseId, ttlSeconds: number): void {
    this.#leases.set(id, { ttlSeconds, deadlineMs: Infinity, keys: new Set() });
    this.start(id);
  }

  /** Its full time runs from now. */
  start(id: LeaseId): void {
    const held = this.#leases.get(id);
    if (!held) return;
    held.deadlineMs = this.#clock.monotonic() + held.ttlSeconds * 1000;
    push(this.#deadlines, { atMs: held.deadlineMs, id });
    this.#arm();
  }

  /** @throws STORE_LEASE_NOT_FOUND */
  renew(id: LeaseId): void {
    const held = this.expect(id);
    if (held.deadlineMs !== Infinity) held.deadlineMs = this.#clock.monotonic() + held.ttlSeconds * 1000;
  }

  /** @throws STORE_LEASE_NOT_FOUND */
  expect(id: LeaseId): Held {
    const held = this.#leases.get(id);
    if (!held) throw leaseNotFound(id);
    return held;
  }

  /** @throws STORE_LEASE_NOT_FOUND unless every lease that the operations put under exists */
  expectAll(ops: readonly Op[]): void {
    for (const op of ops) if (op.type === "put" && op.lease !== undefined) this.expect(op.lease);
  }

  /** Removes a lease. The engine deletes its keys. */
  end(id: LeaseId): void {
    this.#leases.delete(id);
  }

  attach(id: LeaseId | undefined, key: string): void {
    if (id !== undefined) this.#leases.get(id)?.keys.add(key);
  }

  detach(id: LeaseId | undefined, key: string): void {
    if (id !== undefined) this.#leases.get(id)?.keys.delete(key);
  }

  /** The keys of a lease, in order. */
  keysOf(id: LeaseId): string[] {
    return [...this.expect(id).keys].sort();
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#leases.clear();
    this.#deadlines.length = 0;
  }

  #arm(): void {
    const next = this.#deadlines[0];
    if (!next || (this.#timer && this.#timer.atMs <= next.atMs)) return;
    this.#timer?.cancel();
    const waitMs = Math.max(1, Math.ceil(next.atMs - this.#clock.monotonic()));
    const cancel = this.#clock.after(Math.min(waitMs, TIMER_MS_MAX), () => {
      this.#timer = undefined;
      this.#sweep();
      this.#arm();
    });
    this.#timer = { atMs: next.atMs, cancel };
  }

  #sweep(): void {
    // A timer may fire a little early; a lease may not lapse early.
    const nowMs = this.#clock.monotonic();
    for (let top = this.#deadlines[0]; top && top.atMs <= nowMs; top = this.#deadlines[0]) {
      pop(this.#deadlines);
      const held = this.#leases.get(top.id);
      if (!held) continue;
      if (held.deadlineMs > nowMs) push(this.#deadlines, { atMs: held.deadlineMs, id: top.id });
      else this.#lapse(top.id);
    }
  }
}

function push(heap: Deadline[], item: Deadline): void {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    const above = heap[parent] as Deadline;
    if (above.atMs <= item.atMs) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Deadline[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child + 1 < heap.length && (heap[child + 1] as Deadline).atMs < (heap[child] as Deadline).atMs) child++;
    const below = heap[child];
    if (!below || below.atMs >= last.atMs) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
}
