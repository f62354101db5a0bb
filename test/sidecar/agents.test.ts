/** Sidecars in agents at the real control plane: definitions, registration of ingresses, rules by config, drain and restart. */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createAgent, type SidecarState } from "#agent";
import { Client, fetchTransport } from "#client";
import type { HeldIdentity } from "../../agent/service-identities.ts";
import { serviceRulesReleaseCheck } from "#sidecar/rules";
import { eventually, freePort, hangSignal, tempFolder, testHost, withControl, type TestControl } from "#test/kit";
import { callHttp, settingsIn } from "../agent/agent-kit.ts";
import {
  exchange,
  meshAuthority,
  spiffeOf,
  tcpService,
  testIdentity,
  type MeshAuthority,
  type TestIdentity,
} from "./mesh-kit.ts";

/** An agent whose services get certificates of an authority. */
async function agentIn(
  folder: string,
  {
    control,
    node,
    authority,
    drainMs = 0,
    leaveOnStop = true,
  }: { control: TestControl; node: string; authority: MeshAuthority; drainMs?: number; leaveOnStop?: boolean },
) {
  const settings = await settingsIn(join(folder, node), { node, sidecarDrainMs: drainMs, leaveOnStop });
  const sources = new Map<string, TestIdentity>();
  const hold = ({ namespace, service }: { namespace: string; service: string }): HeldIdentity => {
    const source = sources.get(service) ?? testIdentity();
    if (!sources.has(service)) {
      sources.set(service, source);
      void authority.issue(spiffeOf(service, namespace)).then((material) => source.set(material));
    }
    return { source, problem: undefined, release: () => {} };
  };
  const running = await createAgent(testHost(), { client: control.client, settings, identities: { hold } });
  const { socket = "" } = await running.listen();
  await running.ready(hangSignal());
  return {
    running,
    /** Replaces the definition file. */
    async define(services: readonly object[]) {
      await writeFile(join(settings.servicesDir ?? "", "services.json"), JSON.stringify({ services }));
      await running.reload();
    },
    state: async () => (await callHttp<SidecarState>(socket, "GET", "/v1/agent/sidecar")).body,
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

async function rules(control: TestControl, value: string) {
  const { status, json } = await control.call("POST", "/v1/config/default/posthouse/default/releases", {
    items: { "service-rules.yaml": { format: "yaml", value } },
  });
  return { status, json };
}

test("a service calls another by its definition alone, and a released rule decides", async () => {
  await using folder = await tempFolder();
  await using control = await withControl({ releaseChecks: [serviceRulesReleaseCheck] });
  await using service = await tcpService();
  const authority = await meshAuthority();
  await using there = await agentIn(folder.path, { control, node: "host-b", authority });
  await using here = await agentIn(folder.path, { control, node: "host-a", authority });
  const port = await freePort();
  await there.define([{ name: "stock", port: service.port, protocol: "tcp", sidecar: { ingress: {} } }]);
  await here.define([{ name: "orders", port: 80, sidecar: { upstreams: [{ service: "stock", port }] } }]);
  const first = async () =>
    (await control.client.registry.instances({ namespace: "default", service: "stock" })).instances[0];
  const ingress = await eventually("the ingress is registered", async () => (await first())?.ingress?.port);
  const opened = await there.state();
  expect(opened.ingresses).toMatchObject([{ service: "stock", port: ingress, rulesKnown: true, connections: 0 }]);
  expect(Date.parse(opened.ingresses[0]?.certificateExpiresAt ?? "")).toBeGreaterThan(Date.now());
  const ask = async () => String((await exchange(port, "hello")).received);
  await eventually("orders reaches stock", async () => (await ask()) === "hello");

  const bad = await rules(control, "rules: [orders can call stock]");
  expect(bad.status).toBe(422);
  expect(JSON.stringify(bad.json)).toContain("is not a valid rule");
  expect((await rules(control, "rules: [web may call stock]")).status).toBe(201);
  await eventually("the rule closes stock", async () => (await ask()) === "");
  const { denials, pairs } = await there.state();
  expect(denials[0]).toMatchObject({
    caller: "spiffe://posthouse/ns/default/service/orders",
    service: "stock",
    reportOnly: false,
  });
  expect(denials[0]?.why).toContain('add "orders may call stock"');
  expect(pairs[0]?.denied).toBeGreaterThan(0);
  const { upstreams } = await here.state();
  expect(upstreams).toMatchObject([
    { service: "stock", port, endpoints: 1, problem: "a rule of the destination denies the connection" },
  ]);
  await rules(control, "rules: [orders may call stock]");
  await eventually("the rule opens stock", async () => (await ask()) === "hello");

  // Added and removed while the agent runs: the first upstream keeps its listener and its connections.
  const running = connect(port, "127.0.0.1");
  running.write("a");
  await once(running, "data");
  const second = await freePort();
  const upstreams2 = [
    { service: "stock", port },
    { service: "stock", port: second },
  ];
  await here.define([{ name: "orders", port: 80, sidecar: { upstreams: upstreams2 } }]);
  await eventually("the second one works", async () => String((await exchange(second, "x")).received) === "x");
  await here.define([{ name: "orders", port: 80, sidecar: { upstreams: [{ service: "stock", port }] } }]);
  await expect(exchange(second, "x")).resolves.toMatchObject({ failed: true });
  running.write("b");
  expect(String((await once(running, "data"))[0])).toBe("b");
  running.destroy();

  await there.define([{ name: "stock", port: service.port, protocol: "tcp" }]);
  await eventually("the ingress is gone", async () => {
    const found = await first();
    return found !== undefined && found.ingress === undefined;
  });
});

test("calls go on while the instance of one host drains and its agent stops", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await using service = await tcpService();
  const authority = await meshAuthority();
  await using one = await agentIn(folder.path, { control, node: "host-a", authority, drainMs: 60_000 });
  await using two = await agentIn(folder.path, { control, node: "host-b", authority, drainMs: 60_000 });
  await using here = await agentIn(folder.path, { control, node: "host-c", authority });
  const definition = { name: "stock", port: service.port, protocol: "tcp", sidecar: { ingress: {} } };
  await one.define([definition]);
  await two.define([definition]);
  const port = await freePort();
  await here.define([{ name: "orders", port: 80, sidecar: { upstreams: [{ service: "stock", port }] } }]);
  await eventually("both are known", async () => (await here.state()).upstreams[0]?.endpoints === 2);
  let failed = 0;
  let done = 0;
  const stop = new AbortController();
  const load = Array.from({ length: 3 }, async () => {
    while (!stop.signal.aborted) {
      const { received } = await exchange(port, "hello");
      if (String(received) === "hello") done += 1;
      else failed += 1;
    }
  });
  await eventually("there is load", () => done > 20);
  await one.running[Symbol.asyncDispose]();
  const before = done;
  await eventually("the load goes on", () => done > before + 20);
  expect((await here.state()).upstreams).toMatchObject([{ endpoints: 1 }]);
  stop.abort();
  await Promise.all(load);
  expect(failed).toBe(0);
});

test("a host that starts without the control plane knows its rules and its upstreams", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await using service = await tcpService();
  const authority = await meshAuthority();
  const port = await freePort();
  const ingressPort = await freePort();
  const services = [
    { name: "stock", port: service.port, protocol: "tcp", sidecar: { ingress: { port: ingressPort } } },
    { name: "orders", port: 80, sidecar: { upstreams: [{ service: "stock", port }] } },
  ];
  await rules(control, "rules: [orders may call stock]");
  {
    // As after a crash: a clean stop takes the services out of the registry.
    await using first = await agentIn(folder.path, { control, node: "host-a", authority, leaveOnStop: false });
    await first.define(services);
    await eventually("it works", async () => String((await exchange(port, "x")).received) === "x");
  }
  // The control plane is away: nothing listens at its address.
  await using transport = fetchTransport({ urls: [`http://127.0.0.1:${await freePort()}`] });
  const away = { ...control, client: new Client(control.host, { transport, token: control.token }) };
  await using again = await agentIn(folder.path, { control: away, node: "host-a", authority });
  await again.define(services);
  await eventually("it works again", async () => String((await exchange(port, "x")).received) === "x");
  expect((await again.state()).ingresses).toMatchObject([{ rulesKnown: true }]);
});

test("definitions that do not fit are refused with their line", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await using agent = await agentIn(folder.path, { control, node: "host-a", authority: await meshAuthority() });
  const refused = async (sidecar: object) => {
    await agent.define([{ name: "orders", port: 80, sidecar }]);
    return agent.running
      .status()
      .problems.map(({ detail }) => detail)
      .join("\n");
  };
  expect(await refused({ upstreams: [{ service: "stock" }] })).toContain(
    "/services/0/sidecar/upstreams/0: needs either port or socket",
  );
  expect(await refused({ upstreams: [{ service: "stock", port: 1, mode: "0600" }] })).toContain("a port has no mode");
  expect(
    await refused({
      upstreams: [
        { service: "a", port: 1 },
        { service: "b", port: 1 },
      ],
    }),
  ).toContain("another upstream already uses 1");
  expect(await refused({ ingres: {} })).toContain('"ingres"');
});
