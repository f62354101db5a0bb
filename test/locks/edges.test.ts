/** Edges of the locks' core: views that are old, the last place in a queue, and what counts as a lapse. */
import { expect, test } from "vitest";
import { encodeJson, type AppError } from "#base";
import { openMemoryStore, type Store } from "#store";
import { testHost } from "#test/kit";
import { LOCK_WAITERS_MAX } from "../../locks/api.ts";
import { Book, queuePlaceOf, type BookEntry, type LockFacts } from "../../locks/core/book.ts";
import { requestLock, breakLock, grantDue, grantLock, releaseLock, type LockPlan } from "../../locks/core/commands.ts";
import { breakKey, holderKey, markKey, waiterKey } from "../../locks/core/keys.ts";
import { LEADER } from "./kit.ts";

/** The lock as the store has it now. */
async function seen(store: Store): Promise<LockFacts> {
  const book = new Book();
  book.reset((await store.range({ prefix: "/locks/" })).entries);
  return book.lock(LEADER);
}

async function run(store: Store, { when, then }: LockPlan<unknown>): Promise<boolean> {
  return (await store.txn({ when, then })).succeeded;
}

async function acquire(store: Store, session: string): Promise<void> {
  const asked = { session, value: undefined, lockDelaySeconds: 5, nowMs: 0 };
  expect(await run(store, requestLock(await seen(store), asked))).toBe(true);
  expect(await run(store, grantLock(await seen(store), 0))).toBe(true);
}

test("breaking a lock from an old view does not take it from the next holder", async () => {
  await using store = openMemoryStore(testHost());
  const [first, second] = [(await store.grant(60)).id, (await store.grant(60)).id];
  await acquire(store, first);
  const old = await seen(store);
  expect(await run(store, releaseLock(old, { session: first, nowMs: 0 }))).toBe(true);
  await acquire(store, second);
  const command = { by: "admin", reason: "stuck", nowMs: 0, lease: second };
  expect(await run(store, breakLock(old, command))).toBe(false);
  const now = await seen(store);
  expect(now.holder?.session).toBe(second);
  // From an up-to-date view the same command breaks the lock, and names its holder.
  const plan = breakLock(now, command);
  expect(plan.result).toMatchObject({ session: second, token: now.mark?.modRevision, reason: "stuck" });
  expect(await run(store, plan)).toBe(true);
  expect(await seen(store)).toMatchObject({ holder: undefined, mark: { session: second }, broken: { by: "admin" } });
});

test("a lock of the same session in another acquisition is not broken by what was seen of the first", async () => {
  await using store = openMemoryStore(testHost());
  const session = (await store.grant(60)).id;
  await acquire(store, session);
  const old = await seen(store);
  expect(await run(store, releaseLock(old, { session, nowMs: 0 }))).toBe(true);
  await acquire(store, session);
  expect(await run(store, breakLock(old, { by: "a", reason: "b", nowMs: 0, lease: session }))).toBe(false);
});

test("a release takes a waiting session out of the queue; a session that neither holds nor waits is rejected", async () => {
  await using store = openMemoryStore(testHost());
  const [holder, other] = [(await store.grant(60)).id, (await store.grant(60)).id];
  await acquire(store, holder);
  const rejected = releaseLock(await seen(store), { session: other, nowMs: 0 });
  expect(rejected.result).toMatchObject({ code: "LOCKS_NOT_HELD", extra: { holder } });
  expect((rejected.result as AppError).message).toContain("another session holds it");
  // The rejection is valid while its comparisons hold, and no longer once the session waits.
  expect(await run(store, rejected)).toBe(true);
  const asked = { session: other, value: undefined, lockDelaySeconds: undefined, nowMs: 0 };
  expect(await run(store, requestLock(await seen(store), asked))).toBe(true);
  expect(await run(store, rejected)).toBe(false);
  const leaving = releaseLock(await seen(store), { session: other, nowMs: 0 });
  expect(leaving.result).toBe("waiter");
  expect(await run(store, leaving)).toBe(true);
  const after = await seen(store);
  expect([after.holder?.session, queuePlaceOf(after, other)]).toEqual([holder, 0]);
  expect(await run(store, releaseLock(await seen(store), { session: holder, nowMs: 0 }))).toBe(true);
  const free = releaseLock(await seen(store), { session: holder, nowMs: 0 }).result as AppError;
  expect(free.message).toContain("it has no holder");
  expect(free.extra).not.toHaveProperty("holder");
});

