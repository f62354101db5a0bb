/** Probing without an agent: real targets, several members over one store, and a store that fails now and then. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { TaskGroup, type Host } from "#base";
import { createReach, OWN_HOST_RULES } from "#health";
import { Members, Prober, Registry, type Check } from "#registry";
import { openMemoryStore, StoreErrors, type Store } from "#store";
import { SERVERS } from "../../registry/core/commands/commander.ts";
import { eventually, testHost, withControl } from "#test/kit";

const BY = { by: SERVERS, ifRevision: undefined };

interface Target extends AsyncDisposable {
  readonly port: number;
  status: number;
  probes: number;
}

async function target(): Promise<Target> {
  const found = { port: 0, status: 200, probes: 0 };
  const server = createServer((_request, response) => {
    found.probes++;
    response.writeHead(found.status).end("said so");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  found.port = (server.address() as AddressInfo).port;
  return Object.assign(found, {
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  });
}

interface Member extends AsyncDisposable {
  readonly registry: Registry;
  readonly members: Members;
  readonly prober: Prober;
}

/** The probing of one member of the control plane. */
async function member(host: Host, store: Store): Promise<Member> {
  const reach = createReach(OWN_HOST_RULES);
  const registry = new Registry(host, store, reach);
  const members = new Members(host, store);
  const prober = new Prober(host, registry, members, { reach });
  const tasks = new TaskGroup(host.log);
  tasks.run("registry", (signal) => registry.run(signal));
  await registry.waitFor(1);
  tasks.run("members", (signal) => members.run(signal));
  tasks.run("prober", (signal) => prober.run(signal));
  return {
    registry,
    members,
    prober,
    async [Symbol.asyncDispose]() {
      await tasks[Symbol.asyncDispose]();
      await registry.hub[Symbol.asyncDispose]();
    },
  };
}

const http: Check = { id: "up", type: "http", path: "/", intervalSeconds: 0.2, fall: 1 };
const nameOf = (id: string, service = "orders") => ({ namespace: "default", service, id });
const statusOf = ({ registry }: Pick<Member, "registry">, id: string, service?: string) =>
  registry.catalog.instance(nameOf(id, service))?.status;

test("each check is probed by exactly one member, and another takes it over when that one goes", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using web = await target();
  await using one = await member(host, store);
  const two = await member(host, store);
  for (let i = 0; i < 20; i++) {
    await one.registry.commands.register(
      nameOf(`orders-${i}`),
      { address: "127.0.0.1", port: web.port, checks: [http] },
      BY,
    );
  }
  const keys = () => [...one.prober.keys(), ...two.prober.keys()];
  await eventually("all are shared", () => new Set(keys()).size === 20 && keys().length === 20);
  expect(one.prober.keys().length).toBeGreaterThan(2);
  expect(two.prober.keys().length).toBeGreaterThan(2);
  const all = (status: string) =>
    Array.from({ length: 20 }, (_, i) => statusOf(one, `orders-${i}`)).every((s) => s === status);
  await eventually("all pass", () => all("passing"));
  await two[Symbol.asyncDispose]();
  await eventually("the other has all of them", () => one.prober.keys().length === 20);
  web.status = 500;
  await eventually("all are critical", () => all("critical"));
});

test("a check follows its definition and goes with its instance", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using web = await target();
  await using one = await member(host, store);
  const here = { address: "127.0.0.1", port: web.port };
  await one.registry.commands.register(nameOf("a"), { ...here, checks: [http, { ...http, id: "other" }] }, BY);
  await eventually("both are probed", () => one.prober.keys().length === 2);
  await one.registry.commands.register(nameOf("a"), { ...here, checks: [http] }, BY);
  await eventually("one is probed", () => one.prober.keys().length === 1);
  await one.registry.commands.register(nameOf("a"), { ...here, probedBy: "agent", checks: [http] }, BY);
  await eventually("the agent's are left alone", () => one.prober.keys().length === 0);
  await one.registry.commands.register(nameOf("a"), { ...here, checks: [http] }, BY);
  await eventually("it is probed again", () => one.prober.keys().length === 1);
  await one.registry.commands.deregister(nameOf("a"), BY);
  await eventually("nothing is probed", () => one.prober.keys().length === 0);
  const { probes } = web;
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(web.probes).toBeLessThanOrEqual(probes + 1);
});

