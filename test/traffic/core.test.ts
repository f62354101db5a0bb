/** The arithmetic of traffic: buckets, rings and records. */
import { expect, test } from "vitest";
import { TrafficBook } from "../../traffic/core/book.ts";
import { emptyTally, quantileOf, tallyOf } from "../../traffic/core/counts.ts";
import { PendingTraffic, REPORTER_MS } from "../../traffic/core/pending.ts";
import { Ring } from "../../traffic/core/ring.ts";
import { trafficView } from "../../traffic/core/view.ts";

test("a quantile is interpolated within its bucket, and never above the last bound", () => {
  expect(quantileOf(emptyTally(), 0.5)).toBeNull();
  expect(quantileOf(tallyOf({ buckets: [0, 0, 10] }), 0.5)).toBe(3.5);
  expect(quantileOf(tallyOf({ buckets: [50, 0, 0, 50] }), 0.99)).toBe(9.9);
  expect(quantileOf(tallyOf({ buckets: [...Array<number>(13).fill(0), 7] }), 0.5)).toBe(10_000);
});

test("a ring keeps its points apart, forgets the oldest, and ignores what is too old", () => {
  const ring = new Ring(3, 1_000);
  const one = tallyOf({ requests: 1 });
  ring.add(1_500, one);
  ring.add(1_900, one);
  ring.add(3_000, one);
  expect([1, 2, 3].map((point) => ring.point(point)[0])).toEqual([2, 0, 1]);
  ring.add(4_000, one);
  expect([1, 2, 3, 4].map((point) => ring.point(point)[0])).toEqual([0, 0, 1, 1]);
  ring.add(1_000, one);
  expect(ring.sum(0, 9)[0]).toBe(2);
  ring.add(60_000, one);
  expect(ring.sum(0, 99)[0]).toBe(1);
});

test("a record is written only for a change, and requests in flight of silent reporters end", () => {
  const pending = new PendingTraffic();
  expect(pending.take(0)).toBeUndefined();
  pending.add("default", "a", { reporter: "a", edges: [{ from: "x", to: "y", requests: 2, inFlight: 1 }] }, 0);
  pending.add("default", "b", { reporter: "b", edges: [{ from: "x", to: "y", requests: 3, inFlight: 4 }] }, 0);
  expect(pending.take(0)?.series).toEqual([[["edge", "default", "x", "default", "y"], 5, [5]]]);
  expect(pending.take(1)).toBeUndefined();
  expect(pending.take(REPORTER_MS + 1)).toMatchObject({ sequence: 2, series: [] });
});

test("a record counts once, a member's requests in flight end with it, and limits are reported", () => {
  const book = new TrafficBook();
  const record = (sequence: number, count: number) => ({
    sequence,
    omitted: 0,
    series: Array.from({ length: count }, (_, i) => [["route", "default", `r${i}`] as const, 1, [10]] as const),
  });
  const nowMs = 100_000;
  book.add("m", record(1, 1), nowMs - 3_000);
  book.add("m", record(1, 1), nowMs - 3_000);
  const view = () => trafficView(book, { namespace: "default", minutes: 1 }, { nowMs, sinceMs: 0 });
  expect(view().routes).toMatchObject([{ route: "r0", now: { rps: 1, inFlight: 1 } }]);
  expect(view().totals.series.rps).toHaveLength(6);
  book.remove("m");
  expect(view().totals.now.inFlight).toBe(0);
  book.add("n", record(1, 502), nowMs - 3_000);
  expect(view().routes).toHaveLength(500);
  expect(view().omitted).toBe(2);
  expect(view().totals.now).toMatchObject({ rps: 503, inFlight: 502 });
});
