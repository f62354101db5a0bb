/** The registry's model: ports, lifecycle, defaults of a service, batches, owners, incarnations and tombstones. */
import { expect, test } from "vitest";
import { eventually, ManualClock, testHost, withControl } from "#test/kit";

const NS = { namespace: "default" };
const NAME = { ...NS, service: "orders", id: "orders-1" };
const HERE = { address: "10.0.0.1", port: 4001 };

test("an instance has any number of named ports, each with its protocol", async () => {
  await using control = await withControl();
  const ports = [
    { name: "admin", port: 9000 },
    { name: "rpc", port: 9001, protocol: "grpc" as const },
  ];
  await control.client.registry.register(NAME, { ...HERE, protocol: "grpcs", version: "1.2", ports });
  const [instance] = (await control.client.registry.instances(NAME)).instances;
  expect(instance).toMatchObject({
    protocol: "grpcs",
    version: "1.2",
    ports: [
      { name: "admin", port: 9000, protocol: "http" },
      { name: "rpc", port: 9001, protocol: "grpc" },
    ],
  });
  await expect(
    control.client.registry.register(NAME, {
      ...HERE,
      ports: [
        { name: "a", port: 1 },
        { name: "a", port: 2 },
      ],
    }),
  ).rejects.toMatchObject({ code: "REGISTRY_REGISTRATION_INVALID", extra: { field: "/ports/1/name" } });
});

test("an instance that starts is known but not healthy, until it says that it serves", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.register(NAME, { ...HERE, lifecycle: "starting" });
  const healthy = async (revision?: number) =>
    (await registry.instances(NAME, { healthy: true, ...(revision === undefined ? {} : { revision }) })).instances
      .length;
  expect(await healthy()).toBe(0);
  const serving = await registry.setLifecycle(NAME, { lifecycle: "serving" });
  expect(await healthy(serving.revision)).toBe(1);
  expect(await registry.setLifecycle(NAME, { lifecycle: "serving" })).toEqual(serving);
});

test("instances that state no checks take those of their service", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.setPolicy(NAME, { checks: [{ id: "alive", type: "ttl", ttlSeconds: 30 }] });
  await registry.register(NAME, HERE);
  await registry.register({ ...NAME, id: "own" }, { ...HERE, checks: [] });
  const { instances } = await registry.instances(NAME);
  expect(instances.map(({ checks }) => checks.map(({ id }) => id))).toEqual([["alive"], []]);
  expect((await control.call("DELETE", "/v1/services/orders/policy")).status).toBe(200);
  expect((await control.call("DELETE", "/v1/services/orders/policy")).json).toMatchObject({
    code: "REGISTRY_POLICY_NOT_FOUND",
  });
});

test("a batch is registered in one revision, or not at all", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  const entry = (id: string, extra = {}) => ({ service: "orders", id, registration: { ...HERE, ...extra } });
  const before = (await registry.register({ ...NS, service: "users", id: "u" }, HERE)).revision;
  const done = await registry.registerBatch("default", {
    instances: Array.from({ length: 32 }, (_, i) => entry(`i${i}`)),
  });
  expect(done).toEqual({ revision: before + 1, created: 32 });
  const { instances } = await registry.instances(NAME, { revision: done.revision });
  expect(new Set(instances.map(({ modRevision }) => modRevision))).toEqual(new Set([before + 1]));
  expect((await registry.registerBatch("default", { instances: [entry("i0")] })).created).toBe(0);

  await expect(registry.registerBatch("default", { instances: [entry("new"), entry("new")] })).rejects.toMatchObject({
    code: "REGISTRY_REGISTRATION_INVALID",
    extra: { field: "/instances/1" },
  });
  await expect(
    registry.registerBatch("default", { instances: [entry("new"), entry("bad", { session: "gone" })] }),
  ).rejects.toMatchObject({ code: "REGISTRY_SESSION_NOT_FOUND" });
  expect((await registry.instances(NAME)).instances.some(({ id }) => id === "new")).toBe(false);
  const many = await control.call("POST", "/v1/batches", {
    instances: Array.from({ length: 33 }, (_, i) => entry(`${i}`)),
  });
  expect(many).toMatchObject({ status: 400, json: { field: "/instances" } });
});

