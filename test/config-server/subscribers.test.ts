/**
 * Subscribers of a config: stored while they follow and a little longer, under their member's lease, visible on every
 * member.
 */
import { expect, test } from "vitest";
import { TaskGroup } from "#base";
import { Subscribers } from "#config-server";
import { openMemoryStore, type Store } from "#store";
import { ManualClock, testHost } from "#test/kit";
import { LINGER_MS, type Member } from "../../config-server/rollouts/subscribers.ts";

const SET = { namespace: "default", app: "orders", profile: "default" };

/** A member whose lease is given and taken by hand. */
class HandMember implements Member {
  lease: string | undefined;
  readonly id: string;
  readonly #listeners = new Set<() => void>();

  constructor(id: string) {
    this.id = id;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  has(lease: string | undefined): void {
    this.lease = lease;
    for (const listener of this.#listeners) listener();
  }
}

async function rig() {
  const stack = new AsyncDisposableStack();
  const host = testHost({ clock: new ManualClock() });
  const store = stack.use(openMemoryStore(host));
  const tasks = stack.use(new TaskGroup(host.log));
  const join = async (id: string, lease = true): Promise<{ member: HandMember; subscribers: Subscribers }> => {
    const member = new HandMember(id);
    if (lease) member.lease = (await store.grant(60)).id;
    const subscribers = new Subscribers(host, store, member);
    tasks.run(id, (signal) => subscribers.run(signal));
    return { member, subscribers };
  };
  /** Lets what has just begun reach its first timer before time moves on. */
  const pass = async (ms: number) => {
    await host.clock.advance(0);
    await host.clock.advance(ms);
  };
  return { stack, store, join, pass };
}

const names = (subscribers: Subscribers) => [...subscribers.of(SET).keys()];
const writes = async (store: Store) => (await store.status()).revision;

test("a subscriber is known to every member, once for all its watches, and for a while after the last has ended", async () => {
  const { stack, store, join, pass } = await rig();
  await using _ = stack;
  const { subscribers: one } = await join("one");
  const { subscribers: two } = await join("two");
  const leave = one.attach(SET, "web-1", { labels: { zone: "eu" }, by: "agent:a" });
  const again = one.attach(SET, "web-1", { labels: { zone: "eu" }, by: "agent:a" });
  await pass(1_000);
  expect([names(one), names(two)]).toEqual([["web-1"], ["web-1"]]);
  expect(two.of(SET).get("web-1")?.labels).toEqual({ zone: "eu" });
  expect([...two.sets()]).toEqual(["default/orders/default"]);
  const written = await writes(store);
  leave();
  leave();
  await pass(LINGER_MS * 2);
  expect(names(two), "another watch of it is open").toEqual(["web-1"]);
  again();
  await pass(LINGER_MS - 1_000);
  const back = one.attach(SET, "web-1", { labels: { zone: "eu" }, by: "agent:a" });
  await pass(LINGER_MS * 2);
  expect(names(two), "it came back in time").toEqual(["web-1"]);
  expect(await writes(store), "which cost nothing").toBe(written);
  back();
  await pass(LINGER_MS + 1_000);
  expect([names(one), names(two)]).toEqual([[], []]);
});

test("a thousand that come at once share transactions", async () => {
  const { stack, store, join, pass } = await rig();
  await using _ = stack;
  const { subscribers } = await join("one");
  await pass(100);
  const before = await writes(store);
  for (let n = 0; n < 1_000; n++) subscribers.attach(SET, `web-${n}`, { labels: {}, by: "agent:a" });
  await pass(1_000);
  expect(names(subscribers)).toHaveLength(1_000);
  expect((await writes(store)) - before).toBeLessThanOrEqual(10);
});

test("a member without a lease stores its subscribers later, and a member with a new lease stores them again", async () => {
  const { stack, store, join, pass } = await rig();
  await using _ = stack;
  const { member, subscribers } = await join("one", false);
  subscribers.attach(SET, "web-1", { labels: {}, by: "agent:a" });
  await pass(3_000);
  expect(names(subscribers)).toEqual([]);
  const first = (await store.grant(60)).id;
  member.has(first);
  await pass(10_000);
  expect(names(subscribers)).toEqual(["web-1"]);
  await store.revoke(first);
  await pass(1_000);
  expect(names(subscribers), "it went with the lease").toEqual([]);
  member.has((await store.grant(60)).id);
  await pass(1_000);
  expect(names(subscribers)).toEqual(["web-1"]);
});
