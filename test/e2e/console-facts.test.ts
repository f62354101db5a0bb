/** The facts that a console shows: durable where they are stored, and the same on every member. */
import { expect, test } from "vitest";
import type { ServiceHistory } from "#registry/api";
import type { ChangeList } from "#timeline/api";
import type { TrafficView } from "#traffic/api";
import { call, eventually, restartByKill, restartBySigterm, startPosthouse, tempFolder, withEtcd } from "#test/kit";

const ROLES = ["--roles", "registry", "config-server"];
const INSTANCE = "/v1/services/web/instances/one";
const CHECKED = { address: "127.0.0.1", port: 9, probedBy: "agent", checks: [{ id: "up", type: "tcp" }] };

async function causesAt(api: string, token: string | undefined): Promise<string[]> {
  const { json } = await call(`${api}/v1/services/web/health-history`, { token });
  const transitions = (json as unknown as ServiceHistory).instances?.[0]?.transitions ?? [];
  return transitions.map(({ cause, status }) => `${cause} ${status}`);
}

async function kindsAt(api: string, token: string | undefined): Promise<string[]> {
  const { json } = await call(`${api}/v1/changes?limit=500`, { token });
  return (json as unknown as ChangeList).changes
    .map(({ kind }) => kind)
    .filter((kind) => !/^(member|token)-/.test(kind));
}

async function flip(api: string, token: string | undefined, status: string): Promise<void> {
  await call(`${api}${INSTANCE}/checks/up`, { method: "PUT", token, body: { status } });
}

test("history and changes survive a kill and a stop", { timeout: 300_000 }, async () => {
  await using folder = await tempFolder();
  await using first = await startPosthouse({ data: folder.path, args: ROLES });
  const { token } = first;
  await call(`${first.api}${INSTANCE}`, { method: "PUT", token, body: CHECKED });
  await flip(first.api, token, "passing");
  await flip(first.api, token, "critical");
  const body = { items: { a: { format: "text", value: "1" } } };
  await call(`${first.api}/v1/config/default/web/main/releases`, { method: "POST", token, body });
  const causes = ["registered unknown", "check passing", "check critical"];
  const kinds = ["config-released", "instance-health", "instance-health", "instance-registered"];
  expect(await causesAt(first.api, token)).toEqual(causes);
  await using killed = await restartByKill(first);
  expect(await causesAt(killed.api, token)).toEqual(causes);
  await eventually(
    "the changes are read again",
    async () => (await kindsAt(killed.api, token)).length === kinds.length,
  );
  expect(await kindsAt(killed.api, token)).toEqual(kinds);
  await eventually("this start is noted", async () => {
    const { json } = await call(`${killed.api}/v1/members`, { token });
    const self = (json["members"] as { id: string; self: boolean }[]).find((one) => one.self)?.id;
    const { json: list } = await call(`${killed.api}/v1/changes?kind=member-joined`, { token });
    return (list as unknown as ChangeList).changes.some(({ subject }) => subject.name === self);
  });
  await using stopped = await restartBySigterm(killed);
  expect(await causesAt(stopped.api, token)).toEqual(causes);
  await eventually("the stop is in the list", async () => {
    const { json } = await call(`${stopped.api}/v1/changes?kind=member-left`, { token });
    return (json as unknown as ChangeList).changes.some(({ to }) => to === "stopped");
  });
});

test("two members on etcd give the same history, changes and traffic", { timeout: 300_000 }, async () => {
  await using folder = await tempFolder();
  await using etcd = await withEtcd();
  const args = [...ROLES, "--store", "etcd", "--etcd-urls", etcd.endpoint];
  await using one = await startPosthouse({ data: `${folder.path}/one`, args });
  await using two = await startPosthouse({ data: `${folder.path}/two`, args });
  const { token } = one;
  await call(`${one.api}${INSTANCE}`, { method: "PUT", token, body: CHECKED });
  await flip(one.api, token, "passing");
  await flip(two.api, token, "critical");
  await call(`${two.api}${INSTANCE}`, { method: "DELETE", token });
  const causes = ["registered unknown", "check passing", "check critical", "deregistered gone"];
  for (const { api } of [one, two]) {
    expect(await causesAt(api, token)).toEqual(causes);
    await eventually("all changes are listed", async () => (await kindsAt(api, token)).length === causes.length);
  }
  const edges = [{ from: "cart", to: "web", requests: 20, buckets: [0, 20] }];
  await call(`${one.api}/v1/traffic`, { method: "POST", token, body: { reporter: "p", edges } });
  for (const { api } of [one, two]) {
    await eventually("the edge is on both", async () => {
      const { json } = await call(`${api}/v1/traffic`, { token });
      return (json as unknown as TrafficView).edges[0]?.from === "cart";
    });
  }
  await etcd.kill();
  await etcd.restart();
  expect(await eventually("readable again", () => causesAt(two.api, token).catch(() => undefined))).toEqual(causes);
});
