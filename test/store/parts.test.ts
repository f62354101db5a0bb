/** The parts that the engines share, each on its own: ordered keys, leases, the watch hub, recent revisions. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemClock } from "#base/library";
import { ManualClock, testHost } from "#test/kit";
import { Lessor } from "../../kernel/store/lessor.ts";
import { OrderedKeys } from "../../kernel/store/ordered-keys.ts";
import { RECENT_REVISIONS_MAX, RecentRevisions } from "../../kernel/store/recent.ts";
import type { WatchBatch } from "../../kernel/store/types.ts";
import { WatchHub } from "../../kernel/store/watch-hub.ts";

const batch = (revision: number, key = "k"): WatchBatch => ({
  revision,
  events: [{ type: "delete", key, modRevision: revision }],
});

describe("ordered keys", () => {
  test("are a sorted set, whatever is added and deleted", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "/", "~"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), word), { maxLength: 300 }), word, word, (steps, prefix, after) => {
        const keys = new OrderedKeys();
        const model = new Set<string>();
        for (const [add, key] of steps) {
          if (add) keys.add(key);
          else keys.delete(key);
          if (add) model.add(key);
          else model.delete(key);
        }
        const sorted = [...model].sort();
        expect(keys.size).toBe(model.size);
        expect(keys.withPrefix("")).toEqual(sorted);
        expect(keys.withPrefix(prefix, after)).toEqual(sorted.filter((key) => key.startsWith(prefix) && key > after));
      }),
    );
  });

  test("stay sorted over many chunks", () => {
    const keys = new OrderedKeys();
    const names = Array.from({ length: 5000 }, (_, index) => `k${(index * 7919) % 5000}`);
    for (const name of names) keys.add(name);
    expect(keys.withPrefix("k")).toEqual(names.toSorted());
    for (const name of names.slice(0, 4990)) keys.delete(name);
    expect(keys.withPrefix("")).toEqual(names.slice(4990).sort());
  });
});

describe("the lessor", () => {
  test("lapses each lease once, in order of time, and none before its time", async () => {
    const clock = new ManualClock();
    const { random } = testHost();
    const lapsed: [string, number][] = [];
    const start = clock.monotonic();
    using lessor = new Lessor(clock, (id) => {
      lapsed.push([id, clock.monotonic() - start]);
      lessor.end(id);
    });
    const ids = [5, 1, 3, 2, 4].map((ttlSeconds) => {
      const id = lessor.add(random, ttlSeconds);
      lessor.start(id);
      return [id, ttlSeconds] as const;
    });
    await clock.advance(60_000);
    expect(lapsed).toEqual(ids.map(([id, ttl]): [string, number] => [id, ttl * 1000]).sort((a, b) => a[1] - b[1]));
  });

  test("gives a renewed lease its full time again, and a grant that is not durable yet no end", async () => {
    const clock = new ManualClock();
    const { random } = testHost();
    const lapsed: string[] = [];
    using lessor = new Lessor(clock, (id) => {
      lapsed.push(id);
      lessor.end(id);
    });
    const pending = lessor.add(random, 1);
    const renewed = lessor.add(random, 10);
    lessor.start(renewed);
    await clock.advance(9999);
    lessor.renew(renewed);
    await clock.advance(9999);
    expect(lapsed).toEqual([]);
    lessor.start(pending);
    await clock.advance(1000);
    expect(lapsed).toEqual([renewed, pending]);
    expect(() => lessor.renew(renewed)).toThrow("lapsed");
  });

  test("waits for a lease of a year, which no timer can", async () => {
    const clock = new ManualClock();
    const lapsed: string[] = [];
    using lessor = new Lessor(clock, (id) => {
      lapsed.push(id);
      lessor.end(id);
    });
    const id = lessor.add(testHost().random, 31_536_000);
    lessor.start(id);
    await clock.advance(31_536_000_000 - 1);
    expect(lapsed).toEqual([]);
    await clock.advance(1);
    expect(lapsed).toEqual([id]);
  });
});

describe("the watch hub", () => {
  const noHistory = (): never => {
    throw new Error("no history was to be read");
  };

  test("sends a waiting watcher others' revisions soon, and a sign of life every second", async () => {
    const clock = new ManualClock();
    using hub = new WatchHub(clock, { revision: 5, history: noHistory });
    const watch = hub.watch({ prefix: "mine" }, 5, new AbortController().signal);
    const take = async (): Promise<number> => ((await watch.next()).value as WatchBatch).revision;
    expect(await take()).toBe(5);
    let next = take();
    hub.publish(batch(6, "others"));
    await clock.advance(50);
    expect(await next).toBe(6);
    next = take();
    await clock.advance(1000);
    expect(await next).toBe(6);
    hub.paused = true;
    let told = false;
    const watching = take().then(
      () => (told = true),
      () => {},
    );
    await clock.advance(10_000);
    expect(told).toBe(false);
    hub[Symbol.dispose]();
    await watching;
  });

  test("holds back what a watch from the future did not ask for", async () => {
    using hub = new WatchHub(new ManualClock(), { revision: 5, history: noHistory });
    const watch = hub.watch({ prefix: "" }, 7, new AbortController().signal);
    await watch.next();
    for (const revision of [6, 7, 8]) hub.publish(batch(revision));
    const revisions: number[] = [];
    for (let value; (value = ((await watch.next()).value as WatchBatch).revision) < 8;) revisions.push(value);
    expect(revisions.every((revision) => revision <= 8)).toBe(true);
  });

  test("hands a revision to ten thousand watchers in one turn, and shares the batch", async () => {
    using hub = new WatchHub(systemClock, { revision: 1, history: noHistory });
    const { signal } = new AbortController();
    const watches = Array.from({ length: 10_000 }, () => hub.watch({ prefix: "k" }, 1, signal));
    await Promise.all(watches.map((watch) => watch.next()));
    const waiting = Promise.all(watches.map((watch) => watch.next()));
    const published = batch(2);
    hub.publish(published);
    const got = await waiting;
    expect(got.every(({ value }) => value === published)).toBe(true);
  });

  test("forgets a watcher that left", async () => {
    using hub = new WatchHub(new ManualClock(), { revision: 1, history: noHistory });
    const abort = new AbortController();
    const left = hub.watch({ key: "a" }, 1, new AbortController().signal);
    hub.watch({ prefix: "a" }, 1, abort.signal);
    expect(hub.size).toBe(2);
    await left.return?.();
    abort.abort();
    expect(hub.size).toBe(0);
  });
});

describe("recent revisions", () => {
  test("answer from any revision that they cover, and from none before", () => {
    const recent = new RecentRevisions(10);
    for (const revision of [12, 15, 16]) recent.push(batch(revision));
    expect(recent.after(9, 10, 20)).toBeUndefined();
    expect(recent.after(10, 2, 20)).toEqual({ batches: [batch(12), batch(15)], through: 15 });
    expect(recent.after(12, 10, 20)).toEqual({ batches: [batch(15), batch(16)], through: 20 });
    expect(recent.after(16, 10, 20)).toEqual({ batches: [], through: 20 });
    recent.forget(15);
    expect(recent.after(14, 10, 20)).toBeUndefined();
    expect(recent.after(15, 10, 20)?.batches).toEqual([batch(16)]);
  });

  test("keep a limited number of revisions", () => {
    const recent = new RecentRevisions(0);
    const count = RECENT_REVISIONS_MAX * 3;
    for (let revision = 1; revision <= count; revision++) recent.push(batch(revision));
    expect(recent.base).toBe(count - RECENT_REVISIONS_MAX);
    expect(recent.after(recent.base, Infinity, count)?.batches).toHaveLength(RECENT_REVISIONS_MAX);
    expect(recent.after(recent.base, 1, count)?.batches).toEqual([batch(recent.base + 1)]);
  });
});
