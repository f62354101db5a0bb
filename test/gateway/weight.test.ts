/** The weight of an instance, changed by a call: who may change it, and that the requests of a real gateway follow. */
import { expect, test } from "vitest";
import { createGateway } from "#gateway";
import { WEIGHT_MAX } from "#registry/api";
import { eventually, hangSignal, testHost, withControl } from "#test/kit";
import { ask } from "./echo.ts";
import { baseSettings, upstream } from "./kit.ts";

const ONE = "/v1/services/orders/instances/one";

test("a weight is changed alone, by the owner of the instance or an operator", async () => {
  await using control = await withControl();
  const as = (name: string) => {
    const token = control.access.internalToken({ name, policies: ["agent"] });
    return (method: string, url: string, body: object) =>
      control.call(method, url, body, { authorization: `Bearer ${token}` });
  };
  const [owner, other] = [as("host-a"), as("host-b")];
  const { id: session } = (await owner("POST", "/v1/sessions", { ttlSeconds: 60 })).json as { id: string };
  await owner("PUT", ONE, { address: "10.0.0.1", port: 80, weight: 50, tags: ["blue"], session });
  const before = (await control.call("GET", ONE)).json;
  const operator: typeof owner = (method, url, body) => control.call(method, url, body);
  const set = async (weight: unknown, call = operator) => {
    const { status, json } = await call("PUT", `${ONE}/weight`, { weight });
    return [status, json["code"] ?? json["revision"]];
  };
  const revision = expect.any(Number) as number;
  expect(await set(10, other)).toEqual([403, "REGISTRY_NOT_OWNER"]);
  expect(await set(WEIGHT_MAX + 1)).toEqual([400, "HTTP_INVALID"]);
  expect(await set(0.5)).toEqual([400, "HTTP_INVALID"]);
  expect((await control.call("PUT", `${ONE}x/weight`, { weight: 1 })).json).toMatchObject({
    code: "REGISTRY_INSTANCE_NOT_FOUND",
  });
  expect((await control.call("GET", ONE)).json).toEqual(before);
  expect(await set(10, owner)).toEqual([200, revision]);
  const [, last] = await set(0);
  // A repeated call changes nothing.
  await set(0);
  const after = await eventually("it is seen", async () => {
    const { json } = await control.call("GET", ONE);
    return json["weight"] === 0 && json;
  });
  expect(after).toEqual({ ...before, weight: 0, modRevision: last });
  expect(before).toMatchObject({ registeredBy: "internal:host-a", session });
});

test("requests follow the weight at once, and stop at 0", async () => {
  await using one = await upstream((_request, response) => void response.end("one"));
  await using two = await upstream((_request, response) => void response.end("two"));
  await using control = await withControl();
  const names = { one: { namespace: "default", service: "orders", id: "one" } };
  await control.client.registry.register(names.one, { address: "127.0.0.1", port: one.port });
  await control.client.registry.register({ ...names.one, id: "two" }, { address: "127.0.0.1", port: two.port });
  await control.client.config.publish(
    { namespace: "default", app: "gateway", profile: "default" },
    {
      items: {
        "gateway.yaml": {
          format: "yaml",
          value:
            "clusters: [{ name: c, service: orders, balance: round-robin, slowStartSeconds: 0 }]\n" +
            "routes: [{ name: r, match: { path: { prefix: / } }, cluster: c }]\n",
        },
      },
    },
  );
  await using gateway = createGateway(testHost(), { client: control.client, settings: baseSettings });
  await gateway.ready(hangSignal());
  const { httpPort } = await gateway.listen();
  const partOfOne = async (requests = 40) => {
    let answers = 0;
    for (let i = 0; i < requests; i++) if ((await ask(httpPort, "/")).text === "one") answers++;
    return answers / requests;
  };
  await eventually("both receive requests", async () => (await partOfOne()) === 0.5);
  await control.client.registry.setWeight(names.one, { weight: 0 });
  await eventually("one receives none", async () => (await partOfOne()) === 0);
  await control.client.registry.setWeight(names.one, { weight: 900 });
  await eventually("nine of ten go to one", async () => (await partOfOne()) === 0.9);
});
