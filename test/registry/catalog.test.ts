/** The catalog: how it applies the store's events, what it counts, and which instances discovery returns. */
import { expect, test } from "vitest";
import { encodeJson } from "#base";
import type { Instance, ServicePolicy } from "#registry/api";
import { Catalog, type CatalogEntry, type CatalogEvent } from "../../registry/core/catalog.ts";
import {
  discover,
  FALLBACKS_MAX,
  headcount,
  judgePanic,
  type DiscoveryRequest,
} from "../../registry/core/discovery.ts";
import { instanceKey, parseRegistryKey, policyKey, tombstoneKey, verdictKey } from "../../registry/core/keys.ts";
import { recordOf } from "../../registry/core/record.ts";

const UP = { id: "up", type: "tcp" } as const;
const BEAT = { id: "beat", type: "ttl", ttlSeconds: 5 } as const;
const nameOf = (id: string, service = "orders", namespace = "default") => ({ namespace, service, id });

function entry(key: string, value: unknown, revision: number, lease?: string): CatalogEntry {
  const rest = lease === undefined ? {} : { lease };
  return { key, value: encodeJson(value), createRevision: revision, modRevision: revision, ...rest };
}
const put = (...args: Parameters<typeof entry>): CatalogEvent => ({ type: "put", entry: entry(...args) });
const gone = (key: string): CatalogEvent => ({ type: "delete", key });

function registered(id: string, revision: number, over: Partial<Parameters<typeof recordOf>[0]> = {}, lease?: string) {
  const { service = "orders", ...rest } = over as { service?: string };
  return put(instanceKey(nameOf(id, service)), recordOf({ address: "10.0.0.1", port: 80, ...rest }), revision, lease);
}
const judged = (id: string, check: string, status: string, revision: number) =>
  put(verdictKey(nameOf(id), check), { status, sinceMs: 0 }, revision);

test("an instance is as everyone sees it: its record, its session, its revisions, and its checks with their verdicts", () => {
  const catalog = new Catalog();
  catalog.apply([registered("one", 3, { checks: [UP, BEAT], tags: ["v2"] }, "session")], 3);
  const before = catalog.instance(nameOf("one"));
  expect(before).toMatchObject({
    ...nameOf("one"),
    address: "10.0.0.1",
    tags: ["v2"],
    lifecycle: "serving",
    status: "critical",
    session: "session",
    createRevision: 3,
    modRevision: 3,
    // A probe that never ran is unknown; a TTL check that was never reported has lapsed.
    checks: [
      { id: "up", type: "tcp", status: "unknown" },
      { id: "beat", type: "ttl", status: "critical" },
    ],
  });
  expect(before).not.toHaveProperty("probedBy");
  catalog.apply([judged("one", "up", "warning", 4), judged("one", "beat", "passing", 4)], 4);
  const after = catalog.instance(nameOf("one"));
  expect(after).toMatchObject({ status: "warning", modRevision: 3 });
  expect(after?.checks[0]).toEqual({ id: "up", type: "tcp", status: "warning", since: "1970-01-01T00:00:00.000Z" });
  catalog.apply([gone(verdictKey(nameOf("one"), "beat"))], 5);
  expect(catalog.instance(nameOf("one"))?.status).toBe("critical");
  expect(catalog.record(nameOf("one"))?.port).toBe(80);
  catalog.apply([registered("one", 6, { port: 81 })], 6);
  expect(catalog.instance(nameOf("one"))).toMatchObject({ port: 81, modRevision: 6, createRevision: 6, checks: [] });
  expect(catalog.instance(nameOf("one"))).not.toHaveProperty("session");
  expect([catalog.instance(nameOf("two")), catalog.record(nameOf("one", "users"))]).toEqual([undefined, undefined]);
});