const entry = (key: string, value: object, revision: number, lease?: string): BookEntry => ({
  key,
  value: encodeJson(value),
  createRevision: revision,
  modRevision: revision,
  ...(lease === undefined ? {} : { lease }),
});
const waiter = (session: string, revision: number) =>
  entry(waiterKey(LEADER, session), { lockDelaySeconds: 5, sinceMs: 0 }, revision, session);

test("a queue accepts exactly the maximum of waiters, and a waiter in a full queue may still change its value", () => {
  const book = new Book();
  const asking = { session: "last", value: "v", lockDelaySeconds: undefined, nowMs: 0 };
  book.reset(Array.from({ length: LOCK_WAITERS_MAX - 1 }, (_, i) => waiter(`s${i}`, i + 1)));
  expect(requestLock(book.lock(LEADER), asking)).toMatchObject({ then: [{ type: "put" }], result: undefined });
  book.apply([{ type: "put", entry: waiter("last", LOCK_WAITERS_MAX) }]);
  expect([book.waiting, queuePlaceOf(book.lock(LEADER), "last")]).toEqual([LOCK_WAITERS_MAX, LOCK_WAITERS_MAX]);
  expect(requestLock(book.lock(LEADER), { ...asking, session: "more" })).toMatchObject({
    then: [],
    result: { code: "LOCKS_QUEUE_FULL" },
  });
  expect(requestLock(book.lock(LEADER), asking)).toMatchObject({ then: [{ type: "put" }], result: undefined });
});

function held(): Book {
  const book = new Book();
  book.reset([
    entry(holderKey(LEADER), { value: "v" }, 7, "one"),
    entry(markKey(LEADER), { session: "one", lockDelaySeconds: 5, sinceMs: 0 }, 7),
    waiter("two", 3),
    waiter("three", 4),
  ]);
  return book;
}

test("a holder that disappears without a record has lapsed; a broken, released or succeeded one has not", () => {
  const gone = { type: "delete", key: holderKey(LEADER), modRevision: 9 } as const;
  const broken = { by: "admin", reason: "r", session: "one", token: 7, atMs: 0 };
  expect(held().apply([gone])).toMatchObject([{ state: true, lapsed: true, acquired: false, left: [] }]);
  const breaking = [gone, { type: "put", entry: entry(breakKey(LEADER), broken, 9, "x") } as const];
  expect(held().apply(breaking)).toMatchObject([{ state: true, lapsed: false, acquired: false }]);
  const released = [gone, { type: "delete", key: markKey(LEADER), modRevision: 9 } as const];
  expect(held().apply(released)).toMatchObject([{ state: true, lapsed: false, acquired: false }]);
  const followed = [
    { type: "put", entry: entry(holderKey(LEADER), {}, 9, "two") },
    { type: "put", entry: entry(markKey(LEADER), { session: "two", lockDelaySeconds: 5, sinceMs: 0 }, 9) },
    { type: "delete", key: waiterKey(LEADER, "two"), modRevision: 9 },
  ] as const;
  expect(held().apply(followed)).toMatchObject([{ state: true, lapsed: false, acquired: true, left: ["two"] }]);
});

