/** Commands as plans, and views that follow: over the memory engine, and over stores that fail on purpose. */
import { describe, expect, test } from "vitest";
import { TaskGroup } from "#base";
import {
  StoreErrors,
  View,
  commit,
  openMemoryStore,
  openStore,
  type StoreEntry,
  type Put,
  type Store,
  type WatchBatch,
  type WatchRequest,
} from "#store";
import { eventually, testHost, hangSignal } from "#test/kit";

const put = (key: string, text: string): Put => ({ type: "put", key, value: new TextEncoder().encode(text) });
const read = (entry: StoreEntry | undefined): string => Buffer.from(entry?.value ?? []).toString();
/** Adds one to a number in a key. */
const increment = (store: Store, tries?: number) =>
  commit(
    store,
    [{ key: "n" }],
    (known) => {
      const next = Number(read(known.get("n"))) + 1;
      return { writes: [put("n", String(next))], result: next };
    },
    tries === undefined ? {} : { tries },
  );

describe("commit", () => {
  test("plans again from what another writer left, and loses no update", async () => {
    await using store = openMemoryStore(testHost());
    const results = await Promise.all(Array.from({ length: 20 }, () => increment(store, 20)));
    expect(results.map(({ result }) => result).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });

  test("gives up with STORE_CONTENDED when another was first three times", async () => {
    await using store = openMemoryStore(testHost());
    let plans = 0;
    const contended = commit(store, [{ key: "n" }], () => {
      plans++;
      void store.txn({ then: [put("n", String(plans))] });
      return { writes: [put("n", "mine")], result: undefined };
    });
    await expect(contended).rejects.toMatchObject({
      code: "STORE_CONTENDED",
      message: expect.stringContaining("n") as string,
    });
    expect(plans).toBe(3);
  });

  test("an error of the plan passes through, and nothing is written", async () => {
    await using store = openMemoryStore(testHost());
    const { revision } = await store.status();
    await expect(
      commit(store, [{ key: "n" }], () => {
        throw new RangeError("not so");
      }),
    ).rejects.toThrow(RangeError);
    expect((await store.status()).revision).toBe(revision);
  });

  test("a plan that writes nothing costs no revision and tells the one it rests on", async () => {
    await using store = openMemoryStore(testHost());
    const { revision } = await store.txn({ then: [put("n", "1")] });
    expect(await commit(store, [{ key: "n" }], (known) => ({ result: known.size }))).toEqual({ result: 1, revision });
  });

  test("knowledge handed in that is old is corrected before the plan counts", async () => {
    await using store = openMemoryStore(testHost());
    await store.txn({ then: [put("n", "1")] });
    const old = new Map((await store.range({ key: "n" })).entries.map((entry) => [entry.key, entry]));
    await store.txn({ then: [put("n", "2")] });
    const seen: string[] = [];
    const plan = (known: ReadonlyMap<string, StoreEntry>) => {
      seen.push(read(known.get("n")));
      return { result: seen.at(-1) };
    };
    expect((await commit(store, [{ key: "n" }], plan, { known: old })).result).toBe("2");
    expect(seen).toEqual(["1", "2"]);
  });

  test("a change or a delete under a prefix that was read makes it plan again", async () => {
    await using store = openMemoryStore(testHost());
    await store.txn({ then: [put("p/1", "1"), put("p/2", "2")] });
    let plans = 0;
    const { result } = await commit(store, [{ prefix: "p/" }], (known) => {
      if (plans++ === 0) void store.txn({ then: [{ type: "delete", key: "p/1" }] });
      return { writes: [put("sum", String(known.size))], result: known.size };
    });
    expect([result, plans]).toEqual([1, 2]);
  });
});

describe("a view", () => {
  function follow(store: Store, tasks: TaskGroup, host = testHost()) {
    const state = new Map<string, string>();
    const log: string[] = [];
    const view = new View(host, store, {
      name: "test",
      prefix: "a/",
      reset: (entries, revision) => {
        log.push(`reset ${revision}`);
        state.clear();
        for (const entry of entries) state.set(entry.key, read(entry));
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") state.set(event.entry.key, read(event.entry));
          else state.delete(event.key);
        }
      },
    });
    tasks.run("view", (signal) => view.run(signal));
    return { view, state, log };
  }
  const soon = (): AbortSignal => hangSignal();

  test("holds what was there and what came, and lets a writer wait for its own write", async () => {
    await using store = openMemoryStore(testHost());
    await using tasks = new TaskGroup(testHost().log);
    await store.txn({ then: [put("a/1", "1"), put("b", "2")] });
    const { view, state } = follow(store, tasks);
    await store.txn({ then: [put("a/2", "2")] });
    const { revision } = await store.txn({ then: [{ type: "delete", key: "a/1" }] });
    await view.waitFor(revision, soon());
    expect([...state]).toEqual([["a/2", "2"]]);
    const elsewhere = await store.txn({ then: [put("b", "3")] });
    await view.waitFor(elsewhere.revision, soon());
    expect(view.connected).toBe(true);
    expect(view.ageMs).toBeLessThan(5000);
  });

  test("stops waiting when its signal says so", async () => {
    await using store = openMemoryStore(testHost());
    await using tasks = new TaskGroup(testHost().log);
    const { view } = follow(store, tasks);
    await expect(view.waitFor(1000, AbortSignal.timeout(20))).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test("lists more entries than one page at one revision", async () => {
    await using store = openMemoryStore(testHost());
    await using tasks = new TaskGroup(testHost().log);
    for (let from = 0; from < 2500; from += 100) {
      await store.txn({ then: Array.from({ length: 100 }, (_, index) => put(`a/${from + index}`, "x")) });
    }
    const { view, state } = follow(store, tasks);
    await view.waitFor(1, soon());
    expect(state.size).toBe(2500);
  });

  test("lists again when the past that it needs is gone, and ends with the truth", async () => {
    await using real = openMemoryStore(testHost());
    await using tasks = new TaskGroup(testHost().log);
    // The first watch is cut; by the next one the past is compacted.
    let watches = 0;
    const store = withWatch(real, async function* (request) {
      if (watches++ > 0) return yield* real.watch(request);
      yield { revision: request.after ?? 0, events: [] };
      await real.txn({ then: [put("a/1", "1")] });
      await real.txn({ then: [put("a/2", "2"), { type: "delete", key: "a/1" }] });
      await real.compact((await real.status()).revision);
      throw StoreErrors.UNAVAILABLE("cut");
    });
    const { view, state, log } = follow(store, tasks);
    await eventually("the view was reset twice", () => log.length === 2);
    await view.waitFor((await real.status()).revision, soon());
    expect([...state]).toEqual([["a/2", "2"]]);
  });

  test("goes on after the revision it holds when it was too slow, without listing again", async () => {
    await using real = openMemoryStore(testHost());
    await using tasks = new TaskGroup(testHost().log);
    let watches = 0;
    const store = withWatch(real, async function* (request) {
      if (watches++ > 0) return yield* real.watch(request);
      await real.txn({ then: [put("a/1", "1")] });
      throw StoreErrors.WATCH_LAGGED("slow", { extra: { revision: request.after } });
    });
    const { view, state, log } = follow(store, tasks);
    await eventually("the write is seen", () => state.size === 1);
    expect(log).toHaveLength(1);
    expect(view.connected).toBe(true);
  });

  test("starts over from a store that was set back, and does not take its old revision for the new one", async () => {
    await using before = openMemoryStore(testHost());
    await using after = openMemoryStore(testHost());
    await using tasks = new TaskGroup(testHost().log);
    for (const value of ["1", "2", "3", "4", "5"]) await before.txn({ then: [put("a/old", value)] });
    await after.txn({ then: [put("a/new", "1")] });
    const known = (await before.status()).revision;
    const restored = (await after.status()).revision;
    expect(restored).toBeLessThan(known);
    // A backup was restored: its revision is lower than the one that was seen.
    let current = before;
    const setBack = new AbortController();
    const store = withWatch(before, async function* (request) {
      if (current === before) {
        yield* before.watch({ ...request, signal: AbortSignal.any([request.signal, setBack.signal]) });
        throw StoreErrors.UNAVAILABLE("It restarts.");
      }
      const { revision } = await after.status();
      if (request.after !== undefined && request.after > revision)
        throw StoreErrors.FUTURE_REVISION("Not reached yet.");
      yield* after.watch(request);
    });
    const swapped: Store = { ...store, range: (request) => current.range(request) };
    const { view, state, log } = follow(swapped, tasks);
    await view.waitFor(known, soon());
    current = after;
    setBack.abort();
    await eventually("the old state is gone", () => state.get("a/new") === "1" && !state.has("a/old"));
    expect([view.revision, log.at(-1), log.length]).toEqual([restored, `reset ${restored}`, 2]);
    // A writer waits for its own write in the store as it is now, not as it was.
    let reached = false;
    const waiting = view.waitFor(known, soon()).then(() => (reached = true));
    const next = await after.txn({ then: [put("a/new", "2")] });
    await view.waitFor(next.revision, soon());
    expect([view.revision, state.get("a/new"), reached]).toEqual([next.revision, "2", false]);
    while ((await after.status()).revision < known) await after.txn({ then: [put("a/new", "3")] });
    await waiting;
    expect(view.revision).toBe(known);
  });
});

test("openStore opens the engine that it is asked for", async () => {
  await using store = await openStore(testHost(), { engine: "memory" });
  expect((await store.status()).engine).toBe("memory");
});

/** The same store with another watch. */
function withWatch(store: Store, watch: (request: WatchRequest) => AsyncIterable<WatchBatch>): Store {
  return {
    range: (request) => store.range(request),
    txn: (request) => store.txn(request),
    watch,
    grant: (ttlSeconds) => store.grant(ttlSeconds),
    keepAlive: (lease) => store.keepAlive(lease),
    revoke: (lease) => store.revoke(lease),
    compact: (through) => store.compact(through),
    status: () => store.status(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
