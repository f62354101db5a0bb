/** The registry through its API, over a real store: registering, judging, sessions, conditions and watches. */
import { expect, test } from "vitest";
import { encodeJson } from "#base";
import type { CatalogEntry } from "../../registry/core/catalog.ts";
import { SERVERS } from "../../registry/core/commands/commander.ts";
import { registerInstance } from "../../registry/core/commands/register.ts";
import { policyKey } from "../../registry/core/keys.ts";
import type { Registration } from "#registry/api";
import { ManualClock, eventually, testHost, withControl, hangSignal, type TestControl } from "#test/kit";

const NAME = { namespace: "default", service: "orders", id: "orders-1" };
const PATH = "/v1/services/orders/instances/orders-1";
const HERE = { address: "127.0.0.1", port: 4001 };

test("a registration is read back with its defaults at the revision that it returned", async () => {
  await using control = await withControl();
  const { revision, created } = await control.client.registry.register(NAME, HERE);
  expect(created).toBe(true);
  const { instances } = await control.client.registry.instances(NAME, { revision });
  expect(instances).toMatchObject([
    { ...NAME, ...HERE, weight: 100, status: "passing", lifecycle: "serving", tags: [] },
  ]);
});

test("registering the same again writes nothing and wakes no watcher", async () => {
  await using control = await withControl();
  const first = await control.client.registry.register(NAME, HERE);
  const second = await control.client.registry.register(NAME, HERE);
  expect(second).toEqual({ revision: first.revision, created: false });
});

test("an unknown field is refused by name and nothing is registered", async () => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", PATH, { ...HERE, wieght: 3 });
  expect(status).toBe(400);
  expect(json).toMatchObject({ code: "HTTP_INVALID", field: "/wieght" });
  await expect(control.client.registry.instances(NAME)).rejects.toMatchObject({ code: "REGISTRY_SERVICE_NOT_FOUND" });
});

test.each([
  ["a port as text", { address: "127.0.0.1", port: "4001" }, "/port"],
  ["a port out of range", { address: "127.0.0.1", port: 70_000 }, "/port"],
  ["no address", { port: 4001 }, "/address"],
  ["an address with a slash", { address: "a/b", port: 4001 }, "/address"],
  ["an unknown field of an HTTP check", { ...HERE, checks: [{ id: "x", type: "http", pth: "/" }] }, "/checks/0/pth"],
  ["a check of an unknown type", { ...HERE, checks: [{ id: "x", type: "smell" }] }, "/checks/0"],
  ["a check without a type", { ...HERE, checks: [{ id: "x" }] }, "/checks/0"],
])("%s is refused with the field's name", async (_what, body, field) => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", PATH, body);
  expect(status).toBe(400);
  expect(json["field"]).toContain(field);
  expect(json["detail"]).toContain(field);
});

test("a body that is not JSON is a problem, and the server lives on", async () => {
  await using control = await withControl();
  const { status, json, headers } = await control.call("PUT", PATH, "{oops");
  expect([status, json["code"]]).toEqual([400, "HTTP_MALFORMED"]);
  expect(headers["content-type"]).toContain("application/problem+json");
  expect((await control.call("GET", "/livez")).status).toBe(200);
});

test("a body above the limit is refused as too large", async () => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", PATH, { ...HERE, zone: "z".repeat(3_000_000) });
  expect([status, json["code"]]).toEqual([413, "HTTP_BODY_TOO_LARGE"]);
});

test.each(["a..b", ".", ".internal", "internal.", "host:8080", "10.0.0.256", "0x7f.1", "under_score", "a".repeat(64)])(
  "%s is neither an address nor a host name, and is refused alone and in a batch",
  async (address) => {
    await using control = await withControl();
    const alone = await control.call("PUT", PATH, { ...HERE, address });
    expect([alone.status, alone.json["code"], alone.json["field"]]).toEqual([
      400,
      "REGISTRY_REGISTRATION_INVALID",
      "/address",
    ]);
    const instances = [
      { service: "orders", id: "good", registration: HERE },
      { service: "orders", id: "bad", registration: { ...HERE, address } },
    ];
    expect((await control.call("POST", "/v1/batches", { instances })).status).toBe(400);
    await expect(control.client.registry.instances(NAME)).rejects.toMatchObject({ code: "REGISTRY_SERVICE_NOT_FOUND" });
  },
);

test("an invalid check of a policy is refused when it is written, and one in an older store does not block registrations", async () => {
  const checks = [{ id: "up", type: "tcp" as const, host: "a..b" }];
  await using control = await withControl();
  const { status, json } = await control.call("PUT", "/v1/services/orders/policy", { checks });
  expect([status, json["code"], json["field"]]).toEqual([400, "REGISTRY_CHECK_INVALID", "/checks/0/host"]);
  const stored = { key: policyKey(NAME), value: encodeJson({ checks }), modRevision: 1 } as CatalogEntry;
  const known = new Map([[stored.key, stored]]);
  const plan = registerInstance(known, {
    name: NAME,
    by: SERVERS,
    registration: HERE,
    ifRevision: undefined,
    nowMs: 0,
    refuse: () => undefined,
  });
  expect(plan.result.created).toBe(true);
});

