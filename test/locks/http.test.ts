/** Locks through their API: what is answered, what is refused and how, who may, and how one follows a leader. */
import { expect, test } from "vitest";
import type { Frame } from "#http/frames";
import type { LockState } from "#locks/api";
import { eventually, ManualClock, testHost, withControl, type TestControl } from "#test/kit";
import { LEADER, leftovers } from "./kit.ts";

const PATH = "/v1/locks/orders%2Fleader";

async function openSession({ client }: TestControl, ttlSeconds = 300): Promise<string> {
  return (await client.registry.openSession(ttlSeconds)).id;
}

test("a lock is acquired, seen, updated, handed on and released, all over HTTP", async () => {
  await using control = await withControl();
  const [a, b] = [await openSession(control), await openSession(control)];
  const first = await control.call("PUT", PATH, { session: a, value: "10.0.0.1:80", lockDelaySeconds: 0 });
  expect([first.status, first.json["acquired"]]).toEqual([200, true]);
  const token = first.json["token"] as number;
  const second = await control.call("PUT", PATH, { session: b, value: "b" });
  expect(second.json).toMatchObject({ acquired: false, place: 1, holder: { session: a, value: "10.0.0.1:80", token } });
  expect(second.json["token"]).toBeUndefined();
  await control.call("PUT", PATH, { session: a, value: "10.0.0.1:81" });
  const seen = await control.call("GET", PATH);
  expect(seen.json).toMatchObject({
    ...LEADER,
    holder: { session: a, value: "10.0.0.1:81", token, lockDelaySeconds: 0 },
    waiting: 1,
    waiters: [{ session: b, value: "b" }],
  });
  const released = await control.call("DELETE", `${PATH}?session=${a}`);
  expect(released.json).toMatchObject({ was: "holder" });
  const after = await control.call("GET", `${PATH}?revision=${String(released.json["revision"])}`);
  expect(after.json).toMatchObject({ holder: { session: b, token: released.json["revision"] }, waiting: 0 });
  expect((await control.call("DELETE", `${PATH}?session=${a}`)).json).toMatchObject({
    status: 409,
    code: "LOCKS_NOT_HELD",
    holder: b,
  });
  await control.call("DELETE", `${PATH}?session=${b}`);
  expect(await leftovers(control.store)).toEqual([]);
});

test("waiting ends with the lock as soon as it is released, and without it when the time is over", async () => {
  await using control = await withControl();
  const [a, b, c] = [await openSession(control), await openSession(control), await openSession(control)];
  await control.client.locks.acquire(LEADER, { session: a });
  const b1 = control.client.locks.acquire(LEADER, { session: b, waitSeconds: 60 });
  await eventually("b waits", async () => (await control.client.locks.get(LEADER)).waiting === 1);
  const c1 = await control.client.locks.acquire(LEADER, { session: c, waitSeconds: 0.1 });
  expect(c1).toMatchObject({ acquired: false, place: 2 });
  await control.client.locks.release(LEADER, a);
  expect(await b1).toMatchObject({ acquired: true });
  expect(await control.client.locks.acquire(LEADER, { session: c })).toMatchObject({ acquired: false, place: 1 });
});

test("a closed session loses its locks and places, and its pending requests are answered", async () => {
  await using control = await withControl();
  const [a, b] = [await openSession(control), await openSession(control)];
  await control.client.locks.acquire(LEADER, { session: a });
  const waiting = control.client.locks.acquire(LEADER, { session: b, waitSeconds: 60 });
  await eventually("b waits", async () => (await control.client.locks.get(LEADER)).waiting === 1);
  await control.client.registry.closeSession(b);
  const answer = await waiting;
  expect(answer.acquired).toBe(false);
  expect(answer.place).toBeUndefined();
  await control.client.registry.closeSession(a);
  const resting = await eventually("it rests", async () => {
    const lock = await control.client.locks.get(LEADER);
    return lock.holder ? undefined : lock;
  });
  expect(Date.parse(resting.delayedUntil ?? "")).toBeGreaterThan(Date.now());
  await expect(control.client.locks.acquire(LEADER, { session: b })).rejects.toMatchObject({
    code: "LOCKS_SESSION_NOT_FOUND",
  });
});

test("a delay is never shorter than asked, by the server's clock", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const [a, b] = [await openSession(control), await openSession(control)];
  await control.client.locks.acquire(LEADER, { session: a });
  const waiting = control.client.locks.acquire(LEADER, { session: b, waitSeconds: 60 });
  await expect.poll(async () => (await control.client.locks.get(LEADER)).waiting).toBe(1);
  await control.client.registry.closeSession(a);
  await expect.poll(async () => (await control.client.locks.get(LEADER)).delayedUntil).toBeDefined();
  const { delayedUntil } = await control.client.locks.get(LEADER);
  expect(Date.parse(delayedUntil ?? "")).toBe(clock.now() + 15_000);
  await clock.advance(14_999);
  expect((await control.client.locks.get(LEADER)).holder).toBeUndefined();
  await clock.advance(1);
  expect(await waiting).toMatchObject({ acquired: true, holder: { session: b } });
});

