/** What checks are taken, as a server says it: which kinds, which fields, and the way out of each mistake. */
import { expect, test } from "vitest";
import { withControl } from "#test/kit";

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
  [{ type: "http", path: "/", url: "http://a/" }, "/checks/0/path", "either url or path"],
  [{ type: "http", method: "HEAD", bodyContains: "x" }, "/checks/0/bodyContains", "use GET"],
  [{ type: "http", headers: { "Transfer-Encoding": "x" } }, "/checks/0/headers/Transfer-Encoding", "leave this header"],
  [{ type: "http", expectStatus: ["299-200"] }, "/checks/0/expectStatus/0", "lower one first"],
  [{ type: "tcp", damping: { reuse: 5 } }, "/checks/0/damping/reuse", "below suppress"],
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
