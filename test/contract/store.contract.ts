/**
 * The guarantees of every engine, in etcd's own words where it has them. One function, three callers; each test has a
 * store of its own, and names revisions relative to the one where that store began.
 * @see etcd tests/robustness/validate/watch.go for the six words of the watch group
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Host } from "#base";
import {
  KEY_BYTES_MAX,
  TXN_OPS_MAX,
  VALUE_BYTES_MAX,
  type KeyOrPrefix,
  type Op,
  type Put,
  type Revision,
  type Store,
  type StoreEvent,
  type TxnRequest,
  type WatchBatch,
} from "#store";
import { testHost, hangSignal } from "#test/kit";

export interface StoreUnderTest {
  /** An empty store, apart from all others that this opens. */
  open(host: Host, options?: { watchQueueRevisionsMax?: number }): Promise<Store>;
  /** The shortest time to live that the engine grants. */
  readonly ttlSecondsMin: number;
  close?(): PromiseLike<void>;
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);
export const put = (key: string, value = key, lease?: string): Put => ({
  type: "put",
  key,
  value: text(value),
  ...(lease === undefined ? {} : { lease }),
});

/** One event as a word, for comparing. */
export function spell(event: StoreEvent): string {
  if (event.type === "delete") return `-${event.key}`;
  return `+${event.entry.key}=${Buffer.from(event.entry.value).toString()}`;
}

/** Reads a watch until `enough`, bookmarks included, and leaves it. */
export async function readWatch(
  store: Store,
  request: KeyOrPrefix & { after?: Revision },
  enough: (batches: readonly WatchBatch[]) => boolean,
): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  const signal = hangSignal();
  for await (const batch of store.watch({ ...request, signal })) {
    batches.push(batch);
    if (enough(batches)) return batches;
  }
  throw new Error(`the watch ended after ${batches.length} batches`);
}

const withEvents = (batches: readonly WatchBatch[]): WatchBatch[] => batches.filter(({ events }) => events.length > 0);
const reaches = (revision: Revision) => (batches: readonly WatchBatch[]) => (batches.at(-1)?.revision ?? 0) >= revision;

