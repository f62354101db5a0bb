/** Whose fault it is that a time-out passed: an endpoint's that never answers, but not one's whose caller was the slow one. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { instance, oneRoute, rawUpstream, runGateway, upstream, type Running } from "./kit.ts";

const toCluster = (route: object) =>
  oneRoute(
    { service: undefined, cluster: "c", retry: { attempts: 0 }, ...route },
    { clusters: [{ name: "c", service: "orders", slowStartSeconds: 0, balance: "round-robin" }] },
  );

const ejected = ({ gateway }: Running) =>
  gateway
    .clusterViews()
    .get("cluster:c")
    ?.endpoints.filter(({ ejectedMs }) => ejectedMs !== undefined).length;

test.for([
  ["the route's time in all", { totalMs: 100 }],
  ["the time of a head", { headersMs: 100 }],
  ["the time of a try", { perTryMs: 100 }],
])("an endpoint that accepts and never answers is ejected when %s is up", async ([, timeouts]) => {
  await using good = await upstream();
  await using silent = await rawUpstream(() => {});
  await using running = await runGateway(toCluster({ timeouts }), [instance(good.port), instance(silent.port)]);
  const statuses: number[] = [];
  for (let i = 0; i < 30; i++) statuses.push((await fetch(running.url)).status);
  expect(statuses.filter((status) => status === 504)).toHaveLength(5);
  expect(ejected(running)).toBe(1);
});

test("a caller's own shorter deadline says nothing of the endpoint", async () => {
  await using silent = await rawUpstream(() => {});
  await using good = await upstream();
  const route = { timeouts: { totalMs: 5_000 }, deadlineHeader: "x-left" };
  await using running = await runGateway(toCluster(route), [instance(good.port), instance(silent.port)]);
  for (let i = 0; i < 16; i++) await (await fetch(running.url, { headers: { "x-left": "50" } })).text();
  expect(ejected(running)).toBe(0);
});

test("nor does the route's time when it is the client that still sends", async () => {
  await using service = await rawUpstream(() => {});
  await using running = await runGateway(toCluster({ timeouts: { totalMs: 100 } }), [instance(service.port)]);
  for (let i = 0; i < 8; i++) {
    let text = "";
    const socket = connect(running.ports.httpPort, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nsome");
    await eventually("it is answered", () => text.startsWith("HTTP/1.1 504"));
    socket.destroy();
  }
  expect(ejected(running)).toBe(0);
});
