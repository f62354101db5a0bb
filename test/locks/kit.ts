/** A member: locks over a store that others may share. And a store that counts what is asked of it. */
import { TaskGroup, type Host } from "#base";
import { Locks } from "#locks";
import type { Store, TxnRequest } from "#store";
import { eventually, testHost } from "#test/kit";

export const LEADER = { namespace: "default", name: "orders/leader" };

export interface Member extends AsyncDisposable {
  readonly host: Host;
  readonly locks: Locks;
}

/** A member of a control plane that has read the store. */
export async function startMember(store: Store, host: Host = testHost()): Promise<Member> {
  await using stack = new AsyncDisposableStack();
  const locks = stack.use(new Locks(host, store));
  const tasks = stack.use(new TaskGroup(host.log));
  tasks.run("locks", (signal) => locks.run(signal));
  await locks.waitFor(1);
  const owned = stack.move();
  return { host, locks, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface CountingStore extends Store {
  /** Transactions that would write, and those of them that did. */
  readonly counts: { tried: number; written: number };
}

export function countingStore(store: Store): CountingStore {
  const counts = { tried: 0, written: 0 };
  const txn = async (request: TxnRequest) => {
    const writes = (request.then ?? []).some(({ type }) => type !== "range");
    if (writes) counts.tried++;
    const answer = await store.txn(request);
    if (writes && answer.succeeded) counts.written++;
    return answer;
  };
  return {
    counts,
    txn,
    range: (request) => store.range(request),
    watch: (request) => store.watch(request),
    grant: (ttlSeconds) => store.grant(ttlSeconds),
    keepAlive: (lease) => store.keepAlive(lease),
    revoke: (lease) => store.revoke(lease),
    compact: (through) => store.compact(through),
    status: () => store.status(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

/** Waits until so many wait for a lock. */
export async function queued({ locks }: Member, waiting: number, lock = LEADER): Promise<void> {
  await eventually(`${waiting} wait`, () => locks.get(lock).waiting === waiting);
}

/** The keys of locks that are left in a store, without the record of who broke one. */
export async function leftovers(store: Store): Promise<string[]> {
  const { entries } = await store.range({ prefix: "/locks/", keysOnly: true });
  return entries.map(({ key }) => key).filter((key) => !key.startsWith("/locks/breaks/"));
}
