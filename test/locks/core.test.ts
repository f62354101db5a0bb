/**
 * The core of locks under any order of things: members whose books are behind by any number of revisions plan on one
 * store, sessions end at any moment, and of every revision it is judged whether it was allowed.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { AppError } from "#base";
import { Book, queueHeadOf, queuePlaceOf, type LockFacts } from "../../locks/core/book.ts";
import { requestLock, grantDue, grantLock, releaseLock, type LockPlan } from "../../locks/core/commands.ts";
import { holderKey, lockId, markKey, parseLockKey, waiterKey } from "../../locks/core/keys.ts";
import { openMemoryStore, type Store, type WatchBatch } from "#store";
import { testHost } from "#test/kit";
import { LEADER } from "./kit.ts";

const MEMBERS = 3;
const SESSIONS = 5;
const LONG_SECONDS = 1000;

type Step =
  | { readonly do: "ask" | "release" | "release late"; readonly member: number; readonly session: number }
  | { readonly do: "lapse"; readonly session: number }
  | { readonly do: "see"; readonly member: number; readonly batches: number }
  /** The member has waited for as long as the delay of what it misses. */
  | { readonly do: "rest"; readonly member: number }
  | { readonly do: "give"; readonly member: number };

const member = fc.nat({ max: MEMBERS - 1 });
const session = fc.nat({ max: SESSIONS - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("ask"), member, session }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release"), member, session }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("release late"), member, session }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lapse"), session }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("see"), member, batches: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("rest"), member }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("give"), member }) },
) as fc.Arbitrary<Step>;

/** A member's view, and the missing holder whose delay it has waited out. */
interface Member {
  readonly book: Book;
  seen: number;
  rested: number;
}

class World implements AsyncDisposable {
  readonly #store: Store = openMemoryStore(testHost());
  readonly #log: WatchBatch[] = [];
  readonly #stop = new AbortController();
  readonly members: Member[] = Array.from({ length: MEMBERS }, () => ({ book: new Book(), seen: 0, rested: 0 }));
  readonly sessions: string[] = [];
  /** The last session that ended, in each place; it may still believe that it holds the lock. */
  readonly ended: string[] = [];
  /** As the store has it, judged revision by revision. */
  readonly truth = new Book();
  readonly tokens: number[] = [];
  #judged = 0;

