/** The life of a token: rotation with an overlap, when it was last used, its end on every member; and the list of sign-ins. */
import { expect, test } from "vitest";
import { openMemoryStore, openStore } from "#store";
import { ManualClock, eventually, testHost, within, withControl, withEtcd } from "#test/kit";
import { as, callerWith } from "./as.ts";
import { openBrowser } from "./browser.ts";

const HOUR_MS = 3_600_000;
const me = (token: string) => ["GET", "/v1/me", undefined, { authorization: `Bearer ${token}` }] as const;

test("a rotated token keeps its id and what it owns; the previous secret ends with the overlap, and its browsers too", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const host = await as(control, { name: "host-a", policies: ["agent"], apps: ["orders"], services: ["orders"] });
  const instance = "/v1/services/orders/instances/one";
  expect((await host.call("PUT", instance, { address: "10.0.0.1", port: 80 })).status).toBe(201);
  const browser = await openBrowser(control, { token: host.token });
  const rotated = await control.call("POST", `/v1/tokens/${host.id}/rotations`, { overlapSeconds: 60 });
  expect(rotated).toMatchObject({ status: 201, json: { id: host.id, name: "host-a", apps: ["orders"] } });
  expect(rotated.headers["cache-control"]).toBe("no-store");
  expect(Date.parse(String(rotated.json["previousUntil"]))).toBe(clock.now() + 60_000);
  const next = await callerWith(control, rotated.json);
  expect(next.token).not.toBe(host.token);
  // Both work, and both are the same owner.
  expect((await host.call("PUT", instance, { address: "10.0.0.1", port: 81 })).status).toBe(200);
  expect((await next.call("PUT", instance, { address: "10.0.0.1", port: 82 })).status).toBe(200);
  expect((await browser.call("GET", "/v1/me")).status).toBe(200);
  const { entries } = await control.store.range({ prefix: "/access/" });
  const stored = entries.map(({ value }) => Buffer.from(value).toString()).join();
  for (const { token } of [host, next]) expect(stored).not.toContain(token.split("_")[2]);
  await clock.advance(59_999);
  expect((await host.call("GET", "/v1/me")).status).toBe(200);
  await clock.advance(1);
  expect(await control.call(...me(host.token))).toMatchObject({
    status: 401,
    json: { code: "HTTP_TOKEN_EXPIRED", detail: expect.stringContaining("was rotated") },
  });
  expect((await browser.call("GET", "/v1/me")).status).toBe(401);
  expect((await next.call("GET", "/v1/me")).status).toBe(200);
  // Without an overlap the previous secret ends at once.
  const now = await control.call("POST", `/v1/tokens/${host.id}/rotations`, { overlapSeconds: 0 });
  expect(now.json["previousUntil"]).toBeUndefined();
  await eventually("it has ended", async () => (await next.call("GET", "/v1/me")).status === 401);
  const [{ id: console }] = [
    (await control.access.consoleLink().then(() => control.access.tokens.stored())).find(
      ({ name }) => name === "console",
    ) ?? { id: "" },
  ];
  expect(await control.call("POST", `/v1/tokens/${console}/rotations`, {})).toMatchObject({
    status: 409,
    json: { code: "ACCESS_ROTATION_NOT_POSSIBLE" },
  });
});

test("the last use of a token is noted to the minute, written once a minute, and survives a restart", async () => {
  const clock = new ManualClock();
  const host = testHost({ clock });
  await using store = openMemoryStore(host);
  const lastUse = async (control: Awaited<ReturnType<typeof withControl>>, id: string) => {
    const list = (await control.call("GET", "/v1/tokens")).json["tokens"] as {
      id: string;
      lastUsedAt?: string;
      lastUsedFrom?: string;
    }[];
    const found = list.find((one) => one.id === id);
    return found && { at: found.lastUsedAt, from: found.lastUsedFrom };
  };
  let id = "";
  let token = "";
  {
    await using control = await withControl({ host, store });
    const used = await as(control, { name: "used", policies: ["viewer"] });
    const unused = await control.call("POST", "/v1/tokens", { name: "unused", policies: ["viewer"] });
    ({ id, token } = used);
    const minute = new Date(Math.floor(clock.now() / 60_000) * 60_000).toISOString();
    expect(await lastUse(control, id)).toEqual({ at: minute, from: "127.0.0.1" });
    expect(await lastUse(control, String(unused.json["id"]))).toEqual({ at: undefined, from: undefined });
    const before = (await store.status()).revision;
    for (let i = 0; i < 50; i++) await used.call("GET", "/v1/me");
    expect((await store.status()).revision).toBe(before);
    await clock.advance(60_000);
    const { entries } = await store.range({ prefix: "/access/uses/" });
    expect(entries.length).toBeGreaterThan(0);
    expect(new Set(entries.map(({ modRevision }) => modRevision)).size).toBe(1);
  }
  await using again = await withControl({ host, store });
  const known = await lastUse(again, id);
  expect(known?.from).toBe("127.0.0.1");
  await again.call(...me(token));
  expect(Date.parse((await lastUse(again, id))?.at ?? "")).toBeGreaterThan(Date.parse(known?.at ?? ""));
});

