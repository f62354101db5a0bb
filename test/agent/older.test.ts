/** A server that knows less than before, and one whose push fails: the newer config stays, and nothing is missed for long. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configCache } from "../../agent/caches.ts";
import { ConfigAudit } from "../../agent/config-audit.ts";
import { AUDIT_MS } from "#client/follow";
import { isOlder } from "#config-server/api";
import { eventually, ManualClock, tempFolder, testHost } from "#test/kit";
import { settingsIn, startAgent } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const WEB = { namespace: "default", app: "web", profile: "default" };

function at(storeRevision: number, { version, revision }: { version: number; revision: number }) {
  const origin = { profile: "default", version };
  const items = { a: { format: "text" as const, value: String(version), origin } };
  return { revision: storeRevision, value: { ...WEB, releaseKey: `v${version}`, revision, items } };
}

test("only a store that has not come as far can have something older", () => {
  const known = at(100, { version: 5, revision: 90 });
  expect(isOlder(known, at(50, { version: 4, revision: 40 }))).toBe(true);
  expect(isOlder(known, at(3, { version: 0, revision: 0 }))).toBe(true);
  // An instance that leaves a gradual release: a lower version and an earlier release, but the store has gone on.
  expect(isOlder(known, at(101, { version: 4, revision: 40 }))).toBe(false);
  // A release in a store that was restored, which is news though its version is not higher.
  expect(isOlder(known, at(95, { version: 5, revision: 95 }))).toBe(false);
  expect(isOlder(known, at(60, { version: 5, revision: 90 }))).toBe(false);
});

async function world(folder: string) {
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "one" });
  const before = structuredClone(plane.configs.get("default/web/default"));
  const { servicesDir = "" } = await settingsIn(folder);
  await writeFile(join(servicesDir, "files.yaml"), "file: { app: web, key: a, path: ../a }");
  const agent = await startAgent(plane, folder, { leaveOnStop: false });
  const file = () => readFile(join(folder, "a"), "utf8").catch(() => "");
  plane.release(WEB, { a: "two" });
  await eventually("it is written", async () => (await file()) === "two");
  plane.setUp(false);
  // As after restoring a copy of the store that was made before the second release.
  if (before) plane.configs.set("default/web/default", before);
  plane.revision = 2;
  return { plane, agent, file };
}

test("an older config from a server with an older store is reported and not applied, until a newer one arrives", async () => {
  await using folder = await tempFolder();
  const { plane, agent, file } = await world(folder.path);
  await using _ = agent;
  plane.setUp(true);
  const problems = () => agent.running.status().problems.map(({ code }) => code);
  await eventually("it is shown", () => problems().includes("AGENT_CONFIG_OLDER"));
  const { headers, body } = await agent.call("GET", "/v1/agent/config/default/web/default");
  expect(headers["x-posthouse-stale"]).toBe("true");
  expect(body).toMatchObject({ items: { a: { value: "two" } } });
  expect((await agent.call<string>("GET", "/metrics")).body).toContain("posthouse_agent_configs_held 1");
  expect(agent.log.lines.filter(({ message }) => message.includes("an older config than this host"))).toHaveLength(1);
  expect(await file()).toBe("two");
  plane.release(WEB, { a: "three" });
  await eventually("the newer config is written", async () => (await file()) === "three");
  expect(problems()).toEqual([]);
});

test("an operator may take the older one, and a restart in between changes nothing", async () => {
  await using folder = await tempFolder();
  const { plane, agent, file } = await world(folder.path);
  await agent[Symbol.asyncDispose]();
  plane.setUp(true);
  await using again = await startAgent(plane, folder.path);
  await eventually("it is held", () => again.running.status().problems[0]?.code === "AGENT_CONFIG_OLDER");
  expect(await file()).toBe("two");
  const path = "/v1/agent/config/default/web/default/accept";
  expect((await again.call("POST", path)).status).toBe(204);
  await eventually("it is taken", async () => (await file()) === "one");
  expect(again.running.status().problems).toEqual([]);
  expect(await again.call("POST", path)).toMatchObject({ status: 404, body: { code: "AGENT_NOTHING_HELD" } });
});

test("a release that push missed is found by the audit, which asks for little while nothing is missing", async () => {
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "one" });
  const clock = new ManualClock();
  const host = testHost({ clock });
  const changed: string[] = [];
  await using configs = configCache(
    host,
    { client: plane.client(), node: "host-a", labels: {} },
    {
      onChange: (name) => changed.push(configs.peek(name)?.value.items["a"]?.value ?? ""),
      onHeld: () => {},
    },
  );
  await using audit = new ConfigAudit(host, {
    client: plane.client().config,
    instance: { id: "host-a", labels: {} },
    configs,
  });
  configs.follow(WEB, { pinned: true });
  await eventually("the release has arrived", () => changed.length === 1);
  audit.start();
  const audits = () => plane.calls.filter((call) => call === "effective web").length;
  await clock.advance(AUDIT_MS * 0.79);
  expect(audits()).toBe(0);
  await clock.advance(AUDIT_MS * 0.42);
  const counted = async (line: string) => (await host.metrics.expose()).text.includes(line);
  await eventually("it was asked", () => counted('posthouse_agent_config_audits_total{result="same"} 1'));
  expect(audits()).toBe(1);
  plane.mute = true;
  plane.release(WEB, { a: "two" });
  await eventually("the audit finds it", async () => {
    await clock.advance(10_000);
    return configs.peek(WEB)?.value.items["a"]?.value === "two";
  });
  expect(audits()).toBe(2);
  expect(changed).toEqual(["one", "two"]);
  expect(await counted('posthouse_agent_config_audits_total{result="missed"} 1')).toBe(true);
});

test("a file that another program changed or removed is written again, and that is logged", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "one" });
  const { servicesDir = "" } = await settingsIn(folder.path);
  await writeFile(join(servicesDir, "files.yaml"), "file: { app: web, key: a, path: ../a }");
  await using agent = await startAgent(plane, folder.path);
  const file = () => readFile(join(folder.path, "a"), "utf8").catch(() => "");
  await eventually("it is written", async () => (await file()) === "one");
  await writeFile(join(folder.path, "a"), "mine");
  await agent.running.reload();
  await eventually("it is as released again", async () => (await file()) === "one");
  expect(agent.log.lines.some(({ message }) => message.includes("another program changed or removed the file"))).toBe(
    true,
  );
});