test("a change names the instances that it touches, those that are gone, and nothing of other services", () => {
  const catalog = new Catalog();
  const short = (events: readonly CatalogEvent[], revision: number) =>
    catalog
      .apply(events, revision)
      .map(({ service, instances, removed, panic }) => [service, instances.map(({ id }) => id), removed, panic]);
  expect(
    short([registered("a", 1), registered("b", 1), registered("u", 1, { service: "users" } as object)], 1),
  ).toEqual([
    ["orders", ["a", "b"], [], false],
    ["users", ["u"], [], false],
  ]);
  expect(short([judged("a", "up", "passing", 2), put("/registry/later/default/orders", {}, 2)], 2)).toEqual([
    ["orders", ["a"], [], false],
  ]);
  expect(short([gone(instanceKey(nameOf("b"))), registered("c", 3)], 3)).toEqual([["orders", ["c"], ["b"], false]]);
  // A policy touches the service and none of its instances.
  const policy = { gateway: { timeoutMs: 7 } } as unknown as ServicePolicy;
  expect(catalog.apply([put(policyKey(nameOf("")), policy, 4)], 4)).toEqual([
    { namespace: "default", service: "orders", instances: [], removed: [], panic: false, gateway: policy.gateway },
  ]);
  expect([catalog.policy("default", "orders"), catalog.hasPolicy("default", "orders")]).toEqual([policy, true]);
  expect([catalog.policy("default", "users"), catalog.hasPolicy("default", "users")]).toEqual([{}, false]);
  expect([catalog.serviceRevision("default", "orders"), catalog.serviceRevision("default", "users")]).toEqual([4, 1]);
  catalog.apply([gone(policyKey(nameOf("")))], 5);
  expect(catalog.hasPolicy("default", "orders")).toBe(false);
});

test("a service is forgotten with the last that is known of it: instance, verdict or policy", () => {
  const catalog = new Catalog();
  const known = () => catalog.services().map(({ namespace, service }) => `${namespace}/${service}`);
  catalog.apply([registered("a", 1), judged("a", "up", "passing", 1), put(policyKey(nameOf("")), {}, 1)], 1);
  for (const key of [instanceKey(nameOf("a")), verdictKey(nameOf("a"), "up")]) {
    catalog.apply([gone(key)], 2);
    expect([known(), catalog.instances("default", "orders")]).toEqual([["default/orders"], []]);
  }
  expect(catalog.size("default", "orders")).toBe(0);
  catalog.apply([gone(policyKey(nameOf("")))], 3);
  expect([known(), catalog.serviceRevision("default", "orders"), catalog.size("default", "orders")]).toEqual([
    [],
    0,
    0,
  ]);
});

test("lists are in order of name, within a namespace or over all, and a new listing replaces what was known", () => {
  const catalog = new Catalog();
  const record = recordOf({ address: "10.0.0.1", port: 80 });
  const entries = [
    nameOf("b"),
    nameOf("c"),
    nameOf("a"),
    nameOf("x", "billing"),
    nameOf("y", "users", "a"),
    nameOf("z", "audit", "z"),
  ].map((name) => entry(instanceKey(name), record, 1));
  catalog.apply([registered("old", 1, { service: "past" } as object)], 1);
  catalog.reset(entries, 9);
  expect(catalog.instances("default", "orders").map(({ id }) => id)).toEqual(["a", "b", "c"]);
  expect(catalog.services().map(({ service }) => service)).toEqual(["users", "billing", "orders", "audit"]);
  expect(catalog.services("default").map(({ service }) => service)).toEqual(["billing", "orders"]);
  expect([catalog.size("default", "orders"), catalog.size("default", "past")]).toEqual([3, 0]);
  // It is not known what changed meanwhile, so every service counts as changed.
  expect(catalog.serviceRevision("default", "billing")).toBe(9);
});

test("a service's counts follow its instances, and too few healthy ones are a panic", () => {
  const catalog = new Catalog();
  const panic = () => catalog.panic("default", "orders").panic;
  catalog.apply(
    ["a", "b", "c", "d"].map((id) => registered(id, 1, { checks: [BEAT] })),
    1,
  );
  expect(panic()).toBe(true);
  catalog.apply([judged("a", "beat", "passing", 2)], 2);
  expect(catalog.panic("default", "orders")).toMatchObject({
    panic: true,
    reason: expect.stringContaining("1 of 4 ") as string,
  });
  catalog.apply([judged("b", "beat", "warning", 3)], 3);
  expect(panic()).toBe(false);
  expect(catalog.summary("default", "orders")).toEqual({
    namespace: "default",
    service: "orders",
    instances: 4,
    draining: 0,
    passing: 1,
    warning: 1,
    critical: 2,
    unknown: 0,
  });
  // Those that drain or have gone count neither as serving nor as healthy.
  catalog.apply([registered("a", 4, { checks: [BEAT], lifecycle: "draining" })], 4);
  expect([panic(), catalog.summary("default", "orders").draining]).toEqual([true, 1]);
  catalog.apply([gone(instanceKey(nameOf("c"))), gone(instanceKey(nameOf("d")))], 5);
  expect(panic()).toBe(false);
  catalog.apply([gone(verdictKey(nameOf("b"), "beat"))], 6);
  expect([panic(), catalog.panic("default", "nobody").panic]).toEqual([true, false]);
});

