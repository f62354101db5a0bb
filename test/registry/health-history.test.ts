/** The history of a service's health: durable, bounded, complete, and the same for whatever way a change came about. */
import { expect, test } from "vitest";
import { HISTORY_TRANSITIONS_MAX, type ServiceHistory } from "#registry/api";
import { openMemoryStore } from "#store";
import { eventually, testHost, withControl } from "#test/kit";

const INSTANCE = "/v1/services/web/instances/one";
const TTL = { address: "10.0.0.1", port: 80, probedBy: "agent", checks: [{ id: "up", type: "ttl", ttlSeconds: 60 }] };

async function historyOf(control: Awaited<ReturnType<typeof withControl>>, query = ""): Promise<ServiceHistory> {
  const { status, json } = await control.call("GET", `/v1/services/web/health-history${query}`);
  expect(status).toBe(200);
  return json as unknown as ServiceHistory;
}

const shown = (history: ServiceHistory) =>
  history.instances[0]?.transitions.map(({ status, lifecycle, cause, check, output }) =>
    [cause, status, lifecycle ?? "", check ?? "", output ?? ""].join(" ").trim(),
  );

test("a registration, flips, a drain and a deregistration are one list with causes", async () => {
  await using control = await withControl();
  await control.call("PUT", INSTANCE, TTL);
  await control.call("PUT", `${INSTANCE}/checks/up`, { status: "passing" });
  await control.call("PUT", `${INSTANCE}/checks/up`, { status: "passing" });
  await control.call("PUT", `${INSTANCE}/checks/up`, { status: "critical", output: "disk is full" });
  await control.call("PUT", `${INSTANCE}/lifecycle`, { lifecycle: "draining" });
  await control.call("DELETE", INSTANCE);
  const history = await historyOf(control);
  expect(history.instances[0]?.start).toEqual({ status: "gone" });
  expect(shown(history)).toEqual([
    "registered critical serving",
    "check passing serving up",
    "check critical serving up disk is full",
    "lifecycle critical draining",
    "deregistered gone",
  ]);
});

test("a flip and its history are one revision", async () => {
  await using control = await withControl();
  await control.call("PUT", INSTANCE, TTL);
  const { json } = await control.call("PUT", `${INSTANCE}/checks/up`, { status: "passing" });
  const { entries } = await control.store.range({ prefix: "/registry/history/" });
  expect(entries.map(({ modRevision }) => modRevision).at(-1)).toEqual(json["revision"]);
  expect(entries, "a transition is an entry, so a flip rewrites nothing").toHaveLength(2);
});

test("the end of a session is recorded, and the instance is still listed", async () => {
  await using control = await withControl();
  const { json } = await control.call("POST", "/v1/sessions", { ttlSeconds: 30 });
  await control.call("PUT", INSTANCE, { ...TTL, session: json["id"] });
  await control.call("DELETE", `/v1/sessions/${String(json["id"])}`);
  await eventually("the keeper has recorded it", async () => {
    return shown(await historyOf(control))?.at(-1) === "ended gone";
  });
});

test("an instance of a batch that does not fit one transaction with its history is recorded all the same", async () => {
  await using control = await withControl();
  const instances = Array.from({ length: 32 }, (_, index) => ({ service: "web", id: `i${index}`, registration: TTL }));
  const { status } = await control.call("POST", "/v1/batches", { instances });
  expect(status).toBe(200);
  await eventually("all have a history", async () => (await historyOf(control)).instances.length === 32);
  expect(shown(await historyOf(control))).toEqual(["registered critical serving"]);
});

test("an unknown service is 404, and pages continue", async () => {
  await using control = await withControl();
  expect((await control.call("GET", "/v1/services/none/health-history")).status).toBe(404);
  for (const id of ["a", "b", "c"]) await control.call("PUT", `/v1/services/web/instances/${id}`, TTL);
  const first = await historyOf(control, "?limit=2");
  expect([first.instances.map(({ instance }) => instance), first.next]).toEqual([["a", "b"], "b"]);
  const second = await historyOf(control, "?limit=2&after=b");
  expect([second.instances.map(({ instance }) => instance), second.next]).toEqual([["c"], undefined]);
});

test("the history of a flapping instance stays short, and a new member reads the same one", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using control = await withControl({ host, store });
  await control.call("PUT", INSTANCE, TTL);
  for (let flip = 0; flip < 170; flip++) {
    await control.call("PUT", `${INSTANCE}/checks/up`, { status: flip % 2 ? "critical" : "passing" });
  }
  await eventually("it is trimmed", async () => {
    return (await store.range({ prefix: "/registry/history/" })).count <= HISTORY_TRANSITIONS_MAX;
  });
  const history = (await historyOf(control)).instances;
  expect(history[0]?.transitions.at(-1)?.status).toBe("critical");
  expect(history[0]?.cutAt).toBe(history[0]?.transitions[0]?.at);
  await using second = await withControl({ host: testHost({ seed: 2 }), store });
  await eventually("the second member has the instance", async () => {
    return (await second.call("GET", INSTANCE)).status === 200;
  });
  expect((await historyOf(second)).instances).toEqual(history);
});

test("an instance from before histories existed has a history from now on", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  {
    await using control = await withControl({ host, store });
    await control.call("PUT", INSTANCE, TTL);
  }
  await store.txn({ then: [{ type: "delete", prefix: "/registry/history/" }] });
  await using control = await withControl({ host, store });
  await eventually("it was found", async () => shown(await historyOf(control))?.[0] === "found critical serving");
  const [found] = (await historyOf(control)).instances;
  expect(found).toMatchObject({ start: { status: "unknown" }, cutAt: found?.transitions[0]?.at });
});
