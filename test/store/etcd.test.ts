/** Failures that only a real etcd can have: it dies in the middle of an answer, freezes, and forgets. */
import { beforeAll, afterAll, describe, expect, test } from "vitest";
import { TaskGroup } from "#base";
import { View, openStore, type Op, type Store, type WatchBatch } from "#store";
import { eventually, testHost, withEtcd, type TestEtcd, hangSignal } from "#test/kit";

const value = new Uint8Array(100);
const put = (key: string): Op => ({ type: "put", key, value });

describe("over a real etcd", () => {
  let etcd: TestEtcd;
  let namespaces = 0;
  beforeAll(async () => {
    etcd = await withEtcd();
  });
  afterAll(async () => {
    await etcd[Symbol.asyncDispose]();
  });
  const open = (options: { namespace?: string; deadlineMs?: number; endpoints?: string[] } = {}): Promise<Store> =>
    openStore(testHost(), {
      engine: "etcd",
      endpoints: [etcd.endpoint],
      namespace: `n${namespaces++}/`,
      ...options,
    });

  /** Writes one key per revision, so that what a watch saw can be counted. */
  async function fill(store: Store, count: number): Promise<void> {
    for (let from = 0; from < count; from += 500) {
      await Promise.all(Array.from({ length: Math.min(500, count - from) }, () => store.txn({ then: [put("k")] })));
    }
  }

  test("a server killed in the middle of a long catch-up makes a watch miss nothing and repeat nothing", async () => {
    await using store = await open();
    const after = (await store.status()).revision;
    const count = 20_000;
    await fill(store, count);
    const seen: number[] = [];
    let kills = 0;
    let killing: Promise<void> | undefined;
    for await (const batch of store.watch({ prefix: "", after, signal: hangSignal() })) {
      if (batch.events.length === 0) continue;
      seen.push(batch.revision);
      if (seen.length === count) break;
      if (seen.length > (kills + 1) * 5000) {
        kills++;
        killing = etcd.restart();
        await killing;
      }
    }
    expect(kills).toBe(3);
    expect(seen).toEqual(Array.from({ length: count }, (_, index) => after + index + 1));
  }, 90_000);

  test("a live watch goes on over the death and return of the server", async () => {
    await using store = await open();
    const batches: WatchBatch[] = [];
    const abort = new AbortController();
    const stands = Promise.withResolvers<void>();
    const reading = (async () => {
      for await (const batch of store.watch({ prefix: "", signal: abort.signal })) {
        stands.resolve();
        if (batch.events.length > 0) batches.push(batch);
      }
    })();
    await stands.promise;
    const first = await store.txn({ then: [put("a")] });
    await etcd.restart();
    // Whether a write in the gap arrived is not known, so it is asked for again under a comparison.
    const second = await eventually("etcd takes writes again", () => store.txn({ then: [put("b")] }));
    await eventually("both writes are seen", () => batches.length === 2);
    expect(batches.map(({ revision }) => revision)).toEqual([first.revision, second.revision]);
    abort.abort();
    await reading;
  });

  test("a frozen server makes a put fail within its deadline, with the way out", async () => {
    await using store = await open({ deadlineMs: 1000 });
    await etcd.freeze();
    const started = performance.now();
    try {
      await expect(store.txn({ then: [put("a")] })).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
        message: expect.stringContaining(etcd.endpoint) as string,
      });
      expect(performance.now() - started).toBeLessThan(30_000);
    } finally {
      etcd.thaw();
    }
    await eventually("etcd answers again", () => store.txn({ then: [put("a")] }));
  });

  test("a view grows stale while the server is frozen, says so, and is current again after it", async () => {
    const host = testHost();
    await using store = await open({ deadlineMs: 1000 });
    await using tasks = new TaskGroup(host.log);
    const keys = new Set<string>();
    const view = new View(host, store, {
      name: "frozen",
      prefix: "a",
      reset: (entries) => {
        keys.clear();
        for (const { key } of entries) keys.add(key);
      },
      apply: ({ events }) => {
        for (const event of events) if (event.type === "put") keys.add(event.entry.key);
      },
    });
    tasks.run("view", (signal) => view.run(signal));
    await view.waitFor(1, hangSignal());
    await etcd.freeze();
    try {
      await eventually("the view's age grows", () => view.ageMs > 3500);
    } finally {
      etcd.thaw();
    }
    const { revision } = await eventually("etcd answers again", () => store.txn({ then: [put("a1")] }));
    await view.waitFor(revision, hangSignal());
    expect([...keys]).toEqual(["a1"]);
    await eventually("its age says that it is current", () => view.ageMs < 3000);
  });

  test("a compaction below a cut watch's cursor ends it with the compacted revision", async () => {
    await using store = await open();
    await using other = await open();
    const after = (await store.txn({ then: [put("a")] })).revision;
    await store.txn({ then: [put("a")] });
    const compactedRevision = (await store.txn({ then: [put("a")] })).revision;
    await other.compact(compactedRevision);
    const watch = store.watch({ prefix: "", after, signal: hangSignal() });
    await expect(
      (async () => {
        for await (const batch of watch) expect(batch.events).toEqual([]);
      })(),
    ).rejects.toMatchObject({ code: "STORE_COMPACTED", extra: { compactedRevision } });
  });

  test("a call goes to the next member when the first is not there", async () => {
    await using store = await open({ endpoints: ["http://127.0.0.1:1", etcd.endpoint] });
    expect((await store.txn({ then: [put("a")] })).succeeded).toBe(true);
  });

  test("opening fails at once, and names the endpoint, when etcd is not there", async () => {
    const options = { engine: "etcd", endpoints: ["http://127.0.0.1:1"], deadlineMs: 1000 } as const;
    await expect(openStore(testHost(), options)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: expect.stringContaining("127.0.0.1:1") as string,
    });
  });

  test("two namespaces of one etcd see nothing of each other", async () => {
    await using one = await open({ namespace: "x/" });
    await using two = await open({ namespace: "y/" });
    await one.txn({ then: [put("a")] });
    await two.txn({ then: [put("b"), { type: "delete", prefix: "" }].slice(0, 1) as Op[] });
    await two.txn({ then: [{ type: "delete", prefix: "" }] });
    expect((await one.range({ prefix: "" })).entries.map(({ key }) => key)).toEqual(["a"]);
    expect((await two.range({ prefix: "" })).count).toBe(0);
  });

  test("the keys of a lease outlive the death of the server within its time to live", async () => {
    await using store = await open();
    const lease = await store.grant(30);
    await store.txn({ then: [{ type: "put", key: "a", value, lease: lease.id }] });
    await etcd.restart();
    await eventually("the lease can be renewed", async () => {
      await store.keepAlive(lease.id);
      return true;
    });
    expect((await store.range({ key: "a" })).count).toBe(1);
  });
});