test("a record has every default filled in, and of what may be absent only what was given", () => {
  expect(recordOf({ address: "10.0.0.1", port: 80 })).toEqual({
    address: "10.0.0.1",
    port: 80,
    protocol: "http",
    ports: [],
    tags: [],
    metadata: {},
    weight: 100,
    lifecycle: "serving",
    probedBy: "server",
    checks: [],
  });
  const given: Parameters<typeof recordOf>[0] = {
    address: "db",
    port: 1,
    protocol: "tcp",
    tags: ["t"],
    metadata: { a: "b" },
    weight: 0,
    version: "1",
    zone: "z",
    lifecycle: "starting",
    owner: "o",
    incarnation: 2,
    probedBy: "agent",
  };
  const ports = [{ name: "a", port: 2 }];
  expect(recordOf({ ...given, tags: ["t"], ports, checks: [] })).toEqual({
    ...given,
    ports: [{ name: "a", port: 2, protocol: "http" }],
    checks: [],
  });
});

test("instances that leave, and checks that the servers probe, are found without the others", () => {
  const catalog = new Catalog();
  catalog.apply(
    [
      registered("a", 1, { checks: [UP, BEAT] }),
      registered("b", 1, { checks: [UP], probedBy: "agent" }),
      registered("c", 1, { lifecycle: "draining" }),
      registered("d", 1, { lifecycle: "stopped" }),
      registered("e", 1, { lifecycle: "starting" }),
      judged("a", "up", "passing", 1),
      judged("ghost", "up", "passing", 1),
    ],
    1,
  );
  expect([...catalog.leaving()].map(({ id }) => id)).toEqual(["c", "d"]);
  expect([...catalog.probed()]).toMatchObject([
    { name: nameOf("a"), check: { id: "up" }, verdict: { status: "passing" } },
  ]);
});

test("keys say what they are about; those of a later version are passed over", () => {
  const name = nameOf("one");
  expect(parseRegistryKey(instanceKey(name))).toEqual({ kind: "instance", name });
  expect(parseRegistryKey(verdictKey(name, "up"))).toEqual({ kind: "verdict", name, check: "up" });
  expect(parseRegistryKey(policyKey(name))).toEqual({
    kind: "policy",
    name: { namespace: "default", service: "orders" },
  });
  for (const key of [
    "/registry/instances/default",
    "/registry/instances//orders/one",
    "/registry/instances/default/orders",
    "/registry/instances/default/orders/",
    "/registry/instances/default/orders/one/up",
    "/registry/verdicts/default/orders/one",
    "/registry/verdicts/default/orders/one/",
    "/registry/verdicts/default/orders/one/up/more",
    "/registry/policies/default",
    "/registry/policies/default/orders/one",
    "/registry/later/default/orders/one",
    "/registry/",
    tombstoneKey(name),
  ]) {
    expect([key, parseRegistryKey(key)]).toEqual([key, undefined]);
  }
});

const at = (id: string, zone: string, status = "passing", over: Partial<Instance> = {}) =>
  ({ ...nameOf(id), id, zone, status, lifecycle: "serving", ...over }) as Instance;

function found(
  services: Readonly<Record<string, readonly Instance[]>>,
  policies: Readonly<Record<string, ServicePolicy>>,
  over: Partial<DiscoveryRequest> = {},
) {
  const reader = {
    instances: (namespace: string, service: string) => services[`${namespace}/${service}`] ?? [],
    policy: (namespace: string, service: string) => policies[`${namespace}/${service}`] ?? {},
  };
  const request = { namespace: "default", service: "orders", matches: [], healthy: undefined, near: undefined };
  const { instances, from, looked, panic } = discover(reader, { ...request, failover: true, ...over });
  return {
    ids: instances.map(({ id }) => id).join(" "),
    from: from && `${from.tier} ${from.namespace}/${from.service}`,
    looked: looked.map(({ namespace, service }) => `${namespace}/${service}`).join(" "),
    panic,
  };
}