const VERDICT_PROBLEMS: [string, object, string][] = [
  ["a check that is not there", { verdicts: [{ check: "down", status: "passing" }] }, 'has no check "down"'],
  ["a TTL check", { verdicts: [{ check: "alive", status: "passing" }] }, "passes only by reports"],
  [
    "the same check twice",
    {
      verdicts: [
        { check: "up", status: "passing" },
        { check: "up", status: "critical" },
      ],
    },
    "already has a verdict",
  ],
  [
    "the server's own check",
    { probedBy: "server", verdicts: [{ check: "up", status: "passing" }] },
    "only an instance with probedBy",
  ],
];
const AGENT_CHECKS = [
  { id: "up", type: "http", path: "/" },
  { id: "alive", type: "ttl", ttlSeconds: 60 },
];

test.each(VERDICT_PROBLEMS)("a registration with a verdict on %s is refused by name", async (_what, more, problem) => {
  await using control = await withControl();
  const body = { ...HERE, checks: AGENT_CHECKS, probedBy: "agent", ...more };
  const { status, json } = await control.call("PUT", PATH, body);
  expect([status, json["code"], json["field"]]).toEqual([
    400,
    "REGISTRY_REGISTRATION_INVALID",
    expect.stringMatching(/^\/verdicts\/[01]$/),
  ]);
  expect(json["detail"]).toContain(problem);
  await expect(control.client.registry.instances(NAME)).rejects.toMatchObject({ code: "REGISTRY_SERVICE_NOT_FOUND" });
});

test("a registration with verdicts is healthy in its own revision, and an unchanged verdict keeps its time", async () => {
  await using control = await withControl();
  const { registry } = control.client;
  const body: Registration = { ...HERE, checks: [{ id: "up", type: "http", path: "/" }], probedBy: "agent" };
  const seen = async (revision: number) => (await registry.instances(NAME, { revision })).instances[0];
  const { revision } = await registry.register(NAME, { ...body, verdicts: [{ check: "up", status: "passing" }] });
  const first = await seen(revision);
  expect(first).toMatchObject({ status: "passing", modRevision: revision });
  const { id: session } = await registry.openSession(60);
  const moved = { ...body, session, verdicts: [{ check: "up", status: "passing" as const }] };
  const second = await seen((await registry.register(NAME, moved)).revision);
  expect(second).toMatchObject({ session, checks: first?.checks });
  const again = await registry.register(NAME, moved);
  expect(again).toEqual({ revision: (second as { modRevision: number }).modRevision, created: false });
  const third = await registry.register(NAME, { ...moved, verdicts: [{ check: "up", status: "critical" }] });
  expect(await seen(third.revision)).toMatchObject({ status: "critical" });
  await registry.closeSession(session);
  await expect(registry.instances(NAME)).rejects.toMatchObject({ code: "REGISTRY_SERVICE_NOT_FOUND" });
});

test("two checks with one id are refused", async () => {
  await using control = await withControl();
  const check = { id: "same", type: "ttl", ttlSeconds: 5 };
  const { status, json } = await control.call("PUT", PATH, { ...HERE, checks: [check, check] });
  expect([status, json["code"]]).toEqual([400, "REGISTRY_CHECK_INVALID"]);
});

test("a conditional write whose revision is outdated is refused with the current revision", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  const [instance] = (await control.client.registry.instances(NAME)).instances;
  const wrong = control.client.registry.register(NAME, { ...HERE, weight: 1 }, { ifRevision: 1 });
  await expect(wrong).rejects.toMatchObject({
    code: "REGISTRY_REVISION_MISMATCH",
    status: 412,
    extra: { revision: instance?.modRevision },
  });
  await expect(control.client.registry.register(NAME, HERE, { ifRevision: 0 })).rejects.toMatchObject({ status: 412 });
  const right = await control.client.registry.register(
    NAME,
    { ...HERE, weight: 1 },
    { ifRevision: instance?.modRevision ?? 0 },
  );
  expect(right.created).toBe(false);
});

test("of ten writers on one condition exactly one succeeds", async () => {
  await using control = await withControl();
  const tries = await Promise.allSettled(
    Array.from({ length: 10 }, (_, port) =>
      control.client.registry.register(NAME, { ...HERE, port: 4000 + port }, { ifRevision: 0 }),
    ),
  );
  expect(tries.filter((result) => result.status === "fulfilled")).toHaveLength(1);
});

test("deregistering removes the instance and its verdicts, and a second time is not found", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, { ...HERE, checks: [{ id: "alive", type: "ttl", ttlSeconds: 60 }] });
  await control.client.registry.report(NAME, "alive", { status: "passing" });
  await control.client.registry.deregister(NAME);
  for (const prefix of ["/registry/instances/", "/registry/verdicts/"]) {
    expect((await control.store.range({ prefix })).entries).toEqual([]);
  }
  await expect(control.client.registry.deregister(NAME)).rejects.toMatchObject({ code: "REGISTRY_INSTANCE_NOT_FOUND" });
});

