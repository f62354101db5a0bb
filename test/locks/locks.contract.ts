/**
 * The guarantees of locks on every store: one holder, the order of requests, a delay after a lapse, and tokens that
 * grow. One function, three callers; each test has a store of its own, and two members where it matters.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Host } from "#base";
import type { LockAnswer, LockRequest } from "#locks/api";
import type { Store } from "#store";
import { eventually, testHost } from "#test/kit";
import { countingStore, LEADER, leftovers, queued, startMember, type Member } from "./kit.ts";

export interface LocksUnderTest {
  /** An empty store, apart from all others that this opens. */
  open(host: Host): Promise<Store>;
  /** The shortest time to live that the engine grants. */
  readonly ttlSecondsMin: number;
  close?(): PromiseLike<void>;
}

/** Long enough never to lapse in a test. */
const LONG_SECONDS = 300;
const WAIT_SECONDS = 30;

export function locksContract(name: string, prepare: () => Promise<LocksUnderTest>): void {
  describe(`locks over ${name}`, () => {
    let under: LocksUnderTest;
    beforeAll(async () => {
      under = await prepare();
    });
    afterAll(async () => {
      await under.close?.();
    });

    /** Two members over one store, and sessions on it. */
    async function cluster() {
      await using stack = new AsyncDisposableStack();
      const store = countingStore(stack.use(await under.open(testHost())));
      const one = stack.use(await startMember(store, testHost({ seed: 1 })));
      const two = stack.use(await startMember(store, testHost({ seed: 2 })));
      const owned = stack.move();
      return {
        store,
        one,
        two,
        open: async (ttlSeconds = LONG_SECONDS) => (await store.grant(ttlSeconds)).id,
        [Symbol.asyncDispose]: () => owned.disposeAsync(),
      };
    }
    const take = ({ locks }: Member, session: string, rest: Partial<LockRequest> = {}): Promise<LockAnswer> =>
      locks.acquire(LEADER, { session, ...rest });

    test("a free lock is acquired at once, with the revision of that as its token", async () => {
      await using plane = await cluster();
      const session = await plane.open();
      const answer = await take(plane.one, session, { value: "10.0.0.1:80" });
      expect(answer).toMatchObject({ acquired: true, holder: { session, value: "10.0.0.1:80", lockDelaySeconds: 15 } });
      expect(answer.token).toBe(answer.holder?.token);
      expect((await plane.store.status()).revision).toBe(answer.token);
    });

    test("asking again changes nothing: a holder keeps its token, a waiter its place", async () => {
      await using plane = await cluster();
      const [a, b, c] = [await plane.open(), await plane.open(), await plane.open()];
      const first = await take(plane.one, a);
      await take(plane.one, b);
      await take(plane.two, c);
      const { revision } = await plane.store.status();
      expect(await take(plane.two, a)).toMatchObject({ acquired: true, token: first.token });
      expect(await take(plane.two, b)).toMatchObject({ acquired: false, place: 1, holder: { session: a } });
      expect(await take(plane.one, c)).toMatchObject({ acquired: false, place: 2, holder: { session: a } });
      expect((await plane.store.status()).revision).toBe(revision);
    });

    test("a released lock goes to the first waiter, on any member, with a larger token", async () => {
      await using plane = await cluster();
      const sessions = [await plane.open(), await plane.open(), await plane.open(), await plane.open()];
      const order: string[] = [];
      const tokens: number[] = [];
      const [a, ...rest] = sessions as [string, ...string[]];
      tokens.push((await take(plane.one, a)).token ?? 0);
      const members = [plane.two, plane.one, plane.two];
      const waits: Promise<void>[] = [];
      const pass = async (member: Member, session: string) => {
        const { acquired, token } = await take(member, session, { waitSeconds: WAIT_SECONDS });
        expect(acquired).toBe(true);
        order.push(session);
        tokens.push(token ?? 0);
        // On the other member, which need not have seen yet that this one holds it.
        await (member === plane.one ? plane.two : plane.one).locks.release(LEADER, session);
      };
      for (const [index, session] of rest.entries()) {
        const member = members[index] as Member;
        waits.push(pass(member, session));
        await queued(plane.one, index + 1);
      }
      await plane.one.locks.release(LEADER, a);
      await Promise.all(waits);
      expect(order).toEqual(rest);
      expect(tokens).toEqual([...new Set(tokens)].sort((x, y) => x - y));
      await eventually("nothing is left", async () => (await leftovers(plane.store)).length === 0);
    });

    test("of twenty sessions that ask two members at once exactly one holds it, and all others queue", async () => {
      await using plane = await cluster();
      const sessions = await Promise.all(Array.from({ length: 20 }, () => plane.open()));
      const answers = await Promise.all(
        sessions.map((session, index) => take(index % 2 === 0 ? plane.one : plane.two, session)),
      );
      await eventually("one holds it", () => plane.one.locks.get(LEADER).waiting === 19);
      const holder = plane.one.locks.get(LEADER).holder?.session;
      expect(answers.filter(({ acquired }) => acquired).map(({ holder: { session = "" } = {} }) => session)).toEqual(
        answers.some(({ acquired }) => acquired) ? [holder] : [],
      );
      expect(sessions).toContain(holder);
    });

    test("a holder says another value and keeps lock and token; a waiter brings its value along", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      const first = await take(plane.one, a, { value: "old" });
      const again = await take(plane.two, a, { value: "new" });
      expect(again).toMatchObject({ acquired: true, token: first.token, holder: { value: "new" } });
      expect(await take(plane.one, a)).toMatchObject({ acquired: true, holder: { value: "new" } });
      await take(plane.one, b, { value: "b" });
      await take(plane.two, b, { value: "b2", lockDelaySeconds: 3 });
      await plane.one.locks.release(LEADER, a);
      await eventually("b holds it", () => plane.two.locks.get(LEADER).holder?.session === b);
      expect(plane.two.locks.get(LEADER).holder).toMatchObject({ value: "b2", lockDelaySeconds: 3 });
    });

    test("a waiter that gives up leaves the queue, and the one behind it is next", async () => {
      await using plane = await cluster();
      const [a, b, c] = [await plane.open(), await plane.open(), await plane.open()];
      await take(plane.one, a);
      await take(plane.one, b);
      await take(plane.two, c);
      expect(await plane.two.locks.release(LEADER, b)).toMatchObject({ was: "waiter" });
      expect(await take(plane.two, c)).toMatchObject({ place: 1 });
      await plane.one.locks.release(LEADER, a);
      expect(await take(plane.one, c)).toMatchObject({ acquired: true });
    });

    test("a lock held by another session cannot be released, nor can a free one", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      await expect(plane.one.locks.release(LEADER, a)).rejects.toMatchObject({ code: "LOCKS_NOT_HELD", status: 409 });
      await take(plane.one, a);
      await expect(plane.two.locks.release(LEADER, b)).rejects.toMatchObject({ code: "LOCKS_NOT_HELD" });
      await plane.two.locks.release(LEADER, a);
      await expect(plane.one.locks.release(LEADER, a)).rejects.toMatchObject({ code: "LOCKS_NOT_HELD" });
    });

    test("a session that is gone can neither hold nor wait", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      await plane.store.revoke(b);
      await expect(take(plane.one, b)).rejects.toMatchObject({ code: "LOCKS_SESSION_NOT_FOUND", status: 404 });
      await take(plane.one, a);
      await expect(take(plane.two, b)).rejects.toMatchObject({ code: "LOCKS_SESSION_NOT_FOUND" });
    });

    test("a lock whose holder's session ended rests for its delay, then goes to the next one that still waits", async () => {
      await using plane = await cluster();
      const [a, b, c] = [await plane.open(), await plane.open(), await plane.open()];
      const first = await take(plane.one, a, { lockDelaySeconds: 1 });
      await take(plane.one, b);
      const waiting = take(plane.two, c, { waitSeconds: WAIT_SECONDS });
      await queued(plane.one, 2);
      const endedMs = performance.now();
      await plane.store.revoke(a);
      await eventually("seen to rest", () => plane.two.locks.get(LEADER).delayedUntil !== undefined);
      expect(plane.two.locks.get(LEADER).holder).toBeUndefined();
      // A newcomer waits behind the others, rest or no rest.
      expect(await take(plane.one, await plane.open())).toMatchObject({ acquired: false, place: 3 });
      await plane.store.revoke(b);
      const answer = await waiting;
      expect(performance.now() - endedMs).toBeGreaterThanOrEqual(1000);
      expect(answer).toMatchObject({ acquired: true, holder: { session: c } });
      expect(answer.token).toBeGreaterThan(first.token ?? Infinity);
    });

    test("a session that falls silent loses its lock by itself", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(under.ttlSecondsMin), await plane.open()];
      await take(plane.one, a, { lockDelaySeconds: 0 });
      const answer = await take(plane.two, b, { waitSeconds: WAIT_SECONDS });
      expect(answer).toMatchObject({ acquired: true, holder: { session: b } });
    });

    test("a waiter without a pending request is still granted the lock, by one of the members", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      await take(plane.one, a, { lockDelaySeconds: 0 });
      await take(plane.one, b);
      await plane.store.revoke(a);
      await eventually("b holds it", () => plane.two.locks.get(LEADER).holder?.session === b);
    });

    test("a lapsed holder's leftovers are removed when the queue is empty", async () => {
      await using plane = await cluster();
      const a = await plane.open();
      await take(plane.one, a, { lockDelaySeconds: 0 });
      await plane.store.revoke(a);
      await eventually("nothing is left", async () => (await leftovers(plane.store)).length === 0);
      expect(plane.two.locks.get(LEADER)).toMatchObject({ waiting: 0, waiters: [] });
    });

    test("an operator breaks a lock: its delay runs, the next one has it, and it is remembered why", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      const first = await take(plane.one, a, { lockDelaySeconds: 1 });
      const waiting = take(plane.one, b, { waitSeconds: WAIT_SECONDS });
      await queued(plane.two, 1);
      const brokenMs = performance.now();
      const { broken } = await plane.two.locks.break(LEADER, { by: "operator", reason: "stuck" });
      expect(broken).toMatchObject({ by: "operator", reason: "stuck", session: a, token: first.token });
      expect(await waiting).toMatchObject({ acquired: true });
      expect(performance.now() - brokenMs).toBeGreaterThanOrEqual(1000);
      expect(plane.one.locks.get(LEADER).broken).toMatchObject({ reason: "stuck" });
      await plane.one.locks.release(LEADER, b);
      await expect(plane.one.locks.break(LEADER, { by: "operator", reason: "x" })).rejects.toMatchObject({
        code: "LOCKS_NOT_HELD",
      });
    });

    test("release and lapse at the same moment leave the lock to the next, once", async () => {
      await using plane = await cluster();
      for (let round = 0; round < 10; round++) {
        const [a, b] = [await plane.open(), await plane.open()];
        await take(plane.one, a, { lockDelaySeconds: 0 });
        const waiting = take(plane.two, b, { waitSeconds: WAIT_SECONDS });
        await queued(plane.one, 1);
        await Promise.allSettled([plane.one.locks.release(LEADER, a), plane.store.revoke(a)]);
        expect(await waiting).toMatchObject({ acquired: true, holder: { session: b } });
        await plane.two.locks.release(LEADER, b);
      }
      await eventually("nothing is left", async () => (await leftovers(plane.store)).length === 0);
    });

    test("a member that starts during a lock delay waits for the whole delay again", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      await take(plane.one, a, { lockDelaySeconds: 1 });
      await take(plane.one, b);
      // Both go; what they counted goes with them.
      await plane.one[Symbol.asyncDispose]();
      await plane.two[Symbol.asyncDispose]();
      await plane.store.revoke(a);
      const begunMs = performance.now();
      await using three = await startMember(plane.store);
      const answer = await take(three, b, { waitSeconds: WAIT_SECONDS });
      expect(answer.acquired).toBe(true);
      expect(performance.now() - begunMs).toBeGreaterThanOrEqual(1000);
    });

    test("a lock and one whose name goes on from it have nothing to do with each other", async () => {
      await using plane = await cluster();
      const [a, b] = [await plane.open(), await plane.open()];
      const outer = { namespace: "default", name: "orders" };
      expect(await plane.one.locks.acquire(outer, { session: a })).toMatchObject({ acquired: true });
      expect(await take(plane.one, b)).toMatchObject({ acquired: true });
      expect(await plane.one.locks.acquire({ ...LEADER, namespace: "other" }, { session: a })).toMatchObject({
        acquired: true,
      });
      const { locks } = plane.one.locks.list({ namespace: "default", prefix: "orders", after: undefined, limit: 10 });
      expect(locks.map(({ name }) => name)).toEqual(["orders", "orders/leader"]);
    });

    test("a thousand wait, and a release costs one write and wakes one of them", async () => {
      await using plane = await cluster();
      const holder = await plane.open();
      await take(plane.one, holder);
      const sessions = await Promise.all(Array.from({ length: 1000 }, () => plane.open()));
      let woken = 0;
      const stop = new AbortController();
      const waits = sessions.map(async (session, index) => {
        const { locks } = index % 2 === 0 ? plane.one : plane.two;
        const answer = await locks.acquire(LEADER, { session, waitSeconds: 60 }, { signal: stop.signal });
        if (!stop.signal.aborted) woken++;
        return answer;
      });
      await queued(plane.one, 1000);
      await queued(plane.two, 1000);
      const next = plane.one.locks.get(LEADER).waiters[0]?.session;
      const before = { ...plane.store.counts, revision: (await plane.store.status()).revision };
      const { revision } = await plane.one.locks.release(LEADER, holder);
      await eventually("the next one was woken", () => woken === 1);
      await plane.two.locks.waitFor(revision);
      // Both members have received it, and have had a second for any unneeded action.
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(woken).toBe(1);
      expect(plane.one.locks.get(LEADER).holder?.session).toBe(next);
      expect(plane.store.counts).toEqual({ tried: before.tried + 1, written: before.written + 1 });
      expect((await plane.store.status()).revision).toBe(before.revision + 1);
      stop.abort();
      const answers = await Promise.all(waits);
      expect(answers.filter(({ acquired }) => acquired)).toHaveLength(1);
    }, 60_000);
  });
}