export function storeContract(name: string, prepare: () => Promise<StoreUnderTest>): void {
  describe(`${name} keeps the store's contract`, () => {
    let under: StoreUnderTest;
    beforeAll(async () => {
      under = await prepare();
    });
    afterAll(async () => {
      await under.close?.();
    });
    const open = (options?: { watchQueueRevisionsMax?: number }): Promise<Store> => under.open(testHost(), options);
    const write = async (store: Store, ...then: Op[]): Promise<Revision> => (await store.txn({ then })).revision;

    describe("KV", () => {
      test("an empty store answers with a revision of at least 1 and nothing else", async () => {
        await using store = await open();
        const { revision, entries, more, count } = await store.range({ prefix: "" });
        expect({ entries, more, count }).toEqual({ entries: [], more: false, count: 0 });
        expect(revision).toBeGreaterThanOrEqual(1);
      });

      test("an entry tells when it was created, when it changed, and how often", async () => {
        await using store = await open();
        const created = await write(store, put("a", "1"));
        const changed = await write(store, put("a", "2"));
        const [entry] = (await store.range({ key: "a" })).entries;
        expect(entry).toMatchObject({ key: "a", createRevision: created, modRevision: changed, version: 2 });
        expect(Buffer.from(entry?.value ?? []).toString()).toBe("2");
        expect(entry && "lease" in entry).toBe(false);
      });

      test("each write takes the next revision and a read takes none", async () => {
        await using store = await open();
        const first = await write(store, put("a"), put("b"));
        await store.range({ prefix: "" });
        await store.txn({ then: [{ type: "range", prefix: "" }] });
        expect(await write(store, put("a"))).toBe(first + 1);
      });

      test("a deleted key that returns has a new create revision", async () => {
        await using store = await open();
        await write(store, put("a"), put("b"));
        await write(store, { type: "delete", key: "a" });
        const again = await write(store, put("a"));
        const [entry] = (await store.range({ key: "a" })).entries;
        expect(entry).toMatchObject({ createRevision: again, modRevision: again, version: 1 });
      });

      test("deleting nothing takes no revision", async () => {
        await using store = await open();
        const before = await write(store, put("a"));
        const answer = await store.txn({
          then: [
            { type: "delete", key: "x" },
            { type: "delete", prefix: "y" },
          ],
        });
        expect(answer).toMatchObject({ revision: before, results: [{ deleted: 0 }, { deleted: 0 }] });
      });

      test("of two transactions on the same modRevision exactly one holds", async () => {
        await using store = await open();
        const value = await write(store, put("a"));
        const attempt = (text: string): TxnRequest => ({
          when: [{ key: "a", target: "modRevision", is: "equal", value }],
          then: [put("a", text)],
          otherwise: [{ type: "range", key: "a" }],
        });
        const answers = await Promise.all([store.txn(attempt("one")), store.txn(attempt("two"))]);
        const [winner, loser] = answers[0].succeeded ? answers : [answers[1], answers[0]];
        expect([winner.succeeded, loser.succeeded]).toEqual([true, false]);
        expect(loser.results).toMatchObject([{ type: "range", entries: [{ modRevision: winner.revision }] }]);
      });

      test.each([
        ["modRevision", "equal", 0, true],
        ["createRevision", "greater", 0, false],
        ["version", "less", 1, true],
        ["version", "notEqual", 0, false],
      ] as const)("an absent key's %s is %s to %d: %s", async (target, is, value, succeeded) => {
        await using store = await open();
        expect((await store.txn({ when: [{ key: "absent", target, is, value }] })).succeeded).toBe(succeeded);
      });

      test("all comparisons must hold, and nothing of the other branch is done", async () => {
        await using store = await open();
        await write(store, put("a"));
        const { succeeded } = await store.txn({
          when: [
            { key: "a", target: "version", is: "equal", value: 1 },
            { key: "b", target: "version", is: "equal", value: 1 },
          ],
          then: [put("then")],
          otherwise: [put("otherwise")],
        });
        expect(succeeded).toBe(false);
        const { entries } = await store.range({ prefix: "" });
        expect(entries.map(({ key }) => key)).toEqual(["a", "otherwise"]);
      });

      test("a range in a transaction sees what the operations before it did, and not those after", async () => {
        await using store = await open();
        const before = await write(store, put("a", "old"), put("ab"));
        const { results, revision } = await store.txn({
          then: [
            { type: "range", prefix: "a" },
            put("a", "new"),
            { type: "delete", prefix: "ab" },
            { type: "range", prefix: "a" },
            put("az"),
          ],
        });
        expect(results.map((result) => (result.type === "range" ? [result.count, result.revision] : result))).toEqual([
          [2, before],
          { type: "put" },
          { type: "delete", deleted: 1 },
          [1, revision],
          { type: "put" },
        ]);
      });

      test("a range returns keys in order of their bytes and pages without loss", async () => {
        await using store = await open();
        const keys = ["a", "a ", "a!", "a/1", "a/10", "a/2", "aB", "a~", "b"];
        await write(store, ...keys.toReversed().map((key) => put(key)));
        const seen: string[] = [];
        let after: string | undefined;
        for (;;) {
          const page = await store.range({ prefix: "a", limit: 3, ...(after === undefined ? {} : { after }) });
          expect(page.count).toBe(8 - seen.length);
          seen.push(...page.entries.map(({ key }) => key));
          if (!page.more) break;
          after = page.entries.at(-1)?.key;
        }
        expect(seen).toEqual(keys.slice(0, 8));
      });

      test("a page after a key outside the prefix begins where the prefix does, or is empty", async () => {
        await using store = await open();
        await write(store, put("a"), put("b/1"), put("b/2"), put("c"));
        const keysAfter = async (after: string) =>
          (await store.range({ prefix: "b/", after })).entries.map(({ key }) => key);
        expect(await keysAfter("a")).toEqual(["b/1", "b/2"]);
        expect(await keysAfter("c")).toEqual([]);
      });

      test("a limit of nothing counts, and keysOnly leaves the values empty", async () => {
        await using store = await open();
        await write(store, put("a", "value"), put("b"));
        expect(await store.range({ prefix: "", limit: 0 })).toMatchObject({ entries: [], more: true, count: 2 });
        const { entries } = await store.range({ prefix: "", keysOnly: true });
        expect(entries.map(({ key, value }) => [key, value.byteLength])).toEqual([
          ["a", 0],
          ["b", 0],
        ]);
      });

      test("a range at an old revision returns old values", async () => {
        await using store = await open();
        const first = await write(store, put("a", "1"), put("b"));
        const second = await write(store, put("a", "2"), { type: "delete", key: "b" });
        const old = await store.range({ prefix: "", revision: first });
        expect(old.revision).toBe(second);
        expect(old.entries.map(({ key, value }) => [key, Buffer.from(value).toString()])).toEqual([
          ["a", "1"],
          ["b", "b"],
        ]);
        expect((await store.range({ prefix: "", revision: second })).count).toBe(1);
      });

      test("a revision that is not reached yet is refused", async () => {
        await using store = await open();
        const revision = (await write(store, put("a"))) + 1;
        await expect(store.range({ key: "a", revision })).rejects.toMatchObject({ code: "STORE_FUTURE_REVISION" });
        await expect(store.compact(revision)).rejects.toMatchObject({ code: "STORE_FUTURE_REVISION" });
      });

      test("below a compaction reads fail and name the compacted revision; at it and above they do not", async () => {
        await using store = await open();
        const first = await write(store, put("a", "1"), put("gone"));
        const second = await write(store, put("a", "2"), { type: "delete", key: "gone" });
        await write(store, put("a", "3"));
        await store.compact(second);
        await expect(store.range({ prefix: "", revision: first })).rejects.toMatchObject({
          code: "STORE_COMPACTED",
          extra: { compactedRevision: second },
        });
        const kept = await store.range({ prefix: "", revision: second });
        expect(kept.entries.map(({ value }) => Buffer.from(value).toString())).toEqual(["2"]);
        await expect(store.compact(second)).rejects.toMatchObject({ code: "STORE_COMPACTED" });
        expect(await store.status()).toMatchObject({ compactedRevision: second, revision: second + 1 });
      });

      test("a value is kept byte by byte, and an empty one is a value", async () => {
        await using store = await open();
        const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
        const mine = Uint8Array.from(bytes);
        const writing = store.txn({ then: [{ type: "put", key: "a", value: mine }, put("empty", "")] });
        mine.fill(0);
        await writing;
        const { entries } = await store.range({ prefix: "" });
        expect(entries.map(({ value }) => Buffer.from(value).toString("hex"))).toEqual([
          Buffer.from(bytes).toString("hex"),
          "",
        ]);
      });
    });

    describe("Limits", () => {
      const invalid = { code: "STORE_INVALID" };
      const refused: [string, TxnRequest][] = [
        ["the 129th operation", { then: Array.from({ length: TXN_OPS_MAX + 1 }, (_, index) => put(`k${index}`)) }],
        ["a key put twice", { then: [put("a"), put("a")] }],
        ["a key put and deleted", { then: [put("a"), { type: "delete", key: "a" }] }],
        ["a key put under a deleted prefix", { then: [{ type: "delete", prefix: "a" }, put("ab")] }],
        ["an empty key", { then: [put("")] }],
        ["a key beyond ASCII", { then: [put("schlüssel")] }],
        ["a key with a control character", { then: [put("a\nb")] }],
        ["a key too long", { then: [put("k".repeat(KEY_BYTES_MAX + 1))] }],
        ["a value too large", { then: [{ type: "put", key: "a", value: new Uint8Array(VALUE_BYTES_MAX + 1) }] }],
        [
          "too many bytes together",
          { then: ["a", "b"].map((key) => ({ type: "put", key, value: new Uint8Array(VALUE_BYTES_MAX) })) },
        ],
        ["a comparison with half a revision", { when: [{ key: "a", target: "version", is: "equal", value: 0.5 }] }],
      ];
      test.each(refused)("%s is refused before anything is written", async (_what, request) => {
        await using store = await open();
        const before = await write(store, put("before"));
        await expect(
          store.txn({ ...request, then: [put("first"), ...(request.then ?? [])].slice(-129) }),
        ).rejects.toMatchObject(invalid);
        await expect(store.txn({ when: [], otherwise: request.then ?? [], ...request })).rejects.toMatchObject(invalid);
        expect(await store.range({ prefix: "" })).toMatchObject({ revision: before, count: 1 });
      });

      test("the longest key and the largest value are taken, and so are 128 operations", async () => {
        await using store = await open();
        const key = "k".repeat(KEY_BYTES_MAX);
        await store.txn({ then: [{ type: "put", key, value: new Uint8Array(VALUE_BYTES_MAX).fill(7) }] });
        const [entry] = (await store.range({ key })).entries;
        expect(entry?.value.byteLength).toBe(VALUE_BYTES_MAX);
        await write(store, ...Array.from({ length: TXN_OPS_MAX }, (_, index) => put(`n${index}`)));
        expect((await store.range({ prefix: "n" })).count).toBe(TXN_OPS_MAX);
      });

      test("a request that makes no sense is refused", async () => {
        await using store = await open();
        await expect(store.range({ prefix: "a", limit: -1 })).rejects.toMatchObject(invalid);
        await expect(store.range({ key: "a", revision: 0 })).rejects.toMatchObject(invalid);
        await expect(store.range({ key: "a", after: "b" })).rejects.toMatchObject(invalid);
        await expect(store.grant(0)).rejects.toMatchObject(invalid);
        await expect(store.grant(1.5)).rejects.toMatchObject(invalid);
        await expect(store.compact(0)).rejects.toMatchObject(invalid);
        expect(() => store.watch({ prefix: "ä", signal: AbortSignal.abort() })).toThrow("ASCII");
      });

      test("a closed store refuses everything", async () => {
        const store = await open();
        const watching = readWatch(store, { prefix: "" }, () => false);
        const failed = expect(watching).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
        await new Promise((resolve) => setImmediate(resolve));
        await store[Symbol.asyncDispose]();
        await expect(store.range({ prefix: "" })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
        await expect(store.txn({})).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
        await failed;
        await store[Symbol.asyncDispose]();
      });
    });

    describe("Watch", () => {
      test("Ordered: revisions come in order, and events in the order of their operations", async () => {
        await using store = await open();
        const after = await write(store, put("d/1"), put("d/2"));
        await write(store, put("z"), put("a"), { type: "delete", prefix: "d/" });
        const last = await write(store, put("b"), put("a", "2"));
        const batches = withEvents(await readWatch(store, { prefix: "", after }, reaches(last)));
        expect(batches.map(({ events }) => events.map(spell))).toEqual([
          ["+z=z", "+a=a", "-d/1", "-d/2"],
          ["+b=b", "+a=2"],
        ]);
      });

      test("Unique: no revision comes twice, over history and the present alike", async () => {
        await using store = await open();
        const after = (await store.status()).revision;
        const count = 600;
        for (let index = 0; index < count / 2; index++) await write(store, put(`k${index % 7}`));
        const seen: Revision[] = [];
        const reading = readWatch(store, { prefix: "", after }, (batches) => withEvents(batches).length === count);
        for (let index = 0; index < count / 2; index++) await write(store, put(`k${index % 7}`));
        for (const { revision } of withEvents(await reading)) seen.push(revision);
        expect(seen).toEqual(Array.from({ length: count }, (_, index) => after + index + 1));
      });

      test("Reliable: a watch of a key or a prefix gets all that concerns it and nothing else", async () => {
        await using store = await open();
        const after = await write(store, put("other"));
        await write(store, put("a/1"), put("b"));
        await write(store, put("ab"));
        await write(store, { type: "delete", prefix: "a" });
        const last = await write(store, put("b"), put("a/2"));
        const byPrefix = withEvents(await readWatch(store, { prefix: "a/", after }, reaches(last)));
        const byKey = withEvents(await readWatch(store, { key: "a/1", after }, reaches(last)));
        expect(byPrefix.map(({ events }) => events.map(spell))).toEqual([["+a/1=a/1"], ["-a/1"], ["+a/2=a/2"]]);
        expect(byKey.map(({ events }) => events.map(spell))).toEqual([["+a/1=a/1"], ["-a/1"]]);
      });

      test("Atomic: all changes of a transaction come in one batch", async () => {
        await using store = await open();
        const after = (await store.status()).revision;
        const keys = Array.from({ length: TXN_OPS_MAX }, (_, index) => `k${String(index).padStart(3, "0")}`);
        const reading = readWatch(store, { prefix: "k" }, (batches) => withEvents(batches).length === 2);
        const written = await write(store, ...keys.map((key) => put(key)));
        const deleted = await write(store, { type: "delete", prefix: "k" });
        for (const batches of [await reading, await readWatch(store, { prefix: "k", after }, reaches(deleted))]) {
          expect(withEvents(batches).map(({ revision, events }) => [revision, events.length])).toEqual([
            [written, TXN_OPS_MAX],
            [deleted, TXN_OPS_MAX],
          ]);
        }
      });

      test("an event carries the whole entry, and a delete its revision", async () => {
        await using store = await open();
        const first = await write(store, put("a", "1"));
        const second = await write(store, put("a", "2"));
        const third = await write(store, { type: "delete", key: "a" });
        const batches = withEvents(await readWatch(store, { key: "a", after: first }, reaches(third)));
        expect(batches).toMatchObject([
          { revision: second, events: [{ entry: { createRevision: first, modRevision: second, version: 2 } }] },
          { revision: third, events: [{ type: "delete", key: "a", modRevision: third }] },
        ]);
      });

      test("Resumable: a watch resumed after its last revision misses nothing and repeats nothing", async () => {
        await using store = await open();
        const start = (await store.status()).revision;
        let after = start;
        const seen: string[] = [];
        let written = 0;
        const writing = (async () => {
          for (; written < 200; written++) await write(store, put("k", String(written)));
        })();
        while (seen.length < 200) {
          const stop = seen.length + 37;
          const batches = await readWatch(store, { key: "k", after }, (so) => {
            return seen.length + withEvents(so).length >= Math.min(stop, 200);
          });
          for (const { events } of batches) seen.push(...events.map(spell));
          after = batches.at(-1)?.revision ?? after;
        }
        await writing;
        expect(seen).toEqual(Array.from({ length: 200 }, (_, index) => `+k=${index}`));
      });

      test("Bookmarkable: a watch opens with a bookmark, and receives revisions that do not concern it", async () => {
        await using store = await open();
        const opened = Promise.withResolvers<Revision>();
        const start = (await store.status()).revision;
        const elsewhere = Promise.withResolvers<Revision>();
        const reading = (async () => {
          const goal = elsewhere.promise.then((revision) => revision);
          let target = Infinity;
          void goal.then((revision) => (target = revision));
          return readWatch(store, { prefix: "mine/" }, (batches) => {
            if (batches.length === 1) opened.resolve(batches[0]?.revision ?? 0);
            return (batches.at(-1)?.revision ?? 0) >= target;
          });
        })();
        expect(await opened.promise).toBe(start);
        elsewhere.resolve(await write(store, put("others/1")));
        expect(withEvents(await reading)).toEqual([]);
      });

      test("a bookmark is never ahead of an event that is still to come", async () => {
        await using store = await open();
        const after = (await store.status()).revision;
        const last = after + 300;
        const reading = readWatch(store, { prefix: "a", after }, reaches(last));
        for (let index = 0; index < 300; index++) await write(store, put(index % 3 === 2 ? "a" : "b", String(index)));
        const revisions = (await reading).map(({ revision }) => revision);
        expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
      });

      test("without a revision a watch begins with what is written after the call", async () => {
        await using store = await open();
        await write(store, put("before"));
        const watch = store.watch({ prefix: "", signal: hangSignal() });
        await write(store, put("after"));
        for await (const { events } of watch) {
          if (events.length === 0) continue;
          expect(events.map(spell)).toEqual(["+after=after"]);
          break;
        }
      });

      test("below a compaction a watch fails and names the compacted revision; at it it does not", async () => {
        await using store = await open();
        const first = await write(store, put("a"));
        const second = await write(store, { type: "delete", key: "a" });
        const third = await write(store, put("b"));
        await store.compact(second);
        await expect(readWatch(store, { prefix: "", after: first }, () => false)).rejects.toMatchObject({
          code: "STORE_COMPACTED",
          extra: { compactedRevision: second },
        });
        const batches = await readWatch(store, { prefix: "", after: second }, reaches(third));
        expect(withEvents(batches).map(({ events }) => events.map(spell))).toEqual([["+b=b"]]);
      });

      test("a slow watcher is dropped with its last revision, and a resumed watch continues from there", async () => {
        await using store = await open({ watchQueueRevisionsMax: 10 });
        const after = (await store.status()).revision;
        const signal = hangSignal();
        const watch = store.watch({ prefix: "", signal })[Symbol.asyncIterator]();
        const seen: string[] = [];
        await watch.next();
        const last = after + 50;
        const quick = readWatch(store, { prefix: "" }, reaches(last));
        for (let index = 0; index < 50; index++) await write(store, put("k", String(index)));
        await quick;
        let stood = 0;
        const failure = await (async () => {
          for (;;) {
            const { value, done } = await watch.next();
            if (done) throw new Error("the watch ended");
            stood = value.revision;
            seen.push(...value.events.map(spell));
          }
        })().catch((error: unknown) => error);
        expect(failure).toMatchObject({ code: "STORE_WATCH_LAGGED", extra: { revision: stood } });
        expect(stood).toBeLessThan(last);
        for (let at = stood; at < last;) {
          const [batch] = withEvents(
            await readWatch(store, { prefix: "", after: at }, (all) => withEvents(all).length > 0),
          );
          if (!batch) break;
          seen.push(...batch.events.map(spell));
          at = batch.revision;
        }
        expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => `+k=${index}`));
      });

      test("an aborted signal ends a watch that waits", async () => {
        await using store = await open();
        const abort = new AbortController();
        const watch = store.watch({ prefix: "", signal: abort.signal })[Symbol.asyncIterator]();
        await watch.next();
        const ended = (async () => {
          for (;;) if ((await watch.next()).done) return true;
        })();
        abort.abort();
        expect(await ended).toBe(true);
        const never = store.watch({ prefix: "", signal: abort.signal })[Symbol.asyncIterator]();
        expect((await never.next()).done).toBe(true);
      });
    });

    describe("Lease", () => {
      test("a lapse deletes all its keys in one revision, in order, and never early", async () => {
        await using store = await open();
        const granted = performance.now();
        const lease = await store.grant(under.ttlSecondsMin);
        expect(lease.ttlSeconds).toBeGreaterThanOrEqual(under.ttlSecondsMin);
        const last = await write(store, put("b", "1", lease.id), put("a", "1", lease.id), put("free"));
        const [entry] = (await store.range({ key: "a" })).entries;
        expect(entry?.lease).toBe(lease.id);
        const batches = withEvents(
          await readWatch(store, { prefix: "", after: last }, (all) => withEvents(all).length > 0),
        );
        expect(performance.now() - granted).toBeGreaterThanOrEqual(lease.ttlSeconds * 1000);
        expect(batches).toMatchObject([{ revision: last + 1 }]);
        expect(batches[0]?.events.map(spell)).toEqual(["-a", "-b"]);
        expect((await store.range({ prefix: "" })).count).toBe(1);
        await expect(store.keepAlive(lease.id)).rejects.toMatchObject({ code: "STORE_LEASE_NOT_FOUND" });
        await expect(store.revoke(lease.id)).rejects.toMatchObject({ code: "STORE_LEASE_NOT_FOUND" });
      });

      test("keepAlive costs no revision and keeps the keys beyond the first time to live", async () => {
        await using store = await open();
        const lease = await store.grant(under.ttlSecondsMin);
        const revision = await write(store, put("a", "1", lease.id));
        const until = performance.now() + lease.ttlSeconds * 1000 + 500;
        while (performance.now() < until) {
          await store.keepAlive(lease.id);
          await new Promise((resolve) => setTimeout(resolve, 300));
        }
        expect(await store.range({ prefix: "" })).toMatchObject({ count: 1, revision });
        await store.revoke(lease.id);
      });

      test("revoke deletes the keys at once, in one revision", async () => {
        await using store = await open();
        const lease = await store.grant(60);
        const after = await write(store, put("b", "1", lease.id), put("a", "1", lease.id));
        await store.revoke(lease.id);
        const batches = await readWatch(store, { prefix: "", after }, reaches(after + 1));
        expect(withEvents(batches).map(({ events }) => events.map(spell))).toEqual([["-a", "-b"]]);
      });

      test("a grant and the end of a lease without keys cost no revision", async () => {
        await using store = await open();
        const before = await write(store, put("a"));
        const lease = await store.grant(60);
        await store.revoke(lease.id);
        expect((await store.status()).revision).toBe(before);
      });

      test("a key is attached to the lease of its last put only", async () => {
        await using store = await open();
        const first = await store.grant(60);
        const second = await store.grant(60);
        await write(store, put("moved", "1", first.id), put("freed", "1", first.id), put("gone", "1", first.id));
        await write(store, put("moved", "2", second.id), put("freed", "2"), { type: "delete", key: "gone" });
        await write(store, put("gone", "again"));
        await store.revoke(first.id);
        expect((await store.range({ prefix: "" })).entries.map(({ key }) => key)).toEqual(["freed", "gone", "moved"]);
        await store.revoke(second.id);
        expect((await store.range({ prefix: "" })).entries.map(({ key }) => key)).toEqual(["freed", "gone"]);
      });

      test.each(["1", "not-a-lease"])(
        "a put by the unknown lease %s is refused before anything is written",
        async (id) => {
          await using store = await open();
          const before = await write(store, put("a"));
          await expect(store.txn({ then: [put("b"), put("c", "1", id)] })).rejects.toMatchObject({
            code: "STORE_LEASE_NOT_FOUND",
          });
          expect(await store.range({ prefix: "" })).toMatchObject({ count: 1, revision: before });
          await expect(store.keepAlive(id)).rejects.toMatchObject({ code: "STORE_LEASE_NOT_FOUND" });
          const other = await store.txn({
            when: [{ key: "a", target: "version", is: "equal", value: 1 }],
            then: [{ type: "range", key: "a" }],
            otherwise: [put("c", "1", id)],
          });
          expect(other.succeeded).toBe(true);
        },
      );
    });
  });
}
