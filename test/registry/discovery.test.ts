/** Discovery: filters, order, panic, failover, conditional reads and long polls, each through the API. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { eventually, type TestControl, withControl } from "#test/kit";

const NS = { namespace: "default" };
const TTL = [{ id: "ttl", type: "ttl" as const, ttlSeconds: 60 }];

/** Registers instances of a service; those named in `critical` report so, the others pass. */
async function fleet(
  { client }: TestControl,
  service: string,
  zones: Readonly<Record<string, string>>,
  critical: readonly string[] = [],
): Promise<void> {
  for (const [index, [id, zone]] of Object.entries(zones).entries()) {
    const name = { ...NS, service, id };
    await client.registry.register(name, { address: `10.0.0.${index + 1}`, port: 80, zone, checks: TTL, tags: [id] });
    await judge({ client } as TestControl, name, critical.includes(id) ? "critical" : "passing");
  }
}

async function judge(
  { client }: TestControl,
  name: { namespace: string; service: string; id: string },
  status: "passing" | "critical",
): Promise<number> {
  const { revision } = await client.registry.report(name, "ttl", { status });
  await client.registry.instances(name, { revision });
  return revision;
}

const ids = ({ instances }: { instances: readonly { id: string }[] }) => instances.map(({ id }) => id);

test("a filter, tags, status and health are all asked for together", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu", b: "eu", c: "us" }, ["b"]);
  const ask = async (query: string) => (await control.call("GET", `/v1/services/orders/instances?${query}`)).json;
  const answer = await ask(`filter=${encodeURIComponent('zone == eu and not "c" in tags')}&healthy=true`);
  expect(answer).toMatchObject({ instances: [{ id: "a" }] });
  expect(await ask("status=critical&tag=b")).toMatchObject({ instances: [{ id: "b" }] });
  expect(await ask("tag=nobody")).toMatchObject({ instances: [], panic: false });
  expect(await ask("filter=zone%20%3D")).toMatchObject({ code: "REGISTRY_FILTER_INVALID", character: 6 });
});

test("a subset is a named filter of the service's policy", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu", c: "us" });
  const { revision } = await control.client.registry.setPolicy(
    { ...NS, service: "orders" },
    { subsets: { america: "zone == us" } },
  );
  const service = { ...NS, service: "orders" };
  expect(ids(await control.client.registry.instances(service, { subset: "america", revision }))).toEqual(["c"]);
  await expect(control.client.registry.instances(service, { subset: "asia" })).rejects.toMatchObject({
    code: "REGISTRY_SUBSET_NOT_FOUND",
    message: expect.stringContaining("america") as string,
  });
  const bad = await control.call("PUT", "/v1/services/orders/policy", { subsets: { x: "zone ==" } });
  expect(bad).toMatchObject({ status: 400, json: { code: "REGISTRY_FILTER_INVALID", field: "/subsets/x" } });
});

test("near puts a zone's instances first and omits none", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu", b: "us", c: "eu", d: "us" });
  const service = { ...NS, service: "orders" };
  expect(ids(await control.client.registry.instances(service, { near: "us" }))).toEqual(["b", "d", "a", "c"]);
  expect(ids(await control.client.registry.instances(service, { near: "nowhere" }))).toEqual(["a", "b", "c", "d"]);
});

test("too few healthy instances raise a flag with a reason, and health is reported unchanged", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu", b: "eu", c: "eu" }, ["b", "c"]);
  const service = { ...NS, service: "orders" };
  const panic = await control.client.registry.instances(service);
  expect(panic).toMatchObject({ panic: true, reason: expect.stringContaining("1 of 3") as string });
  expect(panic.instances.map(({ status }) => status)).toEqual(["passing", "critical", "critical"]);
  expect(ids(await control.client.registry.instances(service, { healthy: true }))).toEqual(["a"]);
  expect(await control.client.registry.service(service)).toMatchObject({ panic: true, passing: 1, critical: 2 });

  const { revision } = await control.client.registry.setPolicy(service, { minHealthyPercent: 30 });
  const calm = await control.client.registry.instances(service, { revision });
  expect(calm.panic).toBe(false);
  expect(calm).not.toHaveProperty("reason");
});

test("draining and starting instances do not count as unhealthy", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu", b: "eu", c: "eu" }, ["c"]);
  const name = { ...NS, service: "orders", id: "b" };
  const { revision } = await control.client.registry.setLifecycle(name, { lifecycle: "draining" });
  expect((await control.client.registry.instances(name, { revision })).panic).toBe(false);
});

test("the flag rises and falls on the watch, with the change that caused it", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu", b: "eu" });
  const abort = new AbortController();
  const panics: (boolean | undefined)[] = [];
  const reading = (async () => {
    const watch = control.client.registry.watch({ ...NS, services: ["orders"] }, { signal: abort.signal });
    for await (const { event, data } of watch) if (event === "delta") panics.push(data?.panic);
  })();
  await sleep(20);
  await judge(control, { ...NS, service: "orders", id: "a" }, "critical");
  await judge(control, { ...NS, service: "orders", id: "b" }, "critical");
  await judge(control, { ...NS, service: "orders", id: "a" }, "passing");
  await eventually("three deltas", () => panics.length === 3);
  expect(panics).toEqual([false, true, false]);
  abort.abort();
  await reading;
});