test.each([
  ["an empty segment", "a%2F%2Fb"],
  ["a slash in front", "%2Fa"],
  ["a slash behind", "a%2F"],
  ["a colon", "a:b"],
  ["a leading dot", ".a"],
  ["a space", "a%20b"],
  ["another alphabet", "%E9%A9%BF"],
  ["nine segments", Array(9).fill("a").join("%2F")],
  ["a segment of 65 characters", "a".repeat(65)],
  ["201 characters", `${"a".repeat(60)}%2F${"b".repeat(60)}%2F${"c".repeat(60)}%2F${"d".repeat(18)}`],
])("a name with %s is refused", async (_what, name) => {
  await using control = await withControl();
  const { status, json } = await control.call("GET", `/v1/locks/${name}`);
  expect([status, json["code"], json["field"]]).toEqual([400, "HTTP_INVALID", "/lock"]);
});

test.each([
  ["no session", {}, "/session"],
  ["a session with a slash", { session: "a/b" }, "/session"],
  ["an unknown field", { session: "a", delay: 3 }, "/delay"],
  ["a delay of more than a minute", { session: "a", lockDelaySeconds: 61 }, "/lockDelaySeconds"],
  ["a delay below nothing", { session: "a", lockDelaySeconds: -1 }, "/lockDelaySeconds"],
  ["a wait of more than a minute", { session: "a", waitSeconds: 61 }, "/waitSeconds"],
  ["a value that is not a string", { session: "a", value: 3 }, "/value"],
  ["a value of 4097 characters", { session: "a", value: "v".repeat(4097) }, "/value"],
])("%s is refused by name and nothing is written", async (_what, body, field) => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", PATH, body);
  expect([status, json["code"], json["field"]]).toEqual([400, "HTTP_INVALID", field]);
  expect(await leftovers(control.store)).toEqual([]);
});

test("a value is measured in bytes: 4096 are kept as they are, 4098 are refused", async () => {
  await using control = await withControl();
  const session = await openSession(control);
  const fits = "é".repeat(2048);
  expect(await control.client.locks.acquire(LEADER, { session, value: fits })).toMatchObject({
    acquired: true,
    holder: { value: fits },
  });
  const { status, json } = await control.call("PUT", PATH, { session, value: "é".repeat(2049) });
  expect([status, json["code"], json["field"]]).toEqual([400, "LOCKS_VALUE_TOO_LARGE", "/value"]);
  expect((await control.client.locks.get(LEADER)).holder?.value).toBe(fits);
});

test("readers look, agents take, and only operators break", async () => {
  await using control = await withControl();
  const as = async (role: string) => {
    const { json } = await control.call("POST", "/v1/tokens", { name: role, policies: [role] });
    const headers = { authorization: `Bearer ${String(json["token"])}` };
    await expect.poll(async () => (await control.call("GET", PATH, undefined, headers)).status).toBe(200);
    return headers;
  };
  const [reader, agent] = [await as("viewer"), await as("agent")];
  expect((await control.call("PUT", PATH, { session: "any" }, reader)).json).toMatchObject({ action: "locks:write" });
  const session = String((await control.call("POST", "/v1/sessions", { ttlSeconds: 60 }, agent)).json["id"]);
  expect((await control.call("PUT", PATH, { session }, agent)).json).toMatchObject({ acquired: true });
  const why = { reason: "stuck since noon" };
  expect((await control.call("POST", `${PATH}/break`, why, agent)).json).toMatchObject({ action: "locks:break" });
  const done = await control.call("POST", `${PATH}/break`, why);
  expect(done.json).toMatchObject({ broken: { by: "operator", ...why, session } });
  await eventually("remembered", async () => (await control.client.locks.get(LEADER)).broken?.reason === why.reason);
  expect((await control.call("POST", `${PATH}/break`, {})).status).toBe(400);
});

