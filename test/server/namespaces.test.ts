/** The namespaces in use: those of services and of config, and only those that the caller may access. */
import { expect, test } from "vitest";
import { eventually, withControl } from "#test/kit";

test("namespaces of services and config are listed once, within the token's limits", async () => {
  await using control = await withControl();
  const registration = { address: "127.0.0.1", port: 4001 };
  await control.call("PUT", "/v1/services/orders/instances/a?namespace=shop", registration);
  for (const namespace of ["shop", "billing"]) {
    const { status } = await control.call("POST", `/v1/config/${namespace}/app/default/releases`, {
      items: { "app.yaml": { format: "yaml", value: "a: 1" } },
      reason: "first",
    });
    expect(status).toBe(201);
  }
  await eventually("both are listed", async () => {
    const { json } = await control.call("GET", "/v1/namespaces");
    return JSON.stringify(json) === '{"namespaces":["billing","shop"]}';
  });
  const { json: token } = await control.call("POST", "/v1/tokens", {
    name: "a",
    policies: ["agent"],
    namespaces: ["shop"],
  });
  const headers = { authorization: `Bearer ${String(token["token"])}` };
  await eventually("a limited caller sees its own", async () => {
    const { json } = await control.call("GET", "/v1/namespaces", undefined, headers);
    return JSON.stringify(json) === '{"namespaces":["shop"]}';
  });
});
