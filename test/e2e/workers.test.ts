/** A gateway of two processes on one port: what each does, both do; and what becomes of one does not become of the port. */
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ExplainAnswer } from "#gateway/api";
import { call, eventually, outlivesRestarts, startPosthouse, tempFolder, type Posthouse } from "#test/kit";

/** Tells the service which process a request came through; the service says it back. */
const WHO = `export default {
  name: "who", description: "Names the worker.", phase: "request", schema: { type: "object" },
  build: () => ({ request: () => ({ kind: "pass", set: [["x-worker-pid", String(process.pid)]] }) }),
};`;
const all = { path: { prefix: "/" } };
const who = [{ name: "who" }];

interface Upstream extends AsyncDisposable {
  readonly port: number;
  /** Requests that came. */
  count: number;
  status: number;
}

/** Answers with the worker's pid, at once or when `release` is asked. */
async function upstream(): Promise<Upstream> {
  const server = createServer((incoming, outgoing) => {
    it.count += 1;
    const waitMs = Number(new URL(incoming.url ?? "/", "http://service").searchParams.get("wait") ?? 0);
    const answer = () => {
      outgoing.writeHead(it.status, { "x-pid": incoming.headers["x-worker-pid"] ?? "" });
      outgoing.end("well");
    };
    if (waitMs > 0) setTimeout(answer, waitMs);
    else answer();
  });
  server.keepAliveTimeout = 75_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const it = {
    port: (server.address() as AddressInfo).port,
    count: 0,
    status: 200,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return it;
}

interface World extends AsyncDisposable {
  readonly posthouse: Posthouse;
  readonly upstream: Upstream;
  /** The pids of both workers, from requests over fresh connections. */
  readonly pids: () => Promise<number[]>;
  readonly publish: (config: object) => Promise<void>;
  readonly metric: (line: string) => Promise<number | undefined>;
}

async function world(given: object = {}, environment: Record<string, string> = {}): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const service = stack.use(await upstream());
  const filter = join(folder.path, "who.mjs");
  await writeFile(filter, WHO);
  const args = ["--workers", "2", "--gateway-filters", filter, "--dns", "off"];
  const posthouse = stack.use(await startPosthouse({ data: join(folder.path, "data"), args, environment }));
  const { api, token, gateway } = posthouse;
  const publish = async (config: object) => {
    const clusters = [{ name: "c", endpoints: [{ address: "127.0.0.1", port: service.port }] }];
    const value = JSON.stringify({ clusters, ...config });
    const body = { items: { "gateway.yaml": { format: "yaml", value } } };
    const answer = await call(`${api}/v1/config/default/gateway/default/releases`, { method: "POST", token, body });
    expect(answer.status, answer.text).toBe(201);
  };
  const pids = () => pidsAt(`${gateway}/pids`);
  const metric = async (line: string) => {
    const { text } = await call(`${api}/metrics`);
    const found = text.split("\n").find((one) => one.startsWith(`${line} `));
    return found === undefined ? undefined : Number(found.slice(line.length + 1));
  };
  await publish({ routes: [{ name: "all", match: all, cluster: "c", filters: who }], ...given });
  const owned = stack.move();
  const made = { posthouse, upstream: service, pids, publish, metric };
  await pids();
  return { ...made, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A world for tests that leave both workers alive. Each begins with `configured`. */
let shared: World;
let configs = 0;

/** The shared world, once both workers have this config. */
async function configured(
  given: { readonly routes?: readonly object[]; readonly clusters?: object } = {},
): Promise<World> {
  const { routes = [{ name: "all", match: all, cluster: "c", filters: who }], ...rest } = given;
  const path = `/config-${++configs}`;
  const mark = { name: "mark", match: { path: { exact: path } }, cluster: "c", filters: who };
  await shared.publish({ routes: [mark, ...routes], ...rest });
  await pidsAt(`${shared.posthouse.gateway}${path}`);
  return shared;
}

/** One request on a connection of its own. */
async function fresh(url: string): Promise<{ status: number; pid: number }> {
  const { statusCode, headers, body } = await request(url, { reset: true });
  await body.text();
  return { status: statusCode, pid: Number(headers["x-pid"]) };
}

/** The pids of both workers, once each has answered with 200 at a URL whose route has the filter "who". */
async function pidsAt(url: string): Promise<number[]> {
  const found = new Set<number>();
  await eventually("both workers answer", async () => {
    const { status, pid } = await fresh(url);
    if (status === 200) found.add(pid);
    return found.size === 2;
  });
  return [...found];
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Requests over kept connections until stopped; failures, by reason. */
function load(url: () => string, connections: number) {
  const agent = new Agent({ connections, pipelining: 1 });
  const failures: string[] = [];
  const over = new AbortController();
  let sent = 0;
  const runner = async () => {
    while (!over.signal.aborted) {
      sent += 1;
      try {
        const { statusCode, body } = await request(url(), { dispatcher: agent });
        await body.text();
        if (statusCode !== 200) failures.push(String(statusCode));
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  const done = Promise.all(Array.from({ length: connections }, runner));
  return {
    failures,
    sent: () => sent,
    async stop() {
      over.abort();
      await done;
      await agent.destroy();
    },
  };
}

test("a gateway in a process of its own explains what it sees at its operations port, to who has the token", async () => {
  await using folder = await tempFolder();
  await using gone = await upstream();
  await using control = await startPosthouse({
    data: join(folder.path, "control"),
    args: ["--roles", "registry", "config-server", "--dns", "off"],
  });
  const { api, token = "" } = control;
  const clusters = [{ name: "c", endpoints: [{ address: "127.0.0.1", port: gone.port }] }];
  const value = JSON.stringify({ clusters, routes: [{ name: "all", match: all, cluster: "c" }] });
  const items = { "gateway.yaml": { format: "yaml", value } };
  const releases = `${api}/v1/config/default/gateway/default/releases`;
  expect((await call(releases, { method: "POST", token, body: { items } })).status).toBe(201);
  await using gateway = await startPosthouse({
    data: join(folder.path, "gateway"),
    args: ["--roles", "gateway", "--control-urls", api, "--token", token],
  });
  await eventually("it serves", async () => (await fresh(`${gateway.gateway}/`)).status === 200);
  await gone[Symbol.asyncDispose]();
  await eventually("it finds no endpoint", async () => (await fresh(`${gateway.gateway}/`)).status === 503);
  const ask = async (url: string, given: object) =>
    call(`${url}/v1/gateway/explain`, { method: "POST", body: { url: "http://a.example/" }, ...given });
  expect((await ask(gateway.operations, {})).status).toBe(401);
  // An endpoint that refuses is avoided for some seconds, and again once another request has found it so.
  await eventually("it says that the endpoint is avoided", async () => {
    await fresh(`${gateway.gateway}/`);
    const { json } = await ask(gateway.operations, { token });
    expect(json).toMatchObject({ endpoints: [{ usable: true }] });
    const { clusters } = json as { clusters?: Record<string, { endpoints: { avoidedMs?: number }[] }> };
    return typeof clusters?.["cluster:c"]?.endpoints[0]?.avoidedMs === "number";
  });
  // The control plane has no gateway to ask.
  expect((await ask(api, { token })).json["clusters"]).toBeUndefined();
});

describe("two workers", { timeout: 300_000 }, () => {
  beforeAll(async () => {
    shared = await world({}, { POSTHOUSE_TOKEN: "known-to-the-main-process" });
  });
  afterAll(() => shared?.[Symbol.asyncDispose]());

  test("serve no port of their own process, whichever part of it opened the port", async () => {
    const running = await configured();
    const { posthouse, publish } = running;
    const { api, agent, gateway, gatewayTls, token } = posthouse;
    const urls = { api, agent, gateway, tls: gatewayTls };
    const names = Object.keys(urls);
    for (const [name, url] of Object.entries(urls)) {
      const body = { address: "127.0.0.1", port: Number(new URL(url).port) };
      expect((await call(`${api}/v1/services/${name}/instances/i`, { method: "PUT", token, body })).status).toBe(201);
    }
    const routes = names.map((name) => ({ name, match: { path: { prefix: `/${name}` } }, service: name }));
    const ready = { name: "ready", match: { path: { exact: "/ready" } }, cluster: "c", filters: who };
    await publish({ routes: [...routes, ready] });
    await pidsAt(`${gateway}/ready`);
    for (const name of names) {
      // Of each worker.
      for (let i = 0; i < 2; i++) {
        const { statusCode, body } = await request(`${gateway}/${name}`, { reset: true });
        expect([name, statusCode, await body.text()]).toEqual([name, 503, expect.stringContaining("posthouse itself")]);
      }
    }
  });

  test("answer on the same port and the same TLS port, and are one in the metrics", async () => {
    const running = await configured();
    const { posthouse, metric } = running;
    const counted = 'posthouse_gateway_requests_total{route="all",method="GET",status="200"}';
    const before = (await metric(counted)) ?? 0;
    const seen = new Map<number, number>();
    for (let i = 0; i < 20; i++) {
      const { pid } = await fresh(`${posthouse.gateway}/`);
      seen.set(pid, (seen.get(pid) ?? 0) + 1);
    }
    // Dealt out in turn.
    expect([...seen.values()]).toEqual([10, 10]);
    const secure = new Set<number>();
    for (let i = 0; i < 4; i++) secure.add(await overHttp2(posthouse.gatewayTls));
    expect(secure).toEqual(new Set(seen.keys()));
    expect(await metric(counted)).toBe(before + 24);
    expect(await metric("posthouse_gateway_workers")).toBe(2);
    expect(await metric('posthouse_gateway_cluster_endpoints{cluster="cluster:c"}')).toBe(1);
    expect(await metric('posthouse_gateway_cluster_requests_limit{cluster="cluster:c"}')).toBe(8192);
    const { text } = await call(`${posthouse.api}/metrics`);
    expect(text.match(/^posthouse_gateway_workers /gm)).toHaveLength(1);
    expect(text).toMatch(/^process_start_time_seconds \d/m);
  });

  test("lose only a killed worker's connections, and its successor never serves an outdated config", async () => {
    await using running = await world();
    const { posthouse, pids, publish, metric } = running;
    const [victim = 0, survivor] = await pids();
    let path = "/first";
    const connections = 16;
    const before = load(() => `${posthouse.gateway}${path}`, connections);
    await eventually("there is load", () => before.sent() > 500);
    const counted = 'posthouse_gateway_requests_total{route="all",method="GET",status="200"}';
    const countedBefore = (await metric(counted)) ?? 0;
    process.kill(victim, "SIGKILL");
    await publish({
      routes: [
        { name: "all", match: { path: { exact: "/first" } }, cluster: "c", filters: who },
        { name: "new", match: { path: { exact: "/new" } }, cluster: "c", filters: who },
      ],
    });
    await eventually("the survivor has the new routes", async () => {
      return (await fresh(`${posthouse.gateway}/new`)).status === 200;
    });
    path = "/new";
    await before.stop();
    expect(before.failures.length).toBeLessThanOrEqual(connections);

    const after = load(() => `${posthouse.gateway}/new`, connections);
    const seen = new Set<number>();
    const statuses = new Set<number>();
    await eventually("another serves in its place", async () => {
      const { status, pid } = await fresh(`${posthouse.gateway}/new`);
      statuses.add(status);
      seen.add(pid);
      return seen.size === 2;
    });
    await after.stop();
    expect(after.failures).toEqual([]);
    expect([...statuses]).toEqual([200]);
    expect(seen).toContain(survivor);
    expect(seen).not.toContain(victim);
    expect(await metric("posthouse_gateway_worker_restarts_total")).toBe(1);
    expect(await metric("posthouse_gateway_workers")).toBe(2);
    // The counts of the killed worker are still included.
    expect(countedBefore).toBeGreaterThan(0);
    expect((await metric(counted)) ?? 0).toBeGreaterThanOrEqual(countedBefore);
  });

  test("lose no connection that a killed worker had not taken yet", async () => {
    await using running = await world();
    const { posthouse, pids } = running;
    const [victim = 0, survivor] = await pids();
    // A stopped worker is handed one connection, which it does not take.
    process.kill(victim, "SIGSTOP");
    const answers = Array.from({ length: 8 }, () => fresh(`${posthouse.gateway}/`));
    const answered = await Promise.race([Promise.all(answers), sleep(1_000, "one waits")]);
    expect(answered).toBe("one waits");
    process.kill(victim, "SIGKILL");
    const late = await Promise.race([Promise.all(answers), sleep(20_000, "never answered")]);
    expect(late).toEqual(answers.map(() => ({ status: 200, pid: expect.any(Number) })));
    expect(new Set((late as { pid: number }[]).map(({ pid }) => pid))).toContain(survivor);
  });

  test("fail no request while routes change a hundred times", async () => {
    const running = await configured();
    const { posthouse, publish } = running;
    let version = 0;
    const busy = load(() => `${posthouse.gateway}/`, 8);
    for (let i = 0; i < 100; i++) {
      version = i;
      const other = { name: `other-${i}`, match: { path: { exact: `/other-${i}` } }, cluster: "c", filters: who };
      await publish({ routes: [{ name: "all", match: all, cluster: "c", filters: who }, other] });
    }
    await busy.stop();
    expect(busy.failures).toEqual([]);
    expect(busy.sent()).toBeGreaterThan(500);
    expect(version).toBe(99);
  });

  test("let through one rate and one count of requests at once, not one each", async () => {
    const limited = {
      name: "rate",
      match: { path: { exact: "/rate" } },
      cluster: "c",
      rateLimit: { requests: 10, perSeconds: 10, by: "route" },
    };
    const held = {
      name: "held",
      match: { path: { exact: "/held" } },
      cluster: "c",
      concurrency: { requests: 4, by: "route" },
    };
    const rest = { name: "all", match: all, cluster: "c", filters: who };
    const running = await configured({ routes: [limited, held, rest] });
    const { gateway } = running.posthouse;
    const begun = performance.now();
    let through = 0;
    for (let i = 0; i < 60; i++) if ((await fresh(`${gateway}/rate`)).status === 200) through += 1;
    // One a second comes back; and as many as a few milliseconds of not knowing let through.
    const due = 10 + Math.ceil((performance.now() - begun) / 1000);
    expect(through).toBeGreaterThanOrEqual(10);
    expect(through).toBeLessThanOrEqual(due + 2);
    const slow = [];
    for (let i = 0; i < 10; i++) {
      slow.push(fresh(`${gateway}/held?wait=2000`));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    const statuses = (await Promise.all(slow)).map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 200, 200, 429, 429, 429, 429, 429, 429]);
    expect((await fresh(`${gateway}/held`)).status).toBe(200);
  });

  test("pass over an endpoint that one of them ejected, and hold one breaker and one rate, a successor, too", async () => {
    await using sick = await upstream();
    sick.status = 503;
    await using well = await upstream();
    const endpoints = [sick, well].map(({ port }) => ({ address: "127.0.0.1", port }));
    const clusters = [
      { name: "c", endpoints, outlier: { consecutiveErrors: 5, ejectionSeconds: 300 } },
      { name: "narrow", endpoints: [endpoints[1]], breaker: { requestsMax: 3 } },
    ];
    const narrow = { name: "narrow", match: { path: { prefix: "/narrow" } }, cluster: "narrow" };
    const pid = { name: "pid", match: { path: { exact: "/pids" } }, cluster: "narrow", filters: who };
    const rest = { name: "rest", match: all, cluster: "c" };
    const rare = {
      name: "rare",
      match: { path: { exact: "/rare" } },
      cluster: "narrow",
      rateLimit: { requests: 4, perSeconds: 3_600, by: "route" },
    };
    await using running = await world({ clusters, routes: [narrow, pid, rest, rare] });
    const { gateway } = running.posthouse;
    // One connection, so one worker.
    const one = new Agent({ connections: 1, pipelining: 1 });
    await eventually("it is ejected", async () => {
      await (await request(`${gateway}/`, { dispatcher: one })).body.text();
      return (await running.metric("posthouse_gateway_ejections_total")) === 1;
    });
    await one.destroy();
    const known = sick.count;
    for (let i = 0; i < 40; i++) expect((await fresh(`${gateway}/`)).status).toBe(200);
    expect(sick.count).toBe(known);
    const state = 'posthouse_gateway_cluster_endpoints_ejected{cluster="cluster:c"}';
    expect(await running.metric(state)).toBe(1);
    const rares: number[] = [];
    for (let i = 0; i < 20; i++) rares.push((await fresh(`${gateway}/rare`)).status);
    expect(rares.filter((status) => status === 200).length).toBeGreaterThanOrEqual(4);
    expect(rares.at(-1)).toBe(429);
    // A worker that starts later receives it.
    const [victim = 0] = await running.pids();
    process.kill(victim, "SIGKILL");
    await eventually("another takes its place", async () => {
      const restarts = await running.metric("posthouse_gateway_worker_restarts_total");
      return restarts === 1 && (await running.metric("posthouse_gateway_workers")) === 2;
    });
    for (let i = 0; i < 40; i++) expect((await fresh(`${gateway}/`)).status).toBe(200);
    expect(sick.count).toBe(known);
    for (let i = 0; i < 10; i++) expect((await fresh(`${gateway}/rare`)).status).toBe(429);

    const slow = [];
    for (let i = 0; i < 6; i++) {
      slow.push(fresh(`${gateway}/narrow?wait=5000`));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    const statuses = (await Promise.all(slow)).map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 200, 503, 503, 503]);
  });

  test("are explained as one: requests under way at either, ejections by either, and limits for both", async () => {
    await using sick = await upstream();
    sick.status = 503;
    await using well = await upstream();
    const endpoints = [sick, well].map(({ port }) => ({ address: "127.0.0.1", port }));
    const clusters = [{ name: "c", endpoints, balance: "round-robin", breaker: { requestsMax: 7 } }];
    const running = await configured({ clusters });
    const { api, gateway, token } = running.posthouse;
    const explained = async (): Promise<ExplainAnswer> => {
      const body = { url: "http://a.example/x" };
      return (await call(`${api}/v1/gateway/explain`, { method: "POST", token, body })).json as never;
    };
    for (let i = 0; i < 40; i++) await fresh(`${gateway}/`);
    const slow = Array.from({ length: 6 }, () => fresh(`${gateway}/?wait=3000`));
    await eventually("they are under way", async () => {
      const { clusters } = await explained();
      return clusters?.["cluster:c"]?.breaker.requests.now === 6;
    });
    const { clusters: seen, outcome, endpoints: told } = await explained();
    expect(told).toHaveLength(2);
    expect(seen?.["cluster:c"]).toMatchObject({ balance: "round-robin", breaker: { requests: { now: 6, max: 7 } } });
    const at = (port: number) => seen?.["cluster:c"]?.endpoints.find(({ address }) => address.endsWith(`:${port}`));
    expect(at(sick.port)?.ejectedMs).toBeGreaterThan(20_000);
    expect(at(sick.port)?.inFlight).toBe(0);
    expect(at(well.port)).toMatchObject({ inFlight: 6 });
    // The outcome with the current load, not the one without other requests.
    expect(outcome).toMatchObject({ kind: "forward", endpoint: expect.stringContaining(`:${well.port}`) });
    const seventh = fresh(`${gateway}/?wait=2000`);
    await eventually("the breaker is full", async () => (await explained()).outcome.code === "GATEWAY_OVERLOADED");
    expect((await Promise.all([...slow, seventh])).map(({ status }) => status)).toEqual(Array(7).fill(200));
  });

  test("are one subscriber, for which a drain waits until the last of them has swapped", async () => {
    const running = await configured();
    const { posthouse, upstream, publish } = running;
    const { api, token } = posthouse;
    const instance = `${api}/v1/services/orders/instances/i1`;
    const body = { address: "127.0.0.1", port: upstream.port, lifecycle: "serving" };
    expect((await call(instance, { method: "PUT", token, body })).status).toBe(201);
    const orders = { name: "orders", match: { path: { prefix: "/orders" } }, service: "orders", filters: who };
    await publish({ routes: [orders] });
    const [stopped = 0] = await pidsAt(`${posthouse.gateway}/orders`);
    const { json } = await call(`${api}/v1/watches?namespace=default`, { token });
    const watchers = (json["watchers"] as { subscriber?: string }[]).map(({ subscriber }) => subscriber);
    const gateways = watchers.filter((name) => name?.startsWith("gateway-"));
    expect(gateways).toHaveLength(2);
    expect(new Set(gateways).size).toBe(1);

    process.kill(stopped, "SIGSTOP");
    try {
      await call(`${instance}/lifecycle`, { method: "PUT", token, body: { lifecycle: "draining" } });
      const early = await call(`${instance}/drain?wait=1`, { token });
      expect(early.json).toMatchObject({ seen: false, waitingFor: [gateways[0]] });
    } finally {
      process.kill(stopped, "SIGCONT");
    }
    const late = await call(`${instance}/drain?wait=5`, { token });
    expect(late.json).toMatchObject({ seen: true, waitingFor: [] });
  });

  test("receive nothing by arguments or environment variables that others could read", async () => {
    const running = await configured();
    for (const pid of await running.pids()) {
      const read = (name: string) => readFile(`/proc/${pid}/${name}`, "utf8");
      expect((await read("cmdline")).split("\0").slice(2)).toEqual(["gateway-worker", ""]);
      expect(await read("environ")).toContain("PATH=");
      expect(await read("environ")).not.toContain("POSTHOUSE_");
    }
  });

  test("end with the main process, even when it is killed", async () => {
    await using running = await world();
    const workers = await running.pids();
    expect(workers.every(isAlive)).toBe(true);
    running.posthouse.kill("SIGKILL");
    await eventually("no worker is left", () => !workers.some(isAlive));
  });

  test("serve again after a stop and after a kill, and leave no process behind", async () => {
    await using running = await world();
    const seen = new Set<number>();
    await outlivesRestarts(running.posthouse, async ({ gateway }) => {
      const pids = await pidsAt(`${gateway}/pids`);
      // A worker notices a moment later that its main process was killed.
      await eventually("the workers of the start before are gone", () => ![...seen].some(isAlive));
      for (const pid of pids) seen.add(pid);
    });
    expect(seen.size).toBe(6);
    await eventually("no worker is left", () => ![...seen].some(isAlive));
  });

  test("both end what they have begun before the main process stops", async () => {
    await using running = await world();
    const { posthouse, upstream, pids } = running;
    const workers = await pids();
    const before = upstream.count;
    const slow = Array.from({ length: 6 }, () => fresh(`${posthouse.gateway}/?wait=1500`));
    await eventually("all are under way", () => upstream.count === before + 6);
    // As a terminal and some supervisors do it.
    for (const pid of workers) process.kill(pid, "SIGTERM");
    posthouse.kill("SIGTERM");
    const answers = await Promise.all(slow);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
    expect(new Set(answers.map(({ pid }) => pid))).toEqual(new Set(workers));
    expect(await posthouse.exited).toEqual({ code: 0, signal: null });
    expect(workers.some(isAlive)).toBe(false);
  });
});

/** The pid of the worker that answers over TLS and HTTP/2; its certificate is another test's business. */
async function overHttp2(url: string): Promise<number> {
  const session = connect(url, { rejectUnauthorized: false });
  try {
    const stream = session.request({ ":path": "/" });
    const pid = new Promise<number>((resolve, reject) => {
      stream.on("response", (headers) => resolve(Number(headers["x-pid"])));
      stream.on("error", reject);
      session.on("error", reject);
    });
    stream.resume();
    return await pid;
  } finally {
    session.close();
  }
}
