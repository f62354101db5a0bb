/** The two /metrics of a process that is control plane and agent. */
import { expect, test } from "vitest";
import { createServer } from "#server";
import { loadSettings } from "#settings";
import { testHost } from "../kit/host.ts";
import { tempFolder } from "../kit/temp.ts";

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
