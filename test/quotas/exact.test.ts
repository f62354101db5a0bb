/** Leases by example, to the request and the millisecond: what is granted, what is left, and when all of it is back. */
import { expect, test } from "vitest";
import { QUOTA_LEASE_MS, type QuotaAsk } from "../../quotas/api.ts";
import { periodAt, readRecord, settle, type QuotaRecord } from "../../quotas/core/ledger.ts";

const NOW = Date.UTC(2026, 0, 31, 12);
const HALF_DAY_MS = 43_200_000;

function rate(over: Partial<QuotaAsk>, at?: number) {
  const record: QuotaRecord | undefined = at === undefined ? undefined : { kind: "rate", at: NOW + at };
  const ask = { key: "k", requests: 10, per: 10, want: 4, ...over };
  const { record: next, lease } = settle(record, ask, NOW);
  if (next.kind !== "rate") throw new Error("a rate stays one");
  expect(lease).toMatchObject({ key: "k", validMs: QUOTA_LEASE_MS });
  const rounded = (ms: number) => Math.round(ms * 1000) / 1000;
  return [lease.granted, lease.remaining, rounded(next.at - NOW), rounded(lease.resetMs)];
}

// Ten in ten seconds: one a second.
test.each([
  ["the amount asked for, from an unused limit", {}, undefined, [4, 6, 4000, 4000]],
  ["at most half of the rest, ahead of need", { want: 8 }, undefined, [5, 5, 5000, 5000]],
  ["one for each waiting request, beyond the half", { want: 8, waiting: 7 }, undefined, [7, 3, 7000, 7000]],
  [
    "never more than asked for, for any number of waiting requests",
    { want: 2, waiting: 7 },
    undefined,
    [2, 8, 2000, 2000],
  ],
  ["never more than is left", { want: 20, waiting: 20 }, undefined, [10, 0, 10_000, 10_000]],
  ["waiting requests count from their arrival", { want: 2, waiting: 2, agoMs: 3000 }, undefined, [2, 8, -1000, 0]],
  ["requests ahead of need count from now", { want: 3, waiting: 1, agoMs: 3000 }, undefined, [3, 7, 2000, 2000]],
  [
    "requests ahead of need count from now, even without waiting requests",
    { want: 3, agoMs: 3000 },
    undefined,
    [3, 7, 3000, 3000],
  ],
  ["a thousandth of a millisecond may be missing", { want: 1 }, 9000.0008, [1, 0, 10_000.001, 10_000.001]],
  ["two thousandths may not", { want: 1 }, 9000.0016, [0, 0, 9000.002, 9000.002]],
  ["requests spent without a lease count", { want: 10, spent: 3 }, undefined, [4, 3, 7000, 7000]],
  ["requests granted to others count", { want: 10 }, 4000, [3, 3, 7000, 7000]],
  ["a whole request must be left", {}, 9500, [0, 0, 9500, 9500]],
  ["the last one is granted", { want: 1 }, 9000, [1, 0, 10_000, 10_000]],
  ["a burst bounds what comes at once", { want: 10, burst: 2 }, undefined, [1, 1, 1000, 1000]],
  ["a moment far ahead, of a clock that went back, is two allowances at most", {}, 1e9, [0, 0, 20_000, 20_000]],
  ["a moment long past is as good as none", { want: 1 }, -5000, [1, 9, 1000, 1000]],
] as const)("%s", (_what, over, at, expected) => {
  expect(rate(over, at)).toEqual(expected);
});

function period(per: "day" | "month", over: Partial<QuotaAsk>, record?: QuotaRecord) {
  const { record: next, lease } = settle(record, { key: "k", requests: 10, per, want: 10, ...over }, NOW);
  expect(lease.validMs).toBe(lease.resetMs);
  return [lease.granted, lease.remaining, lease.resetMs, next];
}

test("a quota counts within its period, and starts again with the next", () => {
  const day = (name: string, used: number): QuotaRecord => ({ kind: "period", period: name, used });
  expect(period("day", {})).toEqual([5, 5, HALF_DAY_MS, day("2026-01-31", 5)]);
  expect(period("day", { spent: 1 }, day("2026-01-31", 4))).toEqual([3, 2, HALF_DAY_MS, day("2026-01-31", 8)]);
  expect(period("day", {}, day("2026-01-30", 9))).toEqual([5, 5, HALF_DAY_MS, day("2026-01-31", 5)]);
  expect(period("day", {}, day("2026-01-31", 10))).toEqual([0, 0, HALF_DAY_MS, day("2026-01-31", 10)]);
  // Requests spent beyond the quota stay counted, and leave nothing.
  expect(period("day", { spent: 7 }, day("2026-01-31", 9))).toEqual([0, 0, HALF_DAY_MS, day("2026-01-31", 16)]);
  expect(period("month", { want: 2, waiting: 1 })).toEqual([2, 8, HALF_DAY_MS, day("2026-01", 2)]);
  // A limit that was a rate before.
  expect(period("month", { want: 1 }, { kind: "rate", at: NOW + 9e9 })).toEqual([1, 9, HALF_DAY_MS, day("2026-01", 1)]);
  expect(settle(day("2026-01", 10), { key: "k", requests: 1, per: 1, want: 1 }, NOW).lease.granted).toBe(1);
});

test("a period ends with its last millisecond", () => {
  const december = Date.UTC(2026, 11, 31, 23, 59, 59, 999);
  expect(periodAt("day", december)).toEqual({ period: "2026-12-31", endMs: december + 1 });
  expect(periodAt("month", december)).toEqual({ period: "2026-12", endMs: december + 1 });
  expect(periodAt("day", december + 1)).toEqual({ period: "2027-01-01", endMs: december + 1 + 2 * HALF_DAY_MS });
  expect(periodAt("month", Date.UTC(2028, 1, 29))).toEqual({ period: "2028-02", endMs: Date.UTC(2028, 2, 1) });
});

test("a record of an unknown kind is as good as none", () => {
  for (const record of [
    { kind: "rate", at: 1 },
    { kind: "period", period: "p", used: 1 },
  ]) {
    expect(readRecord(JSON.stringify(record))).toEqual(record);
  }
  expect(readRecord('{"kind":"window"}')).toBeUndefined();
});
