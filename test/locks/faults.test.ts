/** Locks when a store refuses for a while, and when a server is started again over what it left. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { openMemoryStore, openStore, StoreErrors, type Store } from "#store";
import { eventually, tempFolder, testHost } from "#test/kit";
import { countingStore, LEADER, leftovers, queued, startMember } from "./kit.ts";

/** A store that can be switched to refuse every transaction. */
function refusingStore(store: Store): Store & { refuses: boolean } {
  const inner = countingStore(store);
  const refusing = {
    ...inner,
    refuses: false,
    async txn(request: Parameters<Store["txn"]>[0]) {
      if (refusing.refuses) throw StoreErrors.UNAVAILABLE("The store is away.");
      return inner.txn(request);
    },
  };
  return refusing;
}

test("a lock whose time comes while the store refuses is given away once it does not", async () => {
  await using memory = openMemoryStore(testHost());
  const store = refusingStore(memory);
  const host = testHost();
  await using member = await startMember(store, host);
  const open = async () => (await store.grant(300)).id;
  const [a, b] = [await open(), await open()];
  await member.locks.acquire(LEADER, { session: a, lockDelaySeconds: 0 });
  const waiting = member.locks.acquire(LEADER, { session: b, waitSeconds: 30 });
  await queued(member, 1);
  store.refuses = true;
  await store.revoke(a);
  await expect(member.locks.acquire(LEADER, { session: b })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  await expect(member.locks.release(LEADER, b)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  await eventually("it was tried", () =>
    host.log.lines.some(({ message }) => message.includes("lock not granted yet")),
  );
  store.refuses = false;
  expect(await waiting).toMatchObject({ acquired: true, holder: { session: b } });
});

test("a server started again finds holder, queue and delay as they were", async () => {
  await using folder = await tempFolder();
  const openLmdb = () => openStore(testHost(), { engine: "lmdb", folder: join(folder.path, "store") });
  let a: string;
  let b: string;
  let token: number | undefined;
  {
    await using store = await openLmdb();
    await using member = await startMember(store);
    [a, b] = [(await store.grant(1)).id, (await store.grant(300)).id];
    ({ token } = await member.locks.acquire(LEADER, { session: a, value: "a", lockDelaySeconds: 1 }));
    await member.locks.acquire(LEADER, { session: b, value: "b" });
  }
  const begunMs = performance.now();
  await using store = await openLmdb();
  await using member = await startMember(store);
  // Its lease runs again from the start of the store, so the holder is here still, or has just gone.
  const { holder, waiters } = member.locks.get(LEADER);
  expect([token, undefined]).toContain(holder?.token);
  expect(waiters.map(({ session }) => session)).toEqual([b]);
  const answer = await member.locks.acquire(LEADER, { session: b, waitSeconds: 30 });
  expect(answer).toMatchObject({ acquired: true, holder: { session: b, value: "b" } });
  expect(answer.token).toBeGreaterThan(token ?? Infinity);
  // A second of the lease, and then a second of the delay.
  expect(performance.now() - begunMs).toBeGreaterThanOrEqual(2_000);
  await member.locks.release(LEADER, b);
  expect(await leftovers(store)).toEqual([]);
});

test("a member that goes away while the next one waits on it leaves the lock to another", async () => {
  await using store = openMemoryStore(testHost());
  await using one = await startMember(store, testHost({ seed: 1 }));
  const two = await startMember(store, testHost({ seed: 2 }));
  const open = async () => (await store.grant(300)).id;
  const [a, b] = [await open(), await open()];
  await one.locks.acquire(LEADER, { session: a, lockDelaySeconds: 0 });
  const waiting = two.locks.acquire(LEADER, { session: b, waitSeconds: 30 });
  await queued(one, 1);
  await two[Symbol.asyncDispose]();
  expect(await waiting).toMatchObject({ acquired: false, place: 1 });
  await store.revoke(a);
  const answer = await one.locks.acquire(LEADER, { session: b, waitSeconds: 30 });
  expect(answer).toMatchObject({ acquired: true, holder: { session: b } });
});
