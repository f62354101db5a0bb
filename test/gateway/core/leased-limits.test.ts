/** Gateways that share a limit through leases stay within it, whatever they are asked and whoever is away. */
import * as fc from "fast-check";
import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { LeasedLimits, OPENING_MAX, OPENING_SHARE, type SharedPolicy } from "../../../gateway/core/leased-limits.ts";
import { QuotaRequest } from "#quotas/api";
import { settle, type QuotaRecord } from "../../../quotas/core/ledger.ts";

const RATE: SharedPolicy = { requests: 100, per: 1_000, burst: 100 };

/** Gateways and one ledger, a millisecond at a time; the ledger answers after `delayMs`. */
function world(count: number, policy: SharedPolicy, delayMs = 5) {
  let record: QuotaRecord | undefined;
  let nowMs = 0;
  let away = false;
  const wanting = new Set<number>();
  const answers: { atMs: number; answer: () => void }[] = [];
  const gateways = Array.from({ length: count }, (_, at) => new LeasedLimits(() => wanting.add(at)));
  const allowed = gateways.map(() => 0);
  return {
    allowed,
    setAway: (value: boolean) => (away = value),
    total: () => allowed.reduce((a, b) => a + b, 0),
    /** Each gateway is asked so often a millisecond. */
    run(ms: number, perMs: readonly number[]) {
      const due = perMs.map(() => 0);
      for (const end = nowMs + ms; nowMs < end; nowMs++) {
        for (const one of answers.splice(0)) {
          if (one.atMs > nowMs) answers.push(one);
          else one.answer();
        }
        for (const [at, gateway] of gateways.entries()) {
          due[at] = (due[at] ?? 0) + (perMs[at] ?? 0);
          for (; (due[at] ?? 0) >= 1; due[at] = (due[at] ?? 0) - 1) {
            if (gateway.take("k", policy, nowMs).allowed) allowed[at] = (allowed[at] ?? 0) + 1;
          }
        }
        for (const at of wanting) {
          wanting.delete(at);
          const gateway = gateways[at] as LeasedLimits;
          const asks = gateway.asks(32, nowMs);
          const gone = away;
          const answer = () => {
            if (gone) return gateway.failed(asks, nowMs);
            const leases = asks.map((ask) => {
              const settled = settle(record, ask, 1_000_000 + nowMs);
              record = settled.record;
              return settled.lease;
            });
            return gateway.granted(asks, leases, nowMs);
          };
          answers.push({ atMs: nowMs + delayMs, answer });
        }
      }
    },
  };
}

test("gateways under a load far beyond it let through the limit, its burst, and no more than the openings besides", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.double({ min: 0.05, max: 2, noNaN: true }), { minLength: 4, maxLength: 4 }),
      fc.integer({ min: 1, max: 40 }),
      (count, loads, delayMs) => {
        const shared = world(count, RATE, delayMs);
        const perMs = loads.slice(0, count);
        const seconds = 10;
        shared.run(seconds * 1_000, perMs);
        const asked = perMs.reduce((a, b) => a + b, 0) * seconds * 1_000;
        const limit = 100 * seconds + 100;
        const openings = count * 100 * OPENING_SHARE;
        expect(shared.total()).toBeLessThanOrEqual(limit + openings);
        // And hardly less: what is there is found by those who want it.
        expect(shared.total()).toBeGreaterThanOrEqual(Math.min(asked, limit) * 0.8);
      },
    ),
    { numRuns: 40 },
  );
});

test("a quota of a day is never passed by more than the openings, and is used up", () => {
  const shared = world(3, { requests: 1_000, per: "day", burst: 1_000 });
  shared.run(20_000, [0.5, 0.1, 0.02]);
  expect(shared.total()).toBeLessThanOrEqual(1_000 + 3 * 50);
  expect(shared.total()).toBeGreaterThanOrEqual(950);
});

test("while the control plane is away each goes on with about what it had, and shares again when it is back", () => {
  const shared = world(2, RATE);
  shared.run(10_000, [0.3, 0.3]);
  const before = shared.total();
  shared.setAway(true);
  shared.run(10_000, [0.3, 0.3]);
  const alone = shared.total() - before;
  expect(alone).toBeGreaterThan(300);
  expect(alone).toBeLessThan(2_500);
  shared.setAway(false);
  shared.run(2_000, [0.3, 0.3]);
  const back = shared.total();
  shared.run(10_000, [0.3, 0.3]);
  expect(shared.total() - back).toBeLessThanOrEqual(1_120);
});

test("a gateway that never heard of the control plane has the whole limit for its own", () => {
  const shared = world(1, RATE);
  shared.setAway(true);
  shared.run(10_000, [1]);
  expect(shared.total()).toBeGreaterThan(900);
  expect(shared.total()).toBeLessThan(1_200);
});

test("the largest and the smallest limit that a config may have are asked for in words that the control plane takes", () => {
  const policies: SharedPolicy[] = [
    { requests: 1_000_000_000, per: "month", burst: 1_000_000_000 },
    { requests: 10_000_000, per: 1, burst: 10_000_000 },
    { requests: 1, per: 86_400_000, burst: 1 },
  ];
  for (const policy of policies) {
    const limits = new LeasedLimits(() => {});
    for (let i = 0; i < OPENING_MAX; i++) limits.take("k".repeat(400), policy, 0);
    const [ask] = limits.asks(32, 10);
    expect([ask, Value.Check(QuotaRequest, { asks: [ask] })]).toEqual([ask, true]);
  }
});

test("a limit that changes is asked for as it is now, with nothing counted twice, and an answer to the old one is void", () => {
  const limits = new LeasedLimits(() => {});
  const use = (burst: number, nowMs: number) => limits.take("k", { ...RATE, burst }, nowMs).allowed;
  for (let i = 0; i < 5; i++) expect(use(100, 0)).toBe(true);
  const old = limits.asks(32, 0);
  expect(old).toMatchObject([{ burst: 100, spent: 5 }]);
  use(10, 1);
  limits.granted(old, [{ key: "k", granted: 50, remaining: 50, resetMs: 500, validMs: 2_000 }], 5);
  expect(use(10, 6)).toBe(false);
  expect(limits.asks(32, 7)).toMatchObject([{ burst: 10, spent: 0 }]);
});

test("what was used while the control plane was away is told by the next ask that it answers, once", () => {
  const limits = new LeasedLimits(() => {});
  const ask = (nowMs: number) => {
    limits.take("k", RATE, nowMs);
    return limits.asks(32, nowMs);
  };
  for (let i = 0; i < 4; i++) limits.take("k", RATE, 0);
  const lost = ask(0);
  expect(lost).toMatchObject([{ spent: 5 }]);
  limits.failed(lost, 10);
  const told = ask(2_000);
  expect(told).toMatchObject([{ spent: 6 }]);
  limits.granted(told, [{ key: "k", granted: 1, remaining: 0, resetMs: 500, validMs: 2_000 }], 2_010);
  expect(ask(4_000)).toMatchObject([{ spent: 0 }]);
});