test("a long poll sleeps while others queue, and wakes when the holder, its value or the delay changes", async () => {
  await using control = await withControl();
  const [a, b] = [await openSession(control), await openSession(control)];
  await control.client.locks.acquire(LEADER, { session: a });
  const poll = async (etag: unknown, wait: number) =>
    control.call("GET", `${PATH}?wait=${wait}`, undefined, {
      authorization: `Bearer ${control.token}`,
      "if-none-match": String(etag),
    });
  const known = (await control.call("GET", PATH)).headers["etag"];
  expect(known).toMatch(/^W\/"/);
  const sleeping = poll(known, 0.3);
  await control.client.locks.acquire(LEADER, { session: b });
  expect((await sleeping).status).toBe(304);
  const changed = poll(known, 60);
  await control.client.locks.acquire(LEADER, { session: a, value: "new" });
  const woken = await changed;
  expect(woken.json).toMatchObject({ holder: { session: a, value: "new" }, waiting: 1 });
  const next = poll(woken.headers["etag"], 60);
  await control.client.locks.release(LEADER, a);
  expect((await next).json).toMatchObject({ holder: { session: b } });
});

test("a watch tells who holds the lock, wakes for nothing else, and resumes by revision", async () => {
  await using control = await withControl();
  const [a, b] = [await openSession(control), await openSession(control)];
  const other = { ...LEADER, name: "other" };
  const frames: Frame<LockState>[] = [];
  const follow = async (signal: AbortSignal, after?: number) => {
    for await (const frame of control.client.locks.watch(LEADER, {
      signal,
      ...(after === undefined ? {} : { after }),
    })) {
      if (frame.event !== "heartbeat") frames.push(frame);
    }
  };
  const stop = new AbortController();
  const following = follow(stop.signal);
  await eventually("synced", () => frames.some(({ event }) => event === "synced"));
  await control.client.locks.acquire(LEADER, { session: a, value: "a" });
  await control.client.locks.acquire(LEADER, { session: b, value: "b" });
  await control.client.locks.acquire(other, { session: b });
  const { revision } = await control.client.locks.release(LEADER, a);
  await eventually("handed on", () => frames.at(-1)?.data?.holder?.session === b);
  expect(frames.map(({ event, data }) => [event, data?.holder?.value])).toEqual([
    ["snapshot", undefined],
    ["synced", undefined],
    ["delta", "a"],
    ["delta", "b"],
  ]);
  expect(frames.at(-1)).toMatchObject({ revision, data: { holder: { token: revision } } });
  stop.abort();
  await following;
  await control.client.locks.release(LEADER, b);
  frames.length = 0;
  const again = new AbortController();
  const resumed = follow(again.signal, revision);
  await eventually("the missed change arrives", () => frames.length > 0);
  expect(frames.map(({ event, data }) => [event, data?.holder])).toEqual([["delta", undefined]]);
  again.abort();
  await resumed;
});

test("locks are listed by name, by prefix and in pages", async () => {
  await using control = await withControl();
  const session = await openSession(control);
  for (const name of ["b", "a/2", "a/1", "a.b", "c"]) {
    await control.client.locks.acquire({ namespace: "default", name }, { session });
  }
  const names = (locks: readonly { name: string }[]) => locks.map(({ name }) => name);
  const all = await control.client.locks.list({ namespace: "default" });
  expect(names(all.locks)).toEqual(["a.b", "a/1", "a/2", "b", "c"]);
  expect(all.next).toBeUndefined();
  const under = await control.client.locks.list({ namespace: "default", prefix: "a/" });
  expect(names(under.locks)).toEqual(["a/1", "a/2"]);
  const first = await control.client.locks.list({ namespace: "default", limit: 3 });
  expect([names(first.locks), first.next]).toEqual([["a.b", "a/1", "a/2"], "a/2"]);
  const second = await control.client.locks.list({ namespace: "default", limit: 3, after: first.next ?? "" });
  expect([names(second.locks), second.next]).toEqual([["b", "c"], undefined]);
  expect((await control.client.locks.list({ namespace: "other" })).locks).toEqual([]);
});

test("a lock that was never requested is free, and reading it leaves no trace", async () => {
  await using control = await withControl();
  const { json } = await control.call("GET", PATH);
  expect(json).toEqual({ ...LEADER, revision: json["revision"], waiting: 0, waiters: [] });
  expect(await leftovers(control.store)).toEqual([]);
});

test("metrics count what is held and waited for, acquired and lapsed", async () => {
  await using control = await withControl();
  const [a, b] = [await openSession(control), await openSession(control)];
  await control.client.locks.acquire(LEADER, { session: a, lockDelaySeconds: 0 });
  await control.client.locks.acquire(LEADER, { session: b });
  const metric = async (name: string) => {
    const { text } = await control.host.metrics.expose();
    return Number(new RegExp(`^posthouse_locks_${name} (\\d+)$`, "m").exec(text)?.[1]);
  };
  expect(await Promise.all(["held", "waiting", "acquired_total"].map(metric))).toEqual([1, 1, 1]);
  await control.client.registry.closeSession(a);
  await eventually("b has it", async () => (await control.client.locks.get(LEADER)).holder?.session === b);
  expect(await Promise.all(["held", "waiting", "acquired_total", "lapsed_total"].map(metric))).toEqual([1, 0, 2, 1]);
});

test("a server that stops answers those that wait", async () => {
  const control = await withControl();
  const [a, b] = [await openSession(control), await openSession(control)];
  await control.client.locks.acquire(LEADER, { session: a });
  const waiting = control.client.locks.acquire(LEADER, { session: b, waitSeconds: 60 });
  await eventually("b waits", async () => (await control.client.locks.get(LEADER)).waiting === 1);
  await control[Symbol.asyncDispose]();
  expect(await waiting).toMatchObject({ acquired: false, place: 1 });
});
