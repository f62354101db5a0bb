/** The checks of a host: every kind through the agent's own API, what it refuses, and what it remembers. */
import { createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { eventually, tempFolder } from "#test/kit";
import { startAgent, startService, type TestAgent } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const SOON = { intervalSeconds: 0.2, fall: 1 };

interface Seen {
  readonly id: string;
  readonly checks: { id: string; status: string; output: string }[];
}

async function checkOf(agent: TestAgent, service: string, check: string) {
  const { body } = await agent.call<{ services: Seen[] }>("GET", "/v1/agent/health");
  return body.services.find(({ id }) => id === service)?.checks.find(({ id }) => id === check);
}

test("the agent probes each kind, and tells the server of what changes", async () => {
  await using folder = await tempFolder();
  await using web = await startService();
  const tcp = createServer().listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const plane = new FakeControlPlane();
  await using agent = await startAgent(plane, folder.path, { execAllow: ["/usr/bin/env"] });
  const checks = [
    { id: "http", type: "http", path: "/", ...SOON },
    { id: "tcp", type: "tcp", port: (tcp.address() as AddressInfo).port, ...SOON },
    { id: "exec", type: "exec", program: "/usr/bin/env", args: ["true"], ...SOON },
    { id: "process", type: "process", pid: process.pid, ...SOON },
  ];
  const put = await agent.call("PUT", "/v1/agent/services/web", { name: "web", port: web.port, checks });
  expect(put.status).toBe(204);
  for (const { id } of checks) {
    await eventually(`${id} passes`, async () => (await checkOf(agent, "web", id))?.status === "passing");
  }
  await eventually("the server knows", () => plane.instance("web")?.checks.every(({ status }) => status === "passing"));
  tcp.close();
  await eventually("tcp is critical", async () => (await checkOf(agent, "web", "tcp"))?.status === "critical");
  await eventually("the server knows that, too", () =>
    plane.instance("web")?.checks.some(({ id, status }) => id === "tcp" && status === "critical"),
  );
  const { body } = await agent.call<{ transitions: object[]; outputs: object[] }>(
    "GET",
    "/v1/agent/services/web/health/history",
  );
  expect(body.transitions[0]).toMatchObject({ check: "tcp", from: "passing", status: "critical" });
  expect(body.outputs).toContainEqual(expect.objectContaining({ check: "exec", status: "passing" }));
  const nobody = await agent.call("GET", "/v1/agent/services/nobody/health/history");
  expect(nobody).toMatchObject({ status: 404, body: { code: "AGENT_SERVICE_NOT_FOUND" } });
});

test("a program that the operator did not allow is not run, and the output says how it may be", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  const checks = [{ id: "exec", type: "exec", program: "/usr/bin/env", ...SOON }];
  await agent.call("PUT", "/v1/agent/services/web", { name: "web", port: 80, checks });
  await eventually("it is critical", async () => (await checkOf(agent, "web", "exec"))?.status === "critical");
  expect((await checkOf(agent, "web", "exec"))?.output).toContain("agentExecAllow");
});

test("an alias follows another service of this host at once", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  const beat = { id: "beat", type: "ttl", ttlSeconds: 60 };
  await agent.call("PUT", "/v1/agent/services/db-1", { name: "db", port: 1, checks: [beat] });
  const checks = [{ id: "follows", type: "alias", service: "db" }];
  await agent.call("PUT", "/v1/agent/services/api-1", { name: "api", port: 2, checks });
  const is = (status: string) => async () => (await checkOf(agent, "api-1", "follows"))?.status === status;
  await eventually("it is critical with it", is("critical"));
  for (const status of ["passing", "warning", "critical"]) {
    await agent.call("PUT", "/v1/agent/services/db-1/checks/beat", { status });
    await eventually(`it is ${status} with it`, is(status));
  }
});

test("a check that cannot be is refused, naming the field", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  const checks = [{ id: "x", type: "process" }];
  const answer = await agent.call("PUT", "/v1/agent/services/web", { name: "web", port: 80, checks });
  expect(answer).toMatchObject({ status: 400, body: { code: "AGENT_CHECK_INVALID", field: "/checks/0/pid" } });
});
