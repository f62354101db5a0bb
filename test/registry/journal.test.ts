/** The registry's log lines: one for each event, with its author and reason. */
import { expect, test } from "vitest";
import { eventually, testHost, withControl } from "#test/kit";

const ONE = "/v1/services/orders/instances/one";
const name = { namespace: "default", service: "orders", instance: "one" };
const checks = [{ id: "up", type: "ttl", ttlSeconds: 60 }];

test("registering, health, a weight, a drain and deregistering leave one line each, and repeating leaves none", async () => {
  const host = testHost();
  await using control = await withControl({ host });
  const lines = () => host.log.lines.filter(({ fields }) => (fields as { instance?: string }).instance === "one");
  const next = async (...steps: [string, string, object?][]) => {
    const before = lines().length;
    for (const [method, url, body] of steps) {
      const { status, json } = await control.call(method, url, body);
      expect(status, JSON.stringify(json)).toBeLessThan(300);
    }
    return eventually("it is logged", () => lines().slice(before)[0]);
  };
  const by = "operator:operator";
  const registration = { address: "10.0.0.1", port: 80, checks };
  expect(await next(["PUT", ONE, registration], ["PUT", ONE, registration])).toMatchObject({
    level: "info",
    message: "registered",
    fields: { ...name, by, address: "10.0.0.1", port: 80 },
  });
  // A TTL check is critical until its first sign of life.
  expect(await next(["PUT", `${ONE}/checks/up`, { status: "passing" }])).toMatchObject({
    level: "info",
    fields: { ...name, check: "up", from: "critical", to: "passing", status: "passing" },
  });
  const unhealthy = { status: "critical", output: "no disk" };
  expect(await next(["PUT", `${ONE}/checks/up`, unhealthy], ["PUT", `${ONE}/checks/up`, unhealthy])).toMatchObject({
    level: "info",
    fields: { ...name, check: "up", from: "passing", to: "critical", reason: "no disk", status: "critical" },
  });
  expect(await next(["PUT", `${ONE}/weight`, { weight: 10 }], ["PUT", `${ONE}/weight`, { weight: 10 }])).toMatchObject({
    message: "weight changed",
    fields: { ...name, from: 100, to: 10, by },
  });
  expect(await next(["PUT", `${ONE}/lifecycle`, { lifecycle: "draining" }])).toMatchObject({
    message: "drain began",
    fields: { ...name, from: "serving", to: "draining", by },
  });
  expect(await next(["DELETE", ONE])).toMatchObject({
    level: "info",
    message: "deregistered",
    fields: { ...name, by, reason: "requested", lifecycle: "draining" },
  });
  expect(lines()).toHaveLength(6);
});

test("an instance whose session ends leaves a line that says so, and tokens leave theirs", async () => {
  const host = testHost();
  await using control = await withControl({ host });
  const { id } = (await control.call("POST", "/v1/sessions", { ttlSeconds: 60 })).json as { id: string };
  await control.call("PUT", ONE, { address: "10.0.0.1", port: 80, session: id });
  const line = (message: string) => eventually(message, () => host.log.lines.find((one) => one.message === message));
  await line("registered");
  await control.call("DELETE", `/v1/sessions/${id}`);
  expect((await line("deregistered")).fields).toMatchObject({ reason: expect.stringContaining("its session ended") });
  const made = await control.call("POST", "/v1/tokens", { name: "ci", policies: ["viewer"], apps: ["orders"] });
  await control.call("DELETE", `/v1/tokens/${String(made.json["id"])}`);
  const fields = { name: "ci", policies: ["viewer"], by: "operator", tokenId: made.json["id"] };
  expect(await line("token issued")).toMatchObject({ level: "info", fields: { ...fields, apps: ["orders"] } });
  expect(await line("token revoked")).toMatchObject({ level: "info", fields });
  expect(JSON.stringify(host.log.lines)).not.toContain(String(made.json["token"]));
});
