/** Routes go out gateway by gateway: first where a label says, then everywhere; and back by themselves where one cannot take them. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { call, eventually, outlivesRestarts, startPosthouse, tempFolder, type Posthouse } from "#test/kit";

const SET = "/v1/config/default/gateway/default";

/** Routes with the same answer for every client of a gateway, and a cluster whose CA file is on a gateway's host. */
function routes(body: string, caFile?: string): object {
  const config = {
    routes: [{ name: "version", match: { path: { prefix: "/" } }, respond: { status: 200, body } }],
    ...(caFile === undefined ? {} : { clusters: [{ name: "c", service: "orders", tls: { caFile } }] }),
  };
  return { items: { "gateway.yaml": { format: "yaml", value: JSON.stringify(config) } }, reason: body };
}

test("a release reaches the gateways with a label first, then all; a release that they cannot apply is rolled back", async () => {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const control = stack.use(
    await startPosthouse({
      data: join(folder, "control"),
      args: ["--roles", "registry", "config-server", "--dns", "off"],
    }),
  );
  const { api, token = "" } = control;
  const publish = async (body: object, path = "releases") =>
    (await call(`${api}${SET}/${path}`, { method: "POST", token, body })).status;
  expect(await publish(routes("one"))).toBe(201);
  const gateways = await Promise.all(
    ["canary", "stable"].map(async (lane) => {
      const own = ["--gateway-name", lane, "--gateway-labels", `lane=${lane}`];
      const args = ["--roles", "gateway", "--control-urls", api, "--token", token, ...own];
      return stack.use(await startPosthouse({ data: join(folder, lane), args }));
    }),
  );
  const told = () => Promise.all(gateways.map(async ({ gateway }) => (await call(`${gateway}/`)).text));
  const all = (body: string) =>
    eventually(`all gateways answer ${body}`, async () => (await told()).every((one) => one === body));
  await all("one");

  const stages = [{ labels: { lane: "canary" }, holdSeconds: 600 }];
  expect(await publish({ ...routes("two"), rollout: { stages } })).toBe(201);
  await eventually("the canary has it", async () => (await told())[0] === "two");
  const rollout = async () => (await call(`${api}${SET}/rollout`, { token })).json;
  await eventually("its acknowledgement has arrived", async () =>
    JSON.stringify(await rollout()).includes('"reached":1'),
  );
  expect(await told()).toEqual(["two", "one"]);
  expect(await publish({ reason: "it is well" }, "rollout/complete")).toBeLessThan(300);
  await all("two");

  // The config server has no file of a gateway's host to look at; only the gateway knows that it is not there.
  const bad = routes("three", join(folder, "no-such-ca.pem"));
  expect(await publish({ ...bad, rollout: { stages } })).toBe(201);
  const ended = await eventually("it is taken back", async () => {
    const { json } = await call(`${api}${SET}/rollouts`, { token });
    const [last] = json["rollouts"] as { version: number; state: string; because: string }[];
    return last?.version === 3 && last.state === "rolledBack" ? last : undefined;
  });
  expect(ended.because).toMatch(/^canary could not apply it: .*no-such-ca\.pem/);
  expect(await told()).toEqual(["two", "two"]);

  expect(await publish({ toVersion: 1, reason: "as it was" }, "rollback")).toBe(201);
  await all("one");

  // The control plane and a gateway start again, and it is still so.
  await outlivesRestarts(control, () => all("one"));
  await outlivesRestarts(gateways[0] as Posthouse, () => all("one"));
}, 300_000);