/** A second, as the guide says, from the answer to the last request that another member accepts. */
const REVOKED_MS = 1_000;

test("a token that is revoked or rotated at one member is refused at another one within a second, over etcd", async () => {
  await using etcd = await withEtcd();
  const open = () => openStore(testHost(), { engine: "etcd", endpoints: [etcd.endpoint], namespace: "life/" });
  await using stores = new AsyncDisposableStack();
  const [here, there] = [stores.use(await open()), stores.use(await open())];
  await using one = await withControl({ store: here });
  await using two = await withControl({ store: there });
  for (const how of ["DELETE", "POST"]) {
    const { id, token } = await as(one, { name: `gone-${how}`, policies: ["viewer"] });
    await eventually("the other member knows it", async () => (await two.call(...me(token))).status === 200);
    const url = how === "DELETE" ? `/v1/tokens/${id}` : `/v1/tokens/${id}/rotations`;
    const body = how === "POST" ? { overlapSeconds: 0 } : undefined;
    expect((await one.call(how, url, body)).status).toBeLessThan(300);
    await within(REVOKED_MS, "both refuse it", async () => {
      const answers = await Promise.all([one, two].map((member) => member.call(...me(token))));
      return answers.every(({ status }) => status === 401);
    });
  }
});

test("browsers that are signed in are listed with their facts, and each is ended alone, at once", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const { token } = await as(control, { name: "ann", policies: ["editor"] });
  const [first, second] = [await openBrowser(control, { token }), await openBrowser(control, { token })];
  const operator = await openBrowser(control, { token: control.token });
  await first.call("GET", "/v1/me");
  const list = async () => (await operator.call("GET", "/v1/sign-ins")).json["signIns"] as Record<string, unknown>[];
  const rows = await list();
  expect(rows).toHaveLength(3);
  const minute = new Date(Math.floor(clock.now() / 60_000) * 60_000).toISOString();
  const facts = {
    kind: "browser",
    method: "token",
    policies: ["editor"],
    address: "127.0.0.1",
    since: new Date(clock.now()).toISOString(),
  };
  const anns = rows.filter(({ name }) => name === "ann");
  expect(anns).toMatchObject([facts, facts]);
  expect(anns.filter(({ lastUsedAt }) => lastUsedAt === minute)).toHaveLength(1);
  expect(rows.filter(({ isCaller }) => isCaller)).toMatchObject([{ name: "operator" }]);
  expect(Date.parse(String(anns[0]?.["until"]))).toBe(clock.now() + 12 * HOUR_MS);
  expect(JSON.stringify(rows)).not.toContain(first.cookie.split(".")[1]);
  const used = anns.find(({ lastUsedAt }) => lastUsedAt !== undefined);
  expect((await operator.call("DELETE", `/v1/sign-ins/${String(used?.["id"])}`)).status).toBe(204);
  await eventually("it has ended", async () => (await first.call("GET", "/v1/me")).status === 401);
  expect((await second.call("GET", "/v1/me")).status).toBe(200);
  expect(await operator.call("DELETE", `/v1/sign-ins/${String(used?.["id"])}`)).toMatchObject({
    status: 404,
    json: { code: "ACCESS_SIGN_IN_NOT_FOUND" },
  });
  expect((await second.call("GET", "/v1/sign-ins")).json["code"]).toBe("HTTP_FORBIDDEN");
});
