/** The client's lock: it waits, holds, says when it is lost, and leaves nothing behind. */
import { expect, test } from "vitest";
import { Client, ClientErrors, injectTransport, type Transport } from "#client";
import { eventually, testHost, withControl } from "#test/kit";
import { LEADER, leftovers } from "./kit.ts";

const aborted = (signal: AbortSignal) => eventually("the lock is lost", () => signal.aborted);

test("a lock is handed from one client to the next, with tokens that grow, and nothing is left", async () => {
  await using control = await withControl();
  const tokens: number[] = [];
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      await using lock = await control.client.lock(LEADER);
      most = Math.max(most, ++inside);
      tokens.push(lock.token);
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(lock.signal.aborted).toBe(false);
      inside--;
    }),
  );
  expect(most).toBe(1);
  expect(tokens).toHaveLength(8);
  expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  expect(await leftovers(control.store)).toEqual([]);
});

test("a leader says where it is, and changes that without losing the lead", async () => {
  await using control = await withControl();
  await using lock = await control.client.lock(LEADER, { value: "10.0.0.1:80" });
  await lock.setValue("10.0.0.1:81");
  await eventually(
    "the value is visible",
    async () => (await control.client.locks.get(LEADER)).holder?.value === "10.0.0.1:81",
  );
  expect((await control.client.locks.get(LEADER)).holder?.token).toBe(lock.token);
  expect(lock.signal.aborted).toBe(false);
});

test("a holder is notified that an operator broke its lock, and the next waiter has it after the delay", async () => {
  await using control = await withControl();
  await using first = await control.client.lock(LEADER, { lockDelaySeconds: 0 });
  const next = control.client.lock(LEADER);
  await eventually("it waits", async () => (await control.client.locks.get(LEADER)).waiting === 1);
  await control.client.locks.break(LEADER, { reason: "stuck" });
  await aborted(first.signal);
  expect(ClientErrors.LOCK_LOST.is(first.signal.reason)).toBe(true);
  await using second = await next;
  expect(second.token).toBeGreaterThan(first.token);
  await first.release();
  expect((await control.client.locks.get(LEADER)).holder?.session).toBe(second.session);
});

test("a holder is notified that its session was ended", async () => {
  await using control = await withControl();
  await using lock = await control.client.lock(LEADER);
  await control.client.registry.closeSession(lock.session);
  await aborted(lock.signal);
  await expect(lock.setValue("x")).rejects.toMatchObject({ code: "CLIENT_LOCK_LOST" });
});

test("a holder that no server answers considers its lock lost, as the store does a little later", async () => {
  await using control = await withControl();
  let cut = false;
  const inner = injectTransport(control.app);
  const transport: Transport = {
    request: async (request) => {
      if (cut) throw ClientErrors.UNREACHABLE("cut off");
      return inner.request(request);
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const client = new Client(testHost(), { transport, token: control.token });
  await using lock = await client.lock(LEADER, { sessionSeconds: 2, lockDelaySeconds: 0 });
  const token = async () => (await control.client.locks.get(LEADER)).holder?.token;
  // Heartbeats keep it for longer than the session's time to live.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect([lock.signal.aborted, await token()]).toEqual([false, lock.token]);
  cut = true;
  await aborted(lock.signal);
  await eventually("the store's turn", async () => (await token()) === undefined);
  // Releasing a lost lock calls no server, and disposing throws nothing.
  await lock.release();
  cut = false;
  const again = await client.lock(LEADER, { sessionSeconds: 2, lockDelaySeconds: 0 });
  cut = true;
  await again[Symbol.asyncDispose]();
  await expect(again.release()).rejects.toMatchObject({ code: "CLIENT_UNREACHABLE" });
  cut = false;
});

test("a waiter that gives up leaves the queue, and its session is closed", async () => {
  await using control = await withControl();
  await using first = await control.client.lock(LEADER);
  const stop = new AbortController();
  const waiting = control.client.lock(LEADER, { signal: stop.signal });
  const gone = expect(waiting).rejects.toThrow("enough");
  await eventually("it waits", async () => (await control.client.locks.get(LEADER)).waiting === 1);
  stop.abort(new Error("enough"));
  await gone;
  await eventually("it left", async () => (await control.client.locks.get(LEADER)).waiting === 0);
  expect(first.signal.aborted).toBe(false);
});

test("a waiter whose session lapsed queues again with a new one; a permanent refusal is thrown", async () => {
  await using control = await withControl();
  const first = await control.client.lock(LEADER);
  const waiting = control.client.lock(LEADER);
  const session = await eventually("it waits", async () => {
    const { waiters } = await control.client.locks.get(LEADER);
    return waiters[0]?.session;
  });
  await control.client.registry.closeSession(session);
  await eventually("it waits again", async () => {
    const [waiter] = (await control.client.locks.get(LEADER)).waiters;
    return waiter !== undefined && waiter.session !== session;
  });
  await first.release();
  await using second = await waiting;
  expect(second.session).not.toBe(session);
  const refused = control.client.lock({ namespace: "default", name: "a//b" });
  await expect(refused).rejects.toMatchObject({ code: "HTTP_INVALID" });
});