test("counts, places and the last change follow what happens, and what is over is forgotten", () => {
  const book = held();
  const lock = () => book.lock(LEADER);
  expect([book.held, book.waiting, lock().changed]).toEqual([1, 2, 7]);
  expect([queuePlaceOf(lock(), "two"), queuePlaceOf(lock(), "three"), queuePlaceOf(lock(), "one")]).toEqual([1, 2, 0]);
  // A new value of a waiter does not concern subscribers of the lock, and does not cost the waiter its place.
  const [change] = book.apply([{ type: "put", entry: { ...waiter("two", 3), modRevision: 8 } }]);
  expect([change?.state, change?.acquired, queuePlaceOf(lock(), "two"), lock().changed]).toEqual([false, false, 1, 8]);
  book.apply([
    { type: "delete", key: waiterKey(LEADER, "two"), modRevision: 9 },
    { type: "delete", key: waiterKey(LEADER, "three"), modRevision: 9 },
    { type: "delete", key: holderKey(LEADER), modRevision: 10 },
  ]);
  expect([book.held, book.waiting, [...book.locks()].length]).toEqual([0, 0, 1]);
  book.apply([{ type: "delete", key: markKey(LEADER), modRevision: 11 }]);
  expect([[...book.locks()].length, lock().changed]).toEqual([0, 0]);
});

test("a book starts empty, and a new listing replaces everything that it counted before", () => {
  const book = new Book();
  expect([book.held, book.waiting, book.lock(LEADER).changed]).toEqual([0, 0, 0]);
  for (const round of [1, 2]) {
    book.reset([entry(holderKey(LEADER), {}, 7, "one"), waiter("two", 8)]);
    expect([round, book.held, book.waiting]).toEqual([round, 1, 1]);
  }
  book.reset([]);
  expect([book.held, book.waiting, [...book.locks()]]).toEqual([0, 0, []]);
});

test("saying the same again writes nothing, and another value does", () => {
  const lock = held().lock(LEADER);
  const say = (session: string, value: string | undefined) =>
    requestLock(lock, { session, value, lockDelaySeconds: undefined, nowMs: 9 });
  expect(say("one", "v")).toMatchObject({ then: [], result: 7 });
  expect(say("one", undefined)).toMatchObject({ then: [], result: 7 });
  expect(say("one", "w")).toMatchObject({ then: [{ type: "put", key: holderKey(LEADER), lease: "one" }], result: 7 });
  expect(say("two", undefined).then).toEqual([]);
  expect(say("two", "w").then).toMatchObject([{ type: "put", key: waiterKey(LEADER, "two"), lease: "two" }]);
  const delay = requestLock(lock, { session: "two", value: undefined, lockDelaySeconds: 6, nowMs: 9 });
  expect(delay.then).toMatchObject([{ type: "put" }]);
});

test("a lock without a holder is due: at once for a waiter, and after the delay if a mark is left", () => {
  const dueOf = (...entries: BookEntry[]) => {
    const book = new Book();
    book.reset(entries);
    return grantDue(book.lock(LEADER));
  };
  const holder = entry(holderKey(LEADER), {}, 7, "one");
  const mark = entry(markKey(LEADER), { session: "one", lockDelaySeconds: 5, sinceMs: 0 }, 7);
  expect([dueOf(), dueOf(holder, mark), dueOf(holder, mark, waiter("two", 8))]).toEqual(["no", "no", "no"]);
  expect([dueOf(mark), dueOf(mark, waiter("two", 8)), dueOf(waiter("two", 8))]).toEqual([
    "after delay",
    "after delay",
    "now",
  ]);
});

test("a lock is not granted while it is held, nor without waiters, and a leftover mark is deleted", () => {
  const none = { when: [], then: [] };
  expect(grantLock(held().lock(LEADER), 0)).toMatchObject(none);
  expect(grantLock(new Book().lock(LEADER), 0)).toMatchObject(none);
  const book = new Book();
  book.reset([entry(markKey(LEADER), { session: "one", lockDelaySeconds: 5, sinceMs: 0 }, 7)]);
  expect(grantLock(book.lock(LEADER), 0).then).toEqual([{ type: "delete", key: markKey(LEADER) }]);
});

test("a broken lock is remembered as such for as long as its record exists", () => {
  const book = new Book();
  const record = { by: "admin", reason: "r", session: "one", token: 7, atMs: 0 };
  book.reset([entry(breakKey(LEADER), record, 9, "x")]);
  expect([[...book.locks()].length, book.lock(LEADER).broken]).toEqual([1, record]);
  const [change] = book.apply([{ type: "delete", key: breakKey(LEADER), modRevision: 10 }]);
  expect([[...book.locks()].length, change?.lapsed, change?.state]).toEqual([0, false, false]);
});
