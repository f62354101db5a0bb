/** The report of a member about itself: also while its store does not answer, and only to roles that may read operations. */
import { expect, test } from "vitest";
import type { SystemReport } from "#server/api";
import { openMemoryStore, type Store, StoreErrors } from "#store";
import { eventually, testHost, withControl } from "#test/kit";

test("version, member, store and sessions", async () => {
  await using control = await withControl();
  const { status, json } = await control.call("GET", "/v1/system");
  const report = json as SystemReport;
  expect(status).toBe(200);
  expect(report).toMatchObject({
    node: process.versions.node,
    store: { engine: "memory", revision: expect.any(Number) as number },
    sessions: 0,
    certificates: [],
  });
  await eventually("it is listed as a member", async () => {
    const { json: list } = await control.call("GET", "/v1/members");
    return (list["members"] as { id: string }[]).some(({ id }) => id === report.member);
  });
  expect((await control.call("POST", "/v1/sessions", { ttlSeconds: 30 })).status).toBe(201);
  await eventually("the session counts", async () => (await control.call("GET", "/v1/system")).json["sessions"] === 1);
});

test("without an answer of the store the rest is still reported", async () => {
  const host = testHost();
  await using memory = openMemoryStore(host);
  let isCut = false;
  const store: Store = new Proxy(memory, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (name === "status") {
        return () => (isCut ? Promise.reject(StoreErrors.UNAVAILABLE("The store is away.")) : target.status());
      }
      return (value as (...args: unknown[]) => unknown).bind(target);
    },
  });
  await using control = await withControl({ host, store });
  isCut = true;
  const { status, json } = await control.call("GET", "/v1/system");
  expect([status, "store" in json]).toEqual([200, false]);
});

test("an agent may not read it", async () => {
  await using control = await withControl();
  const { json } = await control.call("POST", "/v1/tokens", { name: "host-1", policies: ["agent"] });
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  await eventually(
    "the token is known",
    async () => (await control.call("GET", "/v1/me", undefined, headers)).status === 200,
  );
  expect((await control.call("GET", "/v1/system", undefined, headers)).status).toBe(403);
});