test("failover answers with the zone, then with all zones, then with the fallback, and says which", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await fleet(control, "orders", { e1: "eu", e2: "eu", u1: "us", u2: "us", u3: "us" });
  await fleet(control, "orders-backup", { x: "eu" });
  const service = { ...NS, service: "orders" };
  await registry.setPolicy(service, { fallback: { service: "orders-backup" } });
  const ask = () => registry.instances(service, { near: "eu", failover: true, healthy: true });

  expect(ids(await ask())).toEqual(["e1", "e2"]);
  expect((await ask()).from).toEqual({ ...service, tier: "zone" });
  await judge(control, { ...service, id: "e1" }, "critical");
  expect(ids(await ask()), "half of the zone is enough").toEqual(["e2"]);
  await judge(control, { ...service, id: "e2" }, "critical");
  expect(ids(await ask())).toEqual(["u1", "u2", "u3"]);
  expect((await ask()).from).toMatchObject({ tier: "service" });
  await judge(control, { ...service, id: "u1" }, "critical");
  expect(await ask()).toMatchObject({
    instances: [{ id: "x", service: "orders-backup" }],
    from: { tier: "fallback", service: "orders-backup" },
    panic: false,
  });
  await judge(control, { ...NS, service: "orders-backup", id: "x" }, "critical");
  expect(await ask(), "no tier is healthy enough: the nearest with a healthy instance").toMatchObject({
    instances: [{ id: "u2" }, { id: "u3" }],
    from: { tier: "service" },
    panic: true,
  });
});

test("services that are each other's fallback still answer", async () => {
  await using control = await withControl();
  await fleet(control, "a", { one: "eu" }, ["one"]);
  await fleet(control, "b", { two: "eu" }, ["two"]);
  await control.client.registry.setPolicy({ ...NS, service: "a" }, { fallback: { service: "b" } });
  await control.client.registry.setPolicy({ ...NS, service: "b" }, { fallback: { service: "a" } });
  const answer = await control.client.registry.instances({ ...NS, service: "a" }, { failover: true });
  expect(answer).toMatchObject({ instances: [{ id: "one", status: "critical" }], panic: true });
});

test("a conditional read answers 304 until the service itself changes", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu" });
  await fleet(control, "users", { u: "eu" });
  const path = "/v1/services/orders/instances";
  const auth = { authorization: `Bearer ${control.token}` };
  const { headers } = await control.call("GET", path);
  const known = { ...auth, "if-none-match": String(headers["etag"]) };
  await judge(control, { ...NS, service: "users", id: "u" }, "critical");
  expect((await control.call("GET", path, undefined, known)).status).toBe(304);
  await judge(control, { ...NS, service: "orders", id: "a" }, "critical");
  expect(await control.call("GET", path, undefined, known)).toMatchObject({
    status: 200,
    json: { instances: [{ id: "a", status: "critical" }] },
  });
});

test("a long poll sleeps through other services' changes, and wakes for its own or its fallback's", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu" });
  await fleet(control, "backup", { x: "eu" });
  await fleet(control, "users", { u: "eu" });
  await control.client.registry.setPolicy({ ...NS, service: "orders" }, { fallback: { service: "backup" } });
  const path = "/v1/services/orders/instances?failover=true&wait=30";
  const { headers } = await control.call("GET", path);
  let settled = false;
  const known = { authorization: `Bearer ${control.token}`, "if-none-match": String(headers["etag"]) };
  const poll = control.call("GET", path, undefined, known).finally(() => (settled = true));
  await judge(control, { ...NS, service: "users", id: "u" }, "critical");
  await sleep(50);
  expect(settled).toBe(false);
  await judge(control, { ...NS, service: "backup", id: "x" }, "critical");
  expect((await poll).status).toBe(200);
});

test("a long poll ends with 304 when nothing came, and a reader may wait for a service to appear", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu" });
  const path = "/v1/services/orders/instances?wait=1";
  const { headers } = await control.call("GET", path);
  const auth = { authorization: `Bearer ${control.token}` };
  const known = { ...auth, "if-none-match": String(headers["etag"]) };
  expect((await control.call("GET", path, undefined, known)).status).toBe(304);

  const appears = control.call("GET", "/v1/services/late/instances?wait=30");
  await sleep(20);
  await fleet(control, "late", { z: "eu" });
  expect(await appears).toMatchObject({ status: 200, json: { instances: [{ id: "z" }] } });
  expect((await control.call("GET", "/v1/services/never/instances?wait=1")).json).toMatchObject({
    code: "REGISTRY_SERVICE_NOT_FOUND",
  });
});

test("two members that have a tag say the same by it", async () => {
  await using one = await withControl();
  await fleet(one, "orders", { a: "eu" });
  await using two = await withControl({ store: one.store, host: one.host });
  const tag = async (control: TestControl) =>
    (await control.call("GET", "/v1/services/orders/instances")).headers["etag"];
  await one.client.registry.deregister({ ...NS, service: "orders", id: "nobody" }).catch(() => {});
  await judge(one, { ...NS, service: "orders", id: "a" }, "critical");
  await eventually("both have it", async () => (await tag(one)) === (await tag(two)));
});

test("subscribers are listed with what they watch and how far they are", async () => {
  await using control = await withControl();
  await fleet(control, "orders", { a: "eu" });
  const abort = new AbortController();
  const reading = (async () => {
    for await (const _frame of control.client.registry.watch(
      { ...NS, services: ["orders", "users"] },
      { signal: abort.signal },
    )) {
      // Read and thrown away.
    }
  })();
  const [watcher] = await eventually("it is listed", async () => {
    const { watchers } = await control.client.registry.watchers("default");
    return watchers.length > 0 && watchers[0] && watchers[0].sentRevision > 0 ? watchers : undefined;
  });
  expect(watcher).toMatchObject({
    topics: ["default/orders", "default/users"],
    principal: "operator",
    seenRevision: 0,
  });
  expect((await control.client.registry.watchers("other")).watchers).toEqual([]);
  abort.abort();
  await reading;
  await eventually("it is gone", async () => (await control.client.registry.watchers("default")).watchers.length === 0);
});
