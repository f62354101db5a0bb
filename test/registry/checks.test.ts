/** The checks that a server accepts: which kinds, which fields, and the way out of each mistake. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { LINK_LOCAL_NETWORKS } from "#health";
import { eventually, withControl } from "#test/kit";

const PATH = "/v1/services/orders/instances/orders-1";
const HERE = { address: "127.0.0.1", port: 4001, probedBy: "server" };

test("each kind of check is taken, and shown by its type", async () => {
  await using control = await withControl();
  const checks = [
    { id: "ttl", type: "ttl", ttlSeconds: 10 },
    { id: "http", type: "http", path: "/health", expectStatus: [204, "200-202"], bodyContains: "ok" },
    { id: "tcp", type: "tcp", send: "PING\r\n", expect: "+PONG", tls: true },
    { id: "udp", type: "udp", port: 53, send: "x" },
    { id: "grpc", type: "grpc", service: "orders", watch: true, tls: { serverName: "orders.example" } },
    { id: "exec", type: "exec", program: "/usr/bin/true", args: ["-v"] },
    { id: "process", type: "process", pidFile: "/run/orders.pid" },
    { id: "alias", type: "alias", service: "db" },
  ];
  const { status, json } = await control.call("PUT", PATH, { ...HERE, probedBy: "agent", checks });
  expect([status, json["detail"]]).toEqual([201, undefined]);
  const health = await control.call("GET", `${PATH}/health`);
  expect((health.json["checks"] as { type: string }[]).map(({ type }) => type)).toEqual(checks.map(({ type }) => type));
});

test.each([
  [{ type: "exec", program: "/bin/true" }, "/checks/0/type", "through the agent"],
  [{ type: "process", pid: 1 }, "/checks/0/type", "through the agent"],
  [{ type: "http", path: "/", url: "http://a/" }, "/checks/0/path", "cannot be combined with url"],
  [{ type: "http", method: "HEAD", bodyContains: "x" }, "/checks/0/bodyContains", "use GET"],
  [{ type: "http", headers: { "Transfer-Encoding": "x" } }, "/checks/0/headers/Transfer-Encoding", "remove it"],
  [{ type: "http", expectStatus: ["299-200"] }, "/checks/0/expectStatus/0", "lower status first"],
  [{ type: "tcp", damping: { reuse: 5 } }, "/checks/0/damping/reuse", "below suppress"],
  [{ type: "tcp", host: "a..b" }, "/checks/0/host", "or a host name"],
  [{ type: "udp", host: "host:8080", send: "x" }, "/checks/0/host", "without scheme, port"],
  [{ type: "grpc", tls: { serverName: "a." } }, "/checks/0/tls/serverName", "or a host name"],
  [{ type: "http", url: "http://10.0.0.256/" }, "/checks/0/url", "or a host name"],
  [{ type: "http", url: "http://a..b:80/x" }, "/checks/0/url", "or a host name"],
])("a check %j is refused at %s", async (check, field, wayOut) => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", PATH, { ...HERE, checks: [{ id: "x", ...check }] });
  expect([status, json["code"], json["field"]]).toEqual([400, "REGISTRY_CHECK_INVALID", field]);
  expect(json["detail"]).toContain(wayOut);
});

test.each([
  [{ type: "http", url: "file:///etc/passwd" }, "/checks/0/url"],
  [{ type: "http", headers: { "x-a": "b\r\nc: d" } }, "/checks/0/headers"],
  [{ type: "tcp", port: 0 }, "/checks/0/port"],
  [{ type: "udp" }, "/checks/0"],
  [{ type: "ttl", ttlSeconds: 5, deregisterAfterSeconds: 1 }, "/checks/0/deregisterAfterSeconds"],
  [{ type: "grpc", servce: "x" }, "/checks/0/servce"],
])("a check %j is refused for its shape, naming %s", async (check, field) => {
  await using control = await withControl();
  const { status, json } = await control.call("PUT", PATH, { ...HERE, checks: [{ id: "x", ...check }] });
  expect(status).toBe(400);
  expect(json["field"]).toContain(field);
});

const AS_BY_DEFAULT = { refuse: LINK_LOCAL_NETWORKS, loopback: false, metadata: false, writes: false };

const REFUSED_BY_DEFAULT = [
  [{ type: "http", path: "/health" }, "probeLoopback"],
  [{ type: "http", url: "http://localhost:2379/version" }, "probeLoopback"],
  [{ type: "http", url: "http://[::ffff:127.0.0.1]:2379/" }, "probeLoopback"],
  [{ type: "tcp", host: "0.0.0.0", port: 22 }, "probeLoopback"],
  [{ type: "grpc" }, "probeLoopback"],
  [{ type: "http", url: "http://100.100.100.200/latest" }, "credentials"],
  [{ type: "http", url: "http://168.63.129.16/machine" }, "credentials"],
  [{ type: "http", url: "http://169.254.1.1/" }, "probeRefuse"],
  [{ type: "http", url: "http://10.0.0.1/", method: "DELETE" }, "probeWrites"],
  [{ type: "http", url: "http://10.0.0.1/", body: "x" }, "probeWrites"],
  [{ type: "tcp", host: "10.0.0.1", send: "FLUSHALL\r\n" }, "probeWrites"],
  [{ type: "udp", host: "10.0.0.1", send: "x" }, "probeWrites"],
] as const;

test("a server's check with an address, method or body refused by default fails at registration, an agent's does not", async () => {
  await using control = await withControl({ probeRules: AS_BY_DEFAULT });
  for (const [check, wayOut] of REFUSED_BY_DEFAULT) {
    const registration = { ...HERE, checks: [{ id: "x", ...check }] };
    const { status, json } = await control.call("PUT", PATH, registration);
    expect([status, json["code"], json["field"]]).toEqual([400, "REGISTRY_CHECK_INVALID", "/checks/0"]);
    expect(json["detail"]).toContain(wayOut);
    const batch = { instances: [{ service: "orders", id: "orders-1", registration }] };
    expect((await control.call("POST", "/v1/batches", batch)).json["detail"]).toContain(wayOut);
    expect((await control.call("PUT", PATH, { ...registration, probedBy: "agent" })).status).toBeLessThan(300);
  }
});

test("a check of a service's policy is refused by the server that would run it", async () => {
  await using target = await listening();
  await using control = await withControl({ probeRules: AS_BY_DEFAULT });
  const checks = [{ id: "x", type: "http", url: `http://127.0.0.1:${target.port}/`, fall: 1 }];
  expect((await control.call("PUT", "/v1/services/orders/policy", { checks })).status).toBeLessThan(300);
  expect((await control.call("PUT", PATH, HERE)).status).toBe(201);
  const health = await eventually("it is judged", async () => {
    const { json } = await control.call("GET", `${PATH}/health`);
    return json["status"] === "critical" && json;
  });
  expect(JSON.stringify(health)).toContain("probeLoopback");
  expect(target.requests).toBe(0);
});

async function listening() {
  const found = { port: 0, requests: 0 };
  const server = createServer((_request, response) => void (found.requests++, response.end("secret")));
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