  async open(): Promise<void> {
    void this.#record();
    while (this.sessions.length < SESSIONS) this.sessions.push((await this.#store.grant(LONG_SECONDS)).id);
  }

  async #record(): Promise<void> {
    const { signal } = this.#stop;
    for await (const batch of this.#store.watch({ prefix: "/locks/", after: 1, signal })) {
      if (batch.events.length > 0) this.#log.push(batch);
    }
  }

  get lock(): LockFacts {
    return this.truth.lock(LEADER);
  }

  /** Takes what was just written into the truth; `by` says whose release it is, if it is one. */
  async judge(by?: string): Promise<void> {
    const { revision } = await this.#store.status();
    const last = () => this.#log.at(-1)?.revision ?? 1;
    while (last() < revision) await new Promise((resolve) => setImmediate(resolve));
    for (const { events, revision } of this.#log.slice(this.#judged)) {
      this.#judged++;
      const before = { ...this.lock, head: queueHeadOf(this.lock) };
      this.truth.apply(events);
      const { holder, mark } = this.lock;
      if (holder) expect(mark?.session, "a holder has its mark").toBe(holder.session);
      expect(queuePlaceOf(this.lock, holder?.session ?? ""), "a holder of a lock does not wait for it").toBe(0);
      if (before.mark && !mark) {
        if (before.holder) expect(by, "only the holder can release").toBe(before.holder.session);
        else expect(this.#rested(before.mark.modRevision), "a mark is kept for its delay").toBe(true);
      }
      if (!holder || before.mark?.modRevision === mark?.modRevision) continue;
      expect(holder.session, "the first in the queue is next").toBe(before.head?.session);
      if (before.holder)
        expect(by, "a lock with a holder passes on only by the holder's release").toBe(before.holder.session);
      else if (before.mark) expect(this.#rested(before.mark.modRevision), "the delay is over").toBe(true);
      expect(mark?.modRevision, "the token is the revision").toBe(revision);
      expect(revision, "tokens grow").toBeGreaterThan(this.tokens.at(-1) ?? 0);
      this.tokens.push(revision);
    }
  }

  #rested(mark: number): boolean {
    return this.members.some(({ rested }) => rested === mark);
  }

  /** Hands a member the next revisions. */
  see(member: Member, batches: number): void {
    for (const { events } of this.#log.slice(member.seen, member.seen + batches)) member.book.apply(events);
    member.seen = Math.min(member.seen + batches, this.#log.length);
  }

  seeAll(member: Member): void {
    this.see(member, this.#log.length);
  }

  async try<T>({ when, then, result }: LockPlan<T>, by?: string): Promise<{ held: boolean; result: T | AppError }> {
    const { succeeded } = await this.#store.txn({ when, then });
    await this.judge(succeeded ? by : undefined);
    return { held: succeeded, result };
  }

  async lapse(session: number): Promise<void> {
    this.ended[session] = this.sessions[session] as string;
    await this.#store.revoke(this.ended[session]);
    this.sessions[session] = (await this.#store.grant(LONG_SECONDS)).id;
    await this.judge();
  }

  async leftovers(): Promise<string[]> {
    return (await this.#store.range({ prefix: "/locks/" })).entries.map(({ key }) => key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#store[Symbol.asyncDispose]();
  }
}

async function take(world: World, step: Step): Promise<void> {
  if (step.do === "lapse") return world.lapse(step.session);
  const member = world.members[step.member] as Member;
  const lock = member.book.lock(LEADER);
  if (step.do === "see") return world.see(member, step.batches);
  if (step.do === "rest") {
    if (grantDue(lock) === "after delay") member.rested = lock.mark?.modRevision ?? 0;
    return;
  }
  if (step.do === "give") {
    const is = grantDue(lock);
    if (is === "now" || (is === "after delay" && member.rested === lock.mark?.modRevision))
      await world.try(grantLock(lock, 0));
    return;
  }
  const session = (step.do === "release late" ? world.ended : world.sessions)[step.session];
  if (session === undefined) return;
  if (step.do !== "ask") {
    const { held, result } = await world.try(releaseLock(lock, { session, nowMs: 0 }), session);
    if (!held) return;
    expect(world.lock.holder?.session, "who let go holds nothing").not.toBe(session);
    expect(queuePlaceOf(world.lock, session), "and waits for nothing").toBe(0);
    if (!(result instanceof AppError)) expect(["holder", "waiter"]).toContain(result);
    return;
  }
  const asked = { session, value: undefined, lockDelaySeconds: undefined, nowMs: 0 };
  const { held, result } = await world.try(requestLock(lock, asked));
  if (!held) return;
  if (result === undefined) expect(queuePlaceOf(world.lock, session), "who asked has a place").toBeGreaterThan(0);
  else expect([world.lock.holder?.session, world.lock.mark?.modRevision]).toEqual([session, result]);
}

test("whatever outdated members do, a lock has one holder, waiters are served in order, and tokens grow", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), async (steps) => {
      await using world = new World();
      await world.open();
      for (const step of steps) await take(world, step);
      // Then one member tidies up: every waiter has its turn, in order, and nothing is left.
      const [caretaker] = world.members as [Member];
      const order = [...world.lock.queue.keys()];
      const served: string[] = [];
      const first = world.lock.holder?.session;
      for (let turn = 0; (await world.leftovers()).length > 0; turn++) {
        expect(turn, "it comes to an end").toBeLessThan(2 * SESSIONS + 2);
        world.seeAll(caretaker);
        const lock = caretaker.book.lock(LEADER);
        if (lock.holder) {
          const { session } = lock.holder;
          served.push(session);
          expect((await world.try(releaseLock(lock, { session, nowMs: 0 }), session)).held).toBe(true);
        } else {
          caretaker.rested = lock.mark?.modRevision ?? 0;
          expect((await world.try(grantLock(lock, 0))).held).toBe(true);
        }
      }
      expect(served).toEqual(first === undefined ? order : [first, ...order]);
    }),
    { numRuns: 500 },
  );
});

test("a member that missed a whole acquisition cannot give the lock to a later waiter, nor twice", async () => {
  await using world = new World();
  await world.open();
  const [late, quick] = world.members as [Member, Member];
  const [a, b, c] = world.sessions as [string, string, string];
  const asks = (session: string) => ({ session, value: undefined, lockDelaySeconds: undefined, nowMs: 0 });
  await world.try(requestLock(late.book.lock(LEADER), asks(c)));
  world.seeAll(late);
  // `late` is about to give the lock to c, and sees nothing of what follows.
  const stale = grantLock(late.book.lock(LEADER), 0);
  world.seeAll(quick);
  await world.try(grantLock(quick.book.lock(LEADER), 0));
  world.seeAll(quick);
  await world.try(requestLock(quick.book.lock(LEADER), asks(b)));
  await world.try(releaseLock(quick.book.lock(LEADER), { session: c, nowMs: 0 }), c);
  world.seeAll(quick);
  await world.try(requestLock(quick.book.lock(LEADER), asks(a)));
  await world.try(requestLock(quick.book.lock(LEADER), asks(c)));
  expect((await world.try(stale)).held).toBe(false);
});

test("a member that waited out an earlier lapse cannot shorten the delay of a later one", async () => {
  await using world = new World();
  await world.open();
  const [late, quick] = world.members as [Member, Member];
  const asks = (session: string) => ({ session, value: undefined, lockDelaySeconds: undefined, nowMs: 0 });
  const hold = async (session: number) => {
    await world.try(requestLock(quick.book.lock(LEADER), asks(world.sessions[session] as string)));
    world.seeAll(quick);
    quick.rested = quick.book.lock(LEADER).mark?.modRevision ?? 0;
    await world.try(grantLock(quick.book.lock(LEADER), 0));
    world.seeAll(quick);
  };
  await hold(0);
  await world.lapse(0);
  world.seeAll(late);
  const stale = grantLock(late.book.lock(LEADER), 0);
  world.seeAll(quick);
  await hold(1);
  await world.lapse(1);
  expect((await world.try(stale)).held).toBe(false);
  expect([world.lock.holder, world.lock.mark !== undefined]).toEqual([undefined, true]);
});

test("a key says what it is about, and one of a later version is passed over", () => {
  const deep = { namespace: "prod", name: "a/b/c" };
  expect(parseLockKey(holderKey(deep))).toEqual({ kind: "holder", lock: deep });
  expect(parseLockKey(markKey(deep))).toEqual({ kind: "mark", lock: deep });
  expect(parseLockKey(waiterKey(deep, "42"))).toEqual({ kind: "waiter", lock: deep, session: "42" });
  expect(lockId(deep)).toBe("prod/a/b/c");
  for (const key of [
    "/locks/",
    "/locks/shares/prod/a",
    "/locks/holders/prod",
    "/locks/holders//a",
    "/locks/holders/prod/a/b",
    "/locks/queue/prod/a",
    "/locks/queue/prod/a/b/c",
  ]) {
    expect(parseLockKey(key)).toBeUndefined();
  }
});

test("a book that is listed again keeps the order of the queue, whatever the order of the keys", () => {
  const value = new TextEncoder().encode(`{"lockDelaySeconds":0,"sinceMs":0}`);
  const entry = (session: string, createRevision: number) => ({
    key: waiterKey(LEADER, session),
    value,
    createRevision,
    modRevision: createRevision + 10,
    lease: session,
  });
  const book = new Book();
  book.reset([entry("a", 9), entry("b", 5), entry("c", 7)]);
  expect([...book.lock(LEADER).queue.keys()]).toEqual(["b", "c", "a"]);
  expect([queuePlaceOf(book.lock(LEADER), "c"), queuePlaceOf(book.lock(LEADER), "x"), book.waiting]).toEqual([2, 0, 3]);
});