test("an id claimed by one owner is refused to another, and the refusal names the owner", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.register(NAME, { ...HERE, owner: "node-1", incarnation: 1 });
  await expect(registry.register(NAME, { ...HERE, owner: "node-2", incarnation: 9 })).rejects.toMatchObject({
    code: "REGISTRY_OWNED_BY_ANOTHER",
    extra: { field: "/owner", owner: "node-1" },
  });
  const session = await registry.openSession(30);
  const leased = { ...NAME, id: "leased" };
  await registry.register(leased, { ...HERE, owner: "node-1", incarnation: 1, session: session.id });
  await registry.closeSession(session.id);
  expect((await registry.register(leased, { ...HERE, owner: "node-2", incarnation: 1 })).created).toBe(true);
});

test("a claim older than the current one is refused", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  await registry.register(NAME, { ...HERE, owner: "node-1", incarnation: 5 });
  await expect(registry.register(NAME, { ...HERE, port: 1, owner: "node-1", incarnation: 4 })).rejects.toMatchObject({
    code: "REGISTRY_CLAIM_OUTDATED",
    extra: { incarnation: 5 },
  });
  expect((await registry.register(NAME, { ...HERE, port: 1, owner: "node-1", incarnation: 5 })).created).toBe(false);
});

test.each([
  ["by an operator", undefined],
  ["by its owner", "node-1"],
])("what was deregistered %s does not come back by a late repetition, only by a newer claim", async (_who, owner) => {
  await using control = await withControl();
  const { registry } = control.client;
  const claim = (incarnation: number, by = "node-1") => registry.register(NAME, { ...HERE, owner: by, incarnation });
  await claim(5);
  await registry.deregister(NAME, { owner });
  for (const late of [4, 5]) await expect(claim(late)).rejects.toMatchObject({ code: "REGISTRY_CLAIM_OUTDATED" });
  await expect(
    registry.registerBatch("default", {
      instances: [{ service: "orders", id: NAME.id, registration: { ...HERE, owner: "node-1", incarnation: 5 } }],
    }),
  ).rejects.toMatchObject({ code: "REGISTRY_CLAIM_OUTDATED" });
  expect((await claim(6)).created).toBe(true);
  await registry.deregister(NAME, { owner });
  expect((await claim(1, "node-2")).created, "another owner is another claim").toBe(true);
  await registry.deregister(NAME);
  expect((await registry.register(NAME, HERE)).created, "one who names no owner says so on purpose").toBe(true);
});

test("a claim that its owner took back while it was on its way does not arrive any more", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  const claim = (incarnation: number) => registry.register(NAME, { ...HERE, owner: "node-1", incarnation });
  await claim(5);
  await registry.deregister(NAME, { owner: "node-1", incarnation: 7 });
  await expect(claim(6)).rejects.toMatchObject({ code: "REGISTRY_CLAIM_OUTDATED" });
  await expect(registry.deregister(NAME, { owner: "node-1", incarnation: 9 })).rejects.toMatchObject({
    code: "REGISTRY_INSTANCE_NOT_FOUND",
  });
  await expect(claim(8)).rejects.toMatchObject({ code: "REGISTRY_CLAIM_OUTDATED" });
  expect((await claim(10)).created).toBe(true);
});

test("a tombstone does not last for ever", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const { registry } = control.client;
  await registry.register(NAME, { ...HERE, owner: "node-1", incarnation: 5 });
  await registry.deregister(NAME, { owner: "node-1" });
  await expect(registry.register(NAME, { ...HERE, owner: "node-1", incarnation: 5 })).rejects.toMatchObject({
    code: "REGISTRY_CLAIM_OUTDATED",
  });
  await clock.advance(600_000 * 1.25 + 60_000);
  await eventually("it is forgotten", async () =>
    registry.register(NAME, { ...HERE, owner: "node-1", incarnation: 5 }).then(
      () => true,
      () => false,
    ),
  );
});