test("without failover a service answers for itself, near instances first, those asked for only", () => {
  const services = { "default/orders": [at("a", "us"), at("b", "eu"), at("c", "us", "critical"), at("d", "eu")] };
  const ask = (over: Partial<DiscoveryRequest>) => found(services, {}, { failover: false, ...over });
  expect(ask({})).toEqual({ ids: "a b c d", from: undefined, looked: "default/orders", panic: false });
  expect(ask({ near: "eu" }).ids).toBe("b d a c");
  expect([ask({ healthy: true }).ids, ask({ healthy: false }).ids]).toEqual(["a b d", "c"]);
  const matches = [({ zone }: Instance) => zone === "us", ({ id }: Instance) => id !== "a"];
  expect(ask({ matches })).toMatchObject({ ids: "c", panic: true });
  expect([ask({ matches: matches.slice(0, 1) }).ids, ask({ matches: matches.slice(1) }).ids]).toEqual(["a c", "b c d"]);
});

test("with failover the first tier with enough that are healthy answers: the zone, the service, its fallbacks", () => {
  const ill = [at("a", "eu", "critical"), at("b", "us", "critical")];
  const policies = {
    "default/orders": { fallback: { service: "backup" } },
    "default/backup": { fallback: { service: "last", namespace: "far" } },
  };
  const well = { "default/backup": [at("c", "us")], "far/last": [at("d", "us")] };
  const near = found({ "default/orders": [at("a", "eu"), at("b", "us")], ...well }, policies, { near: "eu" });
  expect([near.ids, near.from]).toEqual(["a", "zone default/orders"]);
  const service = found({ "default/orders": [at("b", "us")], ...well }, policies, { near: "eu" });
  expect([service.ids, service.from]).toEqual(["b", "service default/orders"]);
  const fallback = found({ "default/orders": ill, ...well }, policies, { near: "eu" });
  expect(fallback).toMatchObject({ ids: "c", from: "fallback default/backup" });
  expect(fallback.looked).toBe("default/orders default/backup far/last");
  const far = found({ "default/orders": ill, "far/last": [at("d", "us")] }, policies);
  expect(far).toMatchObject({ ids: "d", from: "fallback far/last" });
  // When no tier has enough, the first with a healthy instance; when there is none, the service itself.
  const few = [at("a", "us", "critical"), at("b", "us", "critical"), at("c", "us", "critical"), at("d", "us")];
  expect(found({ "default/orders": ill, "default/backup": few }, policies)).toMatchObject({
    from: "fallback default/backup",
    panic: true,
  });
  expect(found({ "default/orders": ill }, policies)).toMatchObject({ ids: "a b", from: "service default/orders" });
});

test("a chain of fallbacks ends after four services, and at a service that it has already visited", () => {
  const chain = Object.fromEntries(
    Array.from({ length: 9 }, (_, i) => [`default/s${i}`, { fallback: { service: `s${i + 1}` } }]),
  );
  const ask = (policies: Readonly<Record<string, ServicePolicy>>) => found({}, policies, { service: "s0" }).looked;
  expect([ask(chain), FALLBACKS_MAX]).toEqual(["default/s0 default/s1 default/s2 default/s3", 4]);
  expect(ask({ ...chain, "default/s1": { fallback: { service: "s0" } } })).toBe("default/s0 default/s1");
  // The same name in another namespace is another service.
  const other = { "default/s0": { fallback: { service: "s0", namespace: "far" } } };
  expect(ask(other)).toBe("default/s0 far/s0");
});

test("the share that must be healthy is exact, and counts those that serve only", () => {
  const panic = (healthy: number, serving: number, minHealthyPercent?: number) =>
    judgePanic({ healthy, serving }, minHealthyPercent === undefined ? {} : { minHealthyPercent }).panic;
  expect([panic(3, 10, 30), panic(2, 10, 30), panic(0, 0, 30), panic(0, 5, 0)]).toEqual([false, true, false, false]);
  const instances = [at("a", "us"), at("b", "us", "critical"), at("c", "us", "passing", { lifecycle: "draining" })];
  expect(headcount(instances)).toEqual({ serving: 2, healthy: 1 });
});