/** After the member has recorded its own arrival, which costs a revision of its own. */
async function arrived(control: TestControl, clock: ManualClock): Promise<void> {
  await clock.advance(4_000);
  await eventually("the arrival is recorded", async () => {
    return (await control.store.range({ prefix: "/changes/present" })).count === 1;
  });
}

test("a TTL check is critical until reported, passing while renewed, and critical again when silent", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  await arrived(control, clock);
  await control.client.registry.register(NAME, { ...HERE, checks: [{ id: "alive", type: "ttl", ttlSeconds: 10 }] });
  const status = async (revision?: number) =>
    (await control.client.registry.instances(NAME, revision === undefined ? {} : { revision })).instances[0]?.status;
  expect(await status()).toBe("critical");
  const { revision } = await control.client.registry.report(NAME, "alive", { status: "passing" });
  expect(await status(revision)).toBe("passing");
  await clock.advance(9_000);
  const again = await control.client.registry.report(NAME, "alive", { status: "passing" });
  expect(again.revision).toBe(revision);
  await clock.advance(9_000);
  expect(await status()).toBe("passing");
  await clock.advance(2_000);
  await eventually("the check lapsed", async () => (await status()) === "critical");
});

test("instances of a session leave in one revision when it lapses, and never early", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  await arrived(control, clock);
  const session = await control.client.registry.openSession(10);
  for (const id of ["a", "b", "c"]) {
    await control.client.registry.register({ ...NAME, id }, { ...HERE, session: session.id });
  }
  const before = (await control.store.status()).revision;
  await clock.advance(8_000);
  await control.client.registry.heartbeat(session.id);
  expect((await control.store.status()).revision).toBe(before);
  await clock.advance(9_000);
  expect((await control.client.registry.instances(NAME)).instances).toHaveLength(3);
  await clock.advance(2_000);
  await eventually(
    "all three left",
    async () => (await control.store.range({ prefix: "/registry/instances/" })).count === 0,
  );
  const signal = hangSignal();
  for await (const { events } of control.store.watch({ prefix: "/registry/instances/", after: before, signal })) {
    if (events.length === 0) continue;
    expect(events.map((event) => event.type)).toEqual(["delete", "delete", "delete"]);
    break;
  }
  await expect(control.client.registry.heartbeat(session.id)).rejects.toMatchObject({
    code: "REGISTRY_SESSION_NOT_FOUND",
  });
  await expect(control.client.registry.register(NAME, { ...HERE, session: session.id })).rejects.toMatchObject({
    code: "REGISTRY_SESSION_NOT_FOUND",
  });
});

test("draining takes an instance out of the healthy ones without touching its health", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  const { revision } = await control.client.registry.setLifecycle(NAME, { lifecycle: "draining" });
  const all = await control.client.registry.instances(NAME, { revision });
  expect(all.instances).toMatchObject([{ status: "passing", lifecycle: "draining" }]);
  expect((await control.client.registry.instances(NAME, { healthy: true })).instances).toEqual([]);
});

test("a watch gives the state, then each change once and in order", async () => {
  await using control = await withControl();
  await control.client.registry.register(NAME, HERE);
  const stop = new AbortController();
  const seen: string[] = [];
  const read = (async () => {
    for await (const frame of control.client.registry.watch({ namespace: "default" }, { signal: stop.signal })) {
      const { data } = frame;
      if (data)
        seen.push(
          `${frame.event} ${data.instances.map(({ id, port }) => `${id}:${port}`).join()} -${data.removed.join()}`,
        );
      if (frame.event === "synced") seen.push("synced");
    }
  })();
  await eventually("synced", () => seen.includes("synced"));
  for (let port = 5001; port <= 5020; port++) await control.client.registry.register(NAME, { ...HERE, port });
  await control.client.registry.deregister(NAME);
  await eventually("the removal", () => seen.at(-1) === "delta  -orders-1");
  stop.abort();
  await read;
  expect(seen).toEqual([
    "snapshot orders-1:4001 -",
    "synced",
    ...Array.from({ length: 20 }, (_, i) => `delta orders-1:${5001 + i} -`),
    "delta  -orders-1",
  ]);
});

test("a watch of one service is not woken by another", async () => {
  await using control = await withControl();
  const stop = new AbortController();
  const services = new Set<string>();
  let heard = 0;
  const read = (async () => {
    const frames = control.client.registry.watch(
      { namespace: "default", services: ["orders"] },
      { signal: stop.signal },
    );
    for await (const frame of frames) {
      if (frame.data) services.add(frame.data.service);
      if (frame.event === "delta") heard++;
    }
  })();
  await eventually("the snapshot", () => services.size === 1);
  for (let i = 0; i < 50; i++) await control.client.registry.register({ ...NAME, service: "users", id: `u${i}` }, HERE);
  await control.client.registry.register(NAME, HERE);
  await eventually("its own change", () => heard > 0);
  stop.abort();
  await read;
  expect([...services]).toEqual(["orders"]);
  expect(heard).toBe(1);
});
