/** Messages between workers: sums without exited workers, debts that are paid, and the state that a new worker must get. */
import { expect, test } from "vitest";
import { ConcurrencyLimiter } from "../../../../gateway/core/limits/concurrency.ts";
import { PeerCounts, PeerRecord, SPENT_TOLD_MAX } from "../../../../gateway/core/limits/peer-messages.ts";
import { RateLimiter } from "../../../../gateway/core/limits/rate-limit.ts";

const policy = { requests: 10, perMs: 1_000, burst: 10 };

test("over time two limiters that tell each other let through what one would, however late they hear", () => {
  const limiters = [new RateLimiter({ workers: 2 }), new RateLimiter({ workers: 2 })] as const;
  for (const limiter of limiters) limiter.record();
  let through = 0;
  for (let nowMs = 0; nowMs < 20_000; nowMs += 5) {
    for (const limiter of limiters) if (limiter.take("k", policy, nowMs).allowed) through += 1;
    if (nowMs % 50 !== 0) continue;
    const told = limiters.map((limiter) => limiter.recorded());
    for (const [index, limiter] of limiters.entries()) {
      for (const [key, spacingMs, requests] of told[1 - index] ?? []) limiter.spend(key, spacingMs * requests, nowMs);
    }
  }
  // 20 s of 10 a second, the burst, and for each late worker what it let through meanwhile.
  expect(through).toBeGreaterThanOrEqual(200);
  expect(through).toBeLessThanOrEqual(200 + 10 + 10);
});

test("a limiter records nothing before recording is turned on, and reports each use once", () => {
  const limiter = new RateLimiter();
  limiter.take("k", policy, 0);
  expect(limiter.recorded()).toEqual([]);
  limiter.record();
  limiter.take("k", policy, 0);
  limiter.take("k", policy, 0);
  expect(limiter.recorded()).toEqual([["k", 100, 2]]);
  expect(limiter.recorded()).toEqual([]);
});

test("requests under way in other workers count towards a limit, until the worker exits", () => {
  const limiter = new ConcurrencyLimiter();
  limiter.others.set(1, "k", 2);
  expect([limiter.take("k", 3), limiter.take("k", 3)]).toEqual([true, false]);
  limiter.others.forget(1);
  expect(limiter.take("k", 3)).toBe(true);
});

test("a sum is of what each said last", () => {
  const counts = new PeerCounts();
  counts.set(1, "k", 5);
  counts.set(2, "k", 3);
  counts.set(1, "k", 1);
  expect(counts.sum("k")).toBe(4);
  counts.forget(2);
  expect([counts.sum("k"), counts.sum("other")]).toEqual([1, 0]);
});

test("a new worker receives what any worker spent of each rate, until it is refilled", () => {
  const record = new PeerRecord();
  const tell = (worker: number, key: string, requests: number, nowMs: number) =>
    record.note(worker, { spent: [[key, 100, requests]] }, nowMs);
  tell(0, "a", 3, 0);
  tell(1, "a", 4, 200);
  tell(1, "b", 1, 200);
  record.forget(1);
  const spent = (nowMs: number) => record.for(1, nowMs).find(({ worker }) => worker === 1)?.news.spent;
  expect(spent(250)).toEqual([
    ["a", 450, 1],
    ["b", 50, 1],
  ]);
  expect(spent(300)).toEqual([["a", 400, 1]]);
  expect(spent(700)).toBeUndefined();
  const limiter = new RateLimiter({ workers: 2 });
  for (const [key, spacingMs, requests] of spent(250) ?? []) limiter.spend(key, spacingMs * requests, 0);
  // 4.5 of 10 are spent, so 5 are left.
  const left = Array.from({ length: 10 }, () => limiter.take("a", policy, 0)).filter(({ allowed }) => allowed);
  expect(left).toHaveLength(5);
});

test("memory of rates is bounded: refilled rates are dropped first, then the longest unused", () => {
  const record = new PeerRecord();
  for (let i = 0; i < 3 * SPENT_TOLD_MAX; i++) record.note(0, { spent: [[`k${i}`, 1_000, 1]] }, i);
  const spent = record.for(1, 3 * SPENT_TOLD_MAX).at(-1)?.news.spent ?? [];
  expect(spent).toHaveLength(999);
  for (let i = 0; i < 3 * SPENT_TOLD_MAX; i++) record.note(0, { spent: [[`k${i}`, 1e9, 1]] }, 3 * SPENT_TOLD_MAX);
  const last = record.for(1, 3 * SPENT_TOLD_MAX).at(-1)?.news.spent ?? [];
  expect(last).toHaveLength(SPENT_TOLD_MAX);
  expect(last.at(-1)?.[0]).toBe(`k${3 * SPENT_TOLD_MAX - 1}`);
});

test("a new worker receives the running workers' requests under way and ejections, and nothing of itself or exited workers", () => {
  const record = new PeerRecord();
  const ejection = { cluster: "c", endpoint: "e", ejections: 1, forMs: 1_000 };
  record.note(0, { held: [["k", 2]], clusters: [["c", 3, 1]] }, 0);
  record.note(1, { held: [["k", 9]], ejected: [ejection] }, 0);
  record.note(2, { held: [["k", 7]] }, 0);
  record.note(0, { held: [["k", 1]] }, 0);
  record.forget(2);
  expect(record.for(1, 400)).toEqual([
    { worker: 0, news: { held: [["k", 1]], clusters: [["c", 3, 1]] } },
    { worker: 1, news: { ejected: [{ ...ejection, forMs: 600 }] } },
  ]);
  expect(record.for(1, 1_000)).toEqual([
    { worker: 0, news: { held: [["k", 1]], clusters: [["c", 3, 1]] } },
    { worker: 1, news: { ejected: [] } },
  ]);
});
