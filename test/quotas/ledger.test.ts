/** A limit's record after each ask: never more granted than there is, by the second, the day and the month. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { periodAt, settle, type QuotaRecord } from "../../quotas/core/ledger.ts";

const rate = { key: "k", requests: 10, per: 1 } as const;
const NOW = Date.UTC(2026, 1, 28, 23, 59, 59, 0);

test("at most the rate is granted in any time, for any sequence of asks", () => {
  const asks = fc.array(fc.record({ afterMs: fc.nat(500), want: fc.nat(30), waiting: fc.nat(30), spent: fc.nat(2) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(asks, (given) => {
      let record: QuotaRecord | undefined;
      let nowMs = NOW;
      let granted = 0;
      for (const { afterMs, want, waiting, spent } of given) {
        nowMs += afterMs;
        const settled = settle(record, { ...rate, want, waiting, spent }, nowMs);
        record = settled.record;
        granted += settled.lease.granted;
        expect(settled.lease.granted).toBeLessThanOrEqual(want);
      }
      expect(granted).toBeLessThanOrEqual(10 + ((nowMs - NOW) / 1_000) * 10 + 1e-6);
    }),
  );
});

test("one ask gets at most half of what is left, so that the next finds something", () => {
  const first = settle(undefined, { ...rate, want: 10 }, NOW);
  expect(first.lease).toMatchObject({ granted: 5, remaining: 5 });
  const second = settle(first.record, { ...rate, want: 10 }, NOW);
  expect(second.lease).toMatchObject({ granted: 3, remaining: 2 });
  expect(settle(second.record, { ...rate, want: 1, spent: 2 }, NOW).lease).toMatchObject({ granted: 0, remaining: 0 });
});

test("requests that wait get all that is left, and nothing ahead of need beyond the half", () => {
  const waiting = (want: number, count: number) => settle(undefined, { ...rate, want, waiting: count }, NOW).lease;
  expect(waiting(10, 8)).toMatchObject({ granted: 8, remaining: 2 });
  expect(waiting(10, 3)).toMatchObject({ granted: 5, remaining: 5 });
  expect(waiting(30, 25)).toMatchObject({ granted: 10, remaining: 0 });
  expect(waiting(2, 8)).toMatchObject({ granted: 2, remaining: 8 });
});

test("spent and waiting requests are counted from their own time", () => {
  const late = settle(undefined, { ...rate, want: 1, waiting: 1, agoMs: 40 }, NOW);
  expect(late.record).toEqual({ kind: "rate", at: NOW + 60 });
  // A minute's use within the limit leaves it as whole as it is.
  const away = settle(late.record, { ...rate, want: 0, spent: 600, agoMs: 60_000 }, NOW + 60_000);
  expect(away.lease).toMatchObject({ granted: 0, remaining: 9 });
  // Requests taken ahead of need count from now.
  expect(settle(undefined, { ...rate, want: 5, waiting: 1, agoMs: 5_000 }, NOW).record).toMatchObject({
    at: NOW + 400,
  });
});

test("a record of a clock far ahead locks a caller out for at most two whole allowances", () => {
  const ahead = { kind: "rate", at: NOW + 3_600_000 } as const;
  const { record } = settle(ahead, { ...rate, want: 1 }, NOW);
  expect(settle(record, { ...rate, want: 1 }, NOW + 2_000).lease.granted).toBe(1);
});

test("a day's count starts again at midnight of UTC, a month's on its first", () => {
  const day = { key: "k", requests: 10, per: "day" } as const;
  const used = settle(undefined, { ...day, want: 4, spent: 5 }, NOW);
  expect(used.lease).toMatchObject({ granted: 3, remaining: 2, resetMs: 1_000 });
  expect(settle(used.record, { ...day, want: 4 }, NOW + 999).lease.granted).toBe(1);
  expect(settle(used.record, { ...day, want: 4 }, NOW + 1_000).lease).toMatchObject({ granted: 4, remaining: 6 });
  expect(periodAt("month", NOW)).toEqual({ period: "2026-02", endMs: Date.UTC(2026, 2, 1) });
  expect(periodAt("month", Date.UTC(2026, 11, 31))).toEqual({ period: "2026-12", endMs: Date.UTC(2027, 0, 1) });
});
