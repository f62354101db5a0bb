/** Waits, binary search and assertions that the whole program shares. */
import { expect, test } from "vitest";
import { costlyInvariant, firstIndexWhere, InvariantError, invariant, KeyedWaiters, Waiters, whenAborted } from "#base";
import { ManualClock } from "#test/kit";

test("a wait ends at the first of a wake-up, a time and an abort, and leaves neither timer nor listener", async () => {
  const clock = new ManualClock();
  const waiters = new Waiters();
  const aborter = new AbortController();
  const limits = { limit: { clock, ms: 1_000 }, signal: aborter.signal };
  const woken = waiters.wait(limits);
  waiters.wakeAll();
  expect(await woken).toBe("woken");
  const late = waiters.wait(limits);
  await clock.advance(999);
  await clock.advance(1);
  expect(await late).toBe("late");
  const aborted = waiters.wait(limits);
  aborter.abort();
  expect(await aborted).toBe("aborted");
  expect(await waiters.wait(limits)).toBe("aborted");
  expect(await waiters.wait({ signal: aborter.signal })).toBe("aborted");
  await whenAborted(aborter.signal);
  expect(clock.pendingTimers).toBe(0);
});

test("a wait for several keys ends with any of them, in the order of coming, and its keys are forgotten", async () => {
  const waiters = new KeyedWaiters();
  const order: string[] = [];
  const first = waiters.wait(["a", "b"], {}).then(() => order.push("first"));
  const second = waiters.wait(["b"], {}).then(() => order.push("second"));
  const third = waiters.wait(["c"], {}).then(() => order.push("third"));
  expect([...waiters.keys()]).toEqual(["a", "b", "c"]);
  waiters.wake("b");
  await Promise.all([first, second]);
  expect(order).toEqual(["first", "second"]);
  expect([...waiters.keys()]).toEqual(["c"]);
  waiters.wake("a");
  waiters.wakeAll();
  await third;
  expect([...waiters.keys()]).toEqual([]);
});

test("binary search finds the first index, the end, and nothing in nothing", () => {
  const sorted = [1, 3, 3, 5];
  const firstFrom = (value: number) => firstIndexWhere(sorted.length, (index) => (sorted[index] as number) >= value);
  expect([0, 1, 2, 3, 4, 5, 6].map(firstFrom)).toEqual([0, 0, 1, 1, 3, 3, 4]);
  expect(firstIndexWhere(0, () => true)).toBe(0);
});

test("a broken rule throws and says which, in tests also a costly one", () => {
  expect(() => invariant(true, "one is one")).not.toThrow();
  expect(() => invariant(false, "counts are not negative")).toThrow(InvariantError);
  expect(() => costlyInvariant(() => false, "the queue is sorted")).toThrow(/the queue is sorted/);
});