test("a verdict that the store did not take is written later", async () => {
  const host = testHost();
  await using memory = openMemoryStore(host);
  let away = false;
  const store = new Proxy(memory, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (away && property === "txn") return Promise.reject(StoreErrors.UNAVAILABLE("away for a test"));
        return (value as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  await using web = await target();
  await using one = await member(host, store);
  await one.registry.commands.register(nameOf("a"), { address: "127.0.0.1", port: web.port, checks: [http] }, BY);
  await eventually("it passes", () => statusOf(one, "a") === "passing");
  away = true;
  web.status = 503;
  await eventually("it could not be written", () =>
    host.log.lines.some(({ message }) => message.startsWith("verdict not written yet")),
  );
  expect(statusOf(one, "a")).toBe("passing");
  away = false;
  await eventually("it is written", () => statusOf(one, "a") === "critical");
});

test("a stale verdict of a former owner does not stay", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using web = await target();
  await using one = await member(host, store);
  await one.registry.commands.register(nameOf("a"), { address: "127.0.0.1", port: web.port, checks: [http] }, BY);
  await eventually("it passes", () => statusOf(one, "a") === "passing");
  const before = one.registry.revision;
  await one.registry.commands.report(nameOf("a"), "up", { status: "critical", by: SERVERS });
  await eventually("it was written over", () => one.registry.revision > before + 1);
  await eventually("it passes again", () => statusOf(one, "a") === "passing");
});

test("an alias is as well as what it follows, at once, and a ring of aliases ends", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using web = await target();
  await using one = await member(host, store);
  const here = { address: "127.0.0.1", port: web.port };
  await one.registry.commands.register(nameOf("db-1", "db"), { ...here, checks: [http] }, BY);
  const follows = (service: string): Check => ({ id: "follows", type: "alias", service });
  await one.registry.commands.register(nameOf("api-1", "api"), { ...here, checks: [follows("db")] }, BY);
  await one.registry.commands.register(nameOf("gone-1", "gone"), { ...here, checks: [follows("nowhere")] }, BY);
  await one.registry.commands.register(
    nameOf("x-1", "x"),
    { ...here, checks: [{ ...http, id: "own" }, follows("y")] },
    BY,
  );
  await one.registry.commands.register(nameOf("y-1", "y"), { ...here, checks: [follows("x")] }, BY);
  await eventually("it passes with it", () => statusOf(one, "api-1", "api") === "passing");
  await eventually("the alias of a missing service is critical", () => statusOf(one, "gone-1", "gone") === "critical");
  web.status = 500;
  await eventually("it is critical with it", () => statusOf(one, "api-1", "api") === "critical");
  web.status = 200;
  await eventually("it passes again with it", () => statusOf(one, "api-1", "api") === "passing");
  // Two that follow each other settle, whatever they settle on.
  let last = 0;
  await eventually("nothing changes any more", async () => {
    const { revision } = one.registry;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return revision === one.registry.revision && revision === last ? true : ((last = one.registry.revision), false);
  });
});

test("outputs and transitions are served by the member that has them, and are in no key of the store", async () => {
  await using control = await withControl();
  await using web = await target();
  const checks: Check[] = [http];
  await control.client.registry.register(nameOf("a"), { address: "127.0.0.1", port: web.port, checks });
  const path = "/v1/services/orders/instances/a/health";
  const status = async () => (await control.call("GET", path)).json["status"];
  await eventually("it passes", async () => (await status()) === "passing");
  web.status = 503;
  await eventually("it is critical", async () => (await status()) === "critical");
  const { json } = await control.call("GET", `${path}/history`);
  expect(json["transitions"]).toMatchObject([
    { check: "up", from: "passing", status: "critical", output: expect.stringContaining("503") },
    { check: "up", status: "passing" },
  ]);
  expect(json["outputs"]).toMatchObject([
    { check: "up", status: "critical", output: expect.stringContaining("503 Service Unavailable") },
    { check: "up", status: "passing", output: expect.stringContaining("200 OK") },
  ]);
  const { entries } = await control.store.range({ prefix: "/" });
  for (const { key, value } of entries) expect(`${key} ${Buffer.from(value).toString()}`).not.toContain("said so");
  expect((await control.call("GET", "/v1/services/orders/instances/b/health/history")).status).toBe(404);
});

test("one flip among many instances does not walk the catalog", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using web = await target();
  await using one = await member(host, store);
  const here = { address: "127.0.0.1", port: web.port };
  const rare: Check = { ...http, intervalSeconds: 86_400, initialDelaySeconds: 3_600 };
  for (let i = 0; i < 200; i++) {
    const batch = Array.from({ length: 25 }, (_, j) => ({
      name: nameOf(`i-${j}`, `service-${i}`),
      registration: { ...here, checks: [rare] },
      ifRevision: undefined,
    }));
    await Promise.all(batch.map(({ name, registration }) => one.registry.commands.register(name, registration, BY)));
  }
  await eventually("all are probed", () => one.prober.keys().length === 5_000);
  let walks = 0;
  const { catalog } = one.registry;
  const probed = catalog.probed.bind(catalog);
  catalog.probed = () => (walks++, probed());
  await one.registry.commands.register(nameOf("flips"), { ...here, checks: [http] }, BY);
  await eventually("it passes", () => statusOf(one, "flips") === "passing");
  web.status = 500;
  await eventually("it is critical", () => statusOf(one, "flips") === "critical");
  expect(walks).toBe(0);
});

test("a member that cannot renew its lease stops probing, and goes on when it can again", async () => {
  let cut = false;
  let skippedMs = 0;
  const real = testHost();
  const host = { ...real, clock: { ...real.clock, monotonic: () => real.clock.monotonic() + skippedMs } };
  await using memory = openMemoryStore(real);
  const store = new Proxy(memory, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (cut && (property === "keepAlive" || property === "grant"))
          return Promise.reject(StoreErrors.UNAVAILABLE("cut"));
        return (value as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  await using web = await target();
  await using one = await member(host, store);
  await one.registry.commands.register(nameOf("a"), { address: "127.0.0.1", port: web.port, checks: [http] }, BY);
  await eventually("it passes", () => statusOf(one, "a") === "passing");
  cut = true;
  skippedMs = 11_000;
  await eventually("it probes nothing", () => one.prober.keys().length === 0);
  web.status = 500;
  const { probes } = web;
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(web.probes).toBeLessThanOrEqual(probes + 1);
  expect(statusOf(one, "a")).toBe("passing");
  cut = false;
  await eventually("it probes again", () => statusOf(one, "a") === "critical");
});
