/** The two /metrics of a process that is control plane and agent: what each exposes, and that Prometheus's own checker accepts it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text as textOf } from "node:stream/consumers";
import { expect, test } from "vitest";
import { createMetrics } from "#base/prometheus";
import type { AuthorityView } from "#identity/api";
import { createServer } from "#server";
import { loadSettings } from "#settings";
import { testHost } from "../kit/host.ts";
import { eventually, tempFolder } from "../kit/temp.ts";

test("the API and the agent of one process count nothing twice, and each exposes its own", async () => {
  await using folder = await tempFolder();
  const flags = {
    data: folder.path,
    store: "memory",
    roles: "registry,config-server,agent",
    port: "0",
    agentPort: "0",
    dns: "off",
  };
  const { values } = loadSettings({ environment: {}, flags });
  await using server = await createServer(testHost(), values);
  const seriesOf = async (base: string | undefined) => {
    const text = await (await fetch(`${base}/metrics`)).text();
    return text.split("\n").flatMap((line) => (line === "" || line.startsWith("#") ? [] : [line.replace(/ \S+$/, "")]));
  };
  // Each has answered once, so that both count requests.
  for (const base of [server.addresses.controlApi, server.addresses.agent]) await fetch(`${base}/livez`);
  const api = await seriesOf(server.addresses.controlApi);
  const agent = new Set(await seriesOf(server.addresses.agent));
  // Both run probes: each counts its own under this name.
  expect(api.filter((series) => agent.has(series))).toEqual(["posthouse_health_probes_late_total"]);
  expect(api.filter((series) => /posthouse_agent_|server="agent"/.test(series))).toEqual([]);
  expect([...agent].filter((series) => /posthouse_registry_|server="api"/.test(series))).toEqual([]);
  expect(agent).toContain("posthouse_agent_connected");
});

test("the end of the certificate authority is a metric, as alerts need it", async () => {
  await using folder = await tempFolder();
  const flags = { data: folder.path, store: "memory", port: "0", agentPort: "0", gatewayPort: "0", dns: "off" };
  const { values } = loadSettings({ environment: {}, flags });
  await using server = await createServer(testHost(), values);
  const { controlApi } = server.addresses;
  const headers = { authorization: `Bearer ${server.firstToken}` };
  const end = await eventually("an authority issues", async () => {
    const { certificates } = (await (await fetch(`${controlApi}/v1/authority`, { headers })).json()) as AuthorityView;
    return certificates.find(({ part, state }) => part === "intermediate" && state === "issuing")?.expiresAt;
  });
  const text = await (await fetch(`${controlApi}/metrics`)).text();
  const sample = /^posthouse_certificate_expiry_timestamp_seconds\{certificate="certificate authority"\} (\S+)$/m;
  expect(Number(sample.exec(text)?.[1])).toBe(Date.parse(end) / 1000);
});

/** The output and exit code of `promtool check metrics` for an exposition. */
async function promtoolCheck(exposition: string) {
  const child = spawn("promtool", ["check", "metrics"], { stdio: "pipe" });
  child.stdin.end(exposition);
  const [out, errors, [code]] = await Promise.all([textOf(child.stdout), textOf(child.stderr), once(child, "close")]);
  return { code: code as number, output: `${out}${errors}` };
}

test("promtool has no objection to the metrics of any role, and the names are the same in both formats", async () => {
  await using folder = await tempFolder();
  const flags = { data: folder.path, store: "memory", port: "0", agentPort: "0", gatewayPort: "0", dns: "off" };
  const { values } = loadSettings({ environment: {}, flags });
  // The metrics of the process itself are part of what is checked.
  const { metrics: _silent, ...given } = testHost();
  await using server = await createServer({ ...given, metrics: createMetrics({ process: true }) }, values);
  for (const base of [server.addresses.controlApi, server.addresses.agent]) {
    await fetch(`${base}/livez`);
    const plain = await fetch(`${base}/metrics`);
    expect(plain.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(plain.headers.get("vary")).toContain("accept");
    const plainText = await plain.text();
    expect(await promtoolCheck(plainText)).toEqual({ code: 0, output: "" });
    const open = await fetch(`${base}/metrics`, { headers: { accept: "application/openmetrics-text;version=1.0.0" } });
    expect(open.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    const openText = await open.text();
    expect(openText).toMatch(/\n# EOF\n$/);
    // OpenMetrics: the family of a counter has no suffix, and its samples have it.
    expect(openText).toContain("# TYPE posthouse_health_probes counter");
    expect(openText).toContain("\nposthouse_health_probes_late_total 0\n");
    const names = (exposition: string) =>
      new Set([...exposition.matchAll(/^([a-z_]\w*)[ {]/gm)].map(([, name]) => name));
    // A counter may begin between two reads, and none ends.
    const later = await (await fetch(`${base}/metrics`)).text();
    expect([...names(plainText).difference(names(openText))]).toEqual([]);
    expect([...names(openText).difference(names(later))]).toEqual([]);
  }
  expect(await promtoolCheck("# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n")).toMatchObject({ code: 3 });
});
