/** A gateway on real sockets before services that fail, hang, slow down and come back. */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { expect, test } from "vitest";
import type { Instance } from "#registry/api";
import type { TrafficReport } from "#traffic/api";
import { eventually } from "#test/kit";
import { authority } from "./certificates.ts";
import { instance, oneRoute, problemOf, rawUpstream, runGateway, sendRaw, upstream, type Upstream } from "./kit.ts";

const cluster = (over: object) => ({ clusters: [{ name: "c", service: "orders", slowStartSeconds: 0, ...over }] });
const toCluster = (over: object = {}, route: object = {}) =>
  oneRoute({ service: undefined, cluster: "c", ...route }, cluster(over));

interface Moody extends Upstream {
  say: number;
  headers: Record<string, string>;
}

/** A service that answers with whatever status and headers it holds. */
async function moody(): Promise<Moody> {
  const service: Moody = {
    ...(await upstream((_request, response) => {
      response.writeHead(service.say, service.headers);
      response.end("x");
    })),
    say: 200,
    headers: {},
  };
  return service;
}

test("an endpoint that answers 503 five times is ejected, gets nothing, and is back after its time", async () => {
  await using good = await moody();
  await using bad = await moody();
  bad.say = 503;
  await using gateway = await runGateway(toCluster({ outlier: { ejectionSeconds: 5 }, balance: "round-robin" }), [
    instance(good.port),
    instance(bad.port),
  ]);
  const ask = async () => (await fetch(gateway.url)).status;
  const statuses: number[] = [];
  for (let i = 0; i < 30; i++) statuses.push(await ask());
  expect(statuses.filter((status) => status === 503)).toHaveLength(5);
  expect(bad.requests).toHaveLength(5);
  const view = gateway.gateway.clusterViews().get("cluster:c");
  expect(view?.endpoints.filter(({ ejectedMs }) => ejectedMs !== undefined)).toHaveLength(1);
  expect(gateway.host.log.lines.some(({ message }) => message.includes("endpoint ejected"))).toBe(true);
  bad.say = 200;
  await eventually("it is asked again", async () => (await ask()) === 200 && bad.requests.length > 5);
});

/**
 * A service by TLS that accepts connections, but completes TLS handshakes only while it is `back`; its certificate is
 * not trusted.
 */
async function hanging() {
  const held: Socket[] = [];
  const secure = createTlsServer(await (await authority()).issue(["127.0.0.1"]), (socket) => socket.destroy());
  const server = createServer((socket) => {
    socket.on("error", () => {});
    if (it.back) secure.emit("connection", socket);
    else held.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const it = {
    back: false,
    held,
    instance: (over: Partial<Instance> = {}) => instance(port, { protocol: "https", ...over }),
    [Symbol.asyncDispose]: async () => {
      for (const socket of held) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return it;
}

/** Below every wait that a gateway makes of its own, such as a connect timeout; how fast it is, `bench/` measures. */
const AT_ONCE_MS = 1_000;

/** The best of several: delays by other load on the machine do not count against the gateway. */
async function quickest(calls: number, call: () => Promise<void>): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < calls; i++) {
    const begun = performance.now();
    await call();
    least = Math.min(least, performance.now() - begun);
  }
  return least;
}

test("endpoints that all refuse, though the registry says passing, are 503 UH at once, and why", async () => {
  const gone = await Promise.all(Array.from({ length: 12 }, () => upstream()));
  const ports = gone.map(({ port }) => port);
  for (const service of gone) await service[Symbol.asyncDispose]();
  await using gateway = await runGateway(
    oneRoute(),
    ports.map((port) => instance(port)),
  );
  const tookMs = await quickest(21, async () => {
    const answer = await fetch(gateway.url, { method: "POST", body: "x" });
    expect(answer.headers.get("x-posthouse-flag")).toBe("UH");
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(await problemOf(answer)).toMatchObject({
      status: 503,
      code: "GATEWAY_NO_ENDPOINT",
      detail: 'No endpoint of service "orders" accepts connections: of its 12, 12 refused.',
    });
  });
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
  // One of many that is there is found, whatever the route's attempts are.
  await using service = await upstream();
  gateway.plane.change(instance(service.port));
  await eventually("it is known", () => gateway.gateway.status().clusters[0]?.endpoints === 13);
  expect((await fetch(gateway.url, { method: "POST", body: "x" })).status).toBe(200);
});

test("one request meets sixteen refusing endpoints before the one that accepts", async () => {
  const gone = await Promise.all(Array.from({ length: 16 }, () => upstream()));
  const dead = gone.map(({ port }) => instance(port));
  for (const one of gone) await one[Symbol.asyncDispose]();
  await using service = await upstream();
  await using gateway = await runGateway(toCluster({ panicPercent: 0 }), [...dead, instance(service.port)]);
  for (let i = 0; i < 3; i++) expect((await fetch(gateway.url, { method: "POST", body: "x" })).status).toBe(200);
  expect(service.requests).toHaveLength(3);
});

test("an endpoint that lets connections hang costs the first request its wait, no other, and is found when it is back", async () => {
  await using service = await hanging();
  const { held } = service;
  await using gateway = await runGateway(toCluster({ timeouts: { connectMs: 2_000 } }), [service.instance()]);
  const ask = async () => {
    const answer = await fetch(gateway.url);
    return { flag: answer.headers.get("x-posthouse-flag"), detail: (await problemOf(answer)).detail };
  };
  expect(await ask()).toMatchObject({ flag: "UT" });
  const tookMs = await quickest(21, async () =>
    expect(await ask()).toEqual({
      flag: "UH",
      detail: 'No endpoint of service "orders" accepts connections: of its 1, 1 did not answer.',
    }),
  );
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
  expect(gateway.gateway.clusterViews().get("cluster:c")?.endpoints[0]).toMatchObject({ silent: true });
  await eventually("it is probed", () => held.length >= 3);
  expect(held.length).toBeLessThan(5);
  service.back = true;
  await eventually("it is asked again", async () => (await ask()).flag === "UF");
}, 300_000);

test("an endpoint that hangs is found again even if it was away in between, and in each of its clusters", async () => {
  await using service = await hanging();
  service.back = true;
  const instances = [service.instance({ metadata: { version: "2" } })];
  const clusters = ["a", "b"].map((name) => ({
    name,
    service: "orders",
    timeouts: { connectMs: 150 },
    ...(name === "b" ? { subset: { version: "2" } } : {}),
  }));
  const routes = ["a", "b"].map((name) => ({ name, match: { path: { prefix: `/${name}` } }, cluster: name }));
  await using gateway = await runGateway({ clusters, routes }, instances);
  const flag = async (path: string) => (await fetch(`${gateway.url}${path}`)).headers.get("x-posthouse-flag");
  expect([await flag("/a"), await flag("/b")]).toEqual(["UF", "UF"]);
  const known = () => gateway.gateway.status().clusters.every(({ endpoints }) => endpoints === 1);
  gateway.plane.change(service.instance({ metadata: { version: "2" }, status: "critical" }));
  await eventually("it is away", () => !known());
  gateway.plane.change(service.instance({ metadata: { version: "2" } }));
  await eventually("it is back", known);
  service.back = false;
  expect([await flag("/a"), await flag("/b")]).toEqual(["UT", "UT"]);
  expect([await flag("/a"), await flag("/b")]).toEqual(["UH", "UH"]);
  service.back = true;
  for (const path of ["/a", "/b"]) await eventually(`${path} finds it`, async () => (await flag(path)) === "UF");
}, 300_000);

test("a route's own connect timeout holds for it, and splits nothing of its cluster", async () => {
  await using service = await upstream((_request, response) => void setTimeout(() => response.end("x"), 300));
  await using silent = await hanging();
  const clusters = [
    { name: "c", service: "orders", breaker: { requestsMax: 2 } },
    { name: "silent", service: "silent", panicPercent: 0, timeouts: { connectMs: 60_000 } },
  ];
  const at = (name: string, cluster: string, timeouts?: object) => ({
    name,
    match: { path: { exact: `/${name}` } },
    cluster,
    timeouts,
  });
  const routes = [at("a", "c"), at("b", "c", { connectMs: 500 }), at("short", "silent", { connectMs: 80 })];
  await using gateway = await runGateway({ clusters, routes }, [
    instance(service.port),
    silent.instance({ service: "silent" }),
  ]);
  expect(gateway.gateway.status().clusters).toHaveLength(2);
  const ask = async (path: string) => (await fetch(`${gateway.url}${path}`)).headers.get("x-posthouse-flag");
  const first = [ask("/a"), ask("/b")];
  await eventually("both are under way", () => service.requests.length === 2);
  expect([await ask("/a"), await ask("/b")]).toEqual(["UO", "UO"]);
  expect(await Promise.all(first)).toEqual([null, null]);
  const begun = performance.now();
  expect(await ask("/short")).toBe("UT");
  // The cluster's own is a minute.
  expect(performance.now() - begun).toBeLessThan(30_000);
});

test("an endpoint that fails at once gets no additional requests for being fast", async () => {
  const slow = () => upstream((_request, response) => void setTimeout(() => response.end("x"), 20));
  await using one = await slow();
  await using two = await slow();
  await using failing = await upstream((_request, response) => {
    response.statusCode = 500;
    response.end("no");
  });
  await using gateway = await runGateway(
    toCluster(),
    [one, two, failing].map(({ port }) => instance(port)),
  );
  const statuses: number[] = [];
  const client = async () => {
    for (let i = 0; i < 40; i++) statuses.push((await fetch(gateway.url)).status);
  };
  await Promise.all(Array.from({ length: 12 }, client));
  // Each of them comes back at once, and so asks more often; drawn by how quick it seemed it had two thirds.
  expect(statuses.filter((status) => status === 500).length).toBeLessThan(480 * 0.55);
});

test("where there is one endpoint alone it is asked again, after a reset and after a timeout where the route says so", async () => {
  let turn = 0;
  const answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
  await using resets = await rawUpstream(({ socket }) => {
    if (turn++ % 2 === 0) socket.resetAndDestroy();
    else socket.write(answer);
  });
  await using silent = await rawUpstream(({ socket }) => {
    if (turn++ % 2 === 1) socket.write(answer);
  });
  for (const [port, over] of [
    [resets.port, {}],
    [silent.port, { timeouts: { perTryMs: 80 }, retry: { attempts: 1, on: ["timeout"] } }],
  ] as const) {
    turn = 0;
    await using gateway = await runGateway(oneRoute(over), [instance(port)]);
    expect((await fetch(gateway.url)).status).toBe(200);
    expect(turn).toBe(2);
    turn = 0;
    // A request that may have had its effect is not sent again.
    expect((await fetch(gateway.url, { method: "POST" })).status).toBeGreaterThan(500);
  }
});

test("connections count only for the cluster that opened them, even if another cluster has the same endpoint", async () => {
  await using service = await upstream((_request, response) => void setTimeout(() => response.end("x"), 300));
  const clusters = [
    { name: "wide", service: "orders" },
    { name: "narrow", service: "orders", subset: { a: "b" } },
  ];
  const routes = ["wide", "narrow"].map((name) => ({ name, match: { path: { prefix: `/${name}` } }, cluster: name }));
  await using gateway = await runGateway({ clusters, routes }, [instance(service.port, { metadata: { a: "b" } })]);
  await Promise.all(["/wide", "/wide", "/narrow"].map((path) => fetch(`${gateway.url}${path}`)));
  const open = (key: string) => gateway.gateway.clusterViews().get(`cluster:${key}`)?.breaker.connections.now;
  expect([open("wide"), open("narrow")]).toEqual([2, 1]);
  // And still do when the cluster had no endpoint in between.
  gateway.plane.change(instance(service.port, { metadata: { a: "b" }, status: "critical" }));
  await eventually("it is away", () => gateway.gateway.status().clusters.every(({ endpoints }) => endpoints === 0));
  gateway.plane.change(instance(service.port, { metadata: { a: "b" } }));
  await eventually("it is back", () => gateway.gateway.status().clusters.every(({ endpoints }) => endpoints === 1));
  expect([open("wide"), open("narrow")]).toEqual([2, 1]);
});

test("a cluster with no healthy endpoint is 503 UH at once, with the reason", async () => {
  await using gateway = await runGateway(oneRoute(), [
    instance(1, { status: "critical" }),
    instance(2, { status: "critical" }),
    instance(3, { lifecycle: "draining" }),
  ]);
  const tookMs = await quickest(21, async () => {
    const answer = await fetch(gateway.url);
    expect(answer.headers.get("x-posthouse-flag")).toBe("UH");
    expect(await problemOf(answer)).toMatchObject({
      status: 503,
      code: "GATEWAY_NO_ENDPOINT",
      detail:
        'Service "orders" in namespace "default" has no healthy endpoint: of those registered, 2 critical, 1 draining.',
    });
  });
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
  expect((await gateway.host.metrics.expose()).text).toContain('posthouse_gateway_refusals_total{flag="UH"} 21');
});

test("a breaker refuses what is beyond its requests and its connections at once, as 503 UO", async () => {
  const waiting: (() => void)[] = [];
  await using slow = await upstream((_request, response) => void waiting.push(() => response.end("x")));
  for (const breaker of [{ requestsMax: 2 }, { connectionsMax: 2 }]) {
    await using gateway = await runGateway(toCluster({ breaker }), [instance(slow.port)]);
    const first = [fetch(gateway.url), fetch(gateway.url)];
    await eventually("both have arrived", () => waiting.length === 2);
    const refused = await fetch(gateway.url);
    expect([refused.headers.get("x-posthouse-flag"), (await problemOf(refused)).code]).toEqual([
      "UO",
      "GATEWAY_OVERLOADED",
    ]);
    for (const answer of waiting.splice(0)) answer();
    for (const answer of first) expect((await answer).status).toBe(200);
    const again = fetch(gateway.url);
    await eventually("room again", () => waiting.length === 1);
    waiting.splice(0)[0]?.();
    expect((await again).status).toBe(200);
    expect(gateway.gateway.clusterViews().get("cluster:c")?.breaker.requests.now).toBe(0);
  }
});

test("a breaker bounds connections on their way: one more request is 503 UO at once, and none when there is room", async () => {
  const held: Socket[] = [];
  // Connections are accepted, but their TLS handshakes never complete: they stay on their way.
  const server = createServer((socket) => {
    socket.on("error", () => {});
    held.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => void server.close());
  stack.defer(() => held.forEach((socket) => socket.destroy()));
  const { port } = server.address() as AddressInfo;
  const slow = { breaker: { pendingMax: 2 }, timeouts: { connectMs: 60_000 } };
  const gateway = stack.use(await runGateway(toCluster(slow), [instance(port, { protocol: "https" })]));
  const flagOf = async (answer: Promise<Response>) => (await answer).headers.get("x-posthouse-flag");
  const view = () => gateway.gateway.clusterViews().get("cluster:c");
  const first = [flagOf(fetch(gateway.url)), flagOf(fetch(gateway.url))];
  await eventually("both are on their way", () => held.length === 2);
  expect(view()?.breaker.pending).toEqual({ now: 2, max: 2 });
  const refused = await fetch(gateway.url);
  expect([refused.headers.get("x-posthouse-flag"), (await problemOf(refused)).code]).toEqual([
    "UO",
    "GATEWAY_OVERLOADED",
  ]);
  expect(held).toHaveLength(2);
  for (const socket of held) socket.destroy();
  expect(await Promise.all(first)).not.toContain("UO");
  expect(view()?.breaker.pending.now).toBe(0);
});

test("a breaker bounds further tries: what is beyond gets the first answer, and is tried again when there is room", async () => {
  const again: (() => void)[] = [];
  // It fails each first try at once, and lets each further one wait.
  await using service = await upstream((request, response) => {
    if (request.headers["x-posthouse-attempt"] === undefined) response.writeHead(503).end("first");
    else again.push(() => response.end("again"));
  });
  await using gateway = await runGateway(
    toCluster(
      { breaker: { retriesMax: 1 }, outlier: { consecutiveErrors: 0 } },
      { retry: { attempts: 1, statuses: [503] } },
    ),
    [instance(service.port)],
  );
  const ask = async () => (await fetch(gateway.url)).text();
  const tried = ask();
  await eventually("it is tried again", () => again.length === 1);
  expect(gateway.gateway.clusterViews().get("cluster:c")?.breaker.retries).toEqual({ now: 1, max: 1 });
  expect(await ask()).toBe("first");
  expect(again).toHaveLength(1);
  again.pop()?.();
  expect(await tried).toBe("again");
  const third = ask();
  await eventually("room again", () => again.length === 1);
  again.pop()?.();
  expect(await third).toBe("again");
});

test("an adaptive cluster bears fewer requests at once when its answers slow down: the limit falls, and 503 UO comes", async () => {
  let waiting: (() => void)[] | undefined;
  await using service = await upstream((_request, response) => {
    const answer = () => void response.end("x");
    if (waiting) waiting.push(answer);
    else answer();
  });
  await using gateway = await runGateway(toCluster({ adaptive: { min: 2, max: 24 } }), [instance(service.port)]);
  const limit = () => gateway.gateway.clusterViews().get("cluster:c")?.adaptiveLimit ?? 0;
  // The usual latency. One request at a time moves no limit, whatever load the machine has.
  for (let i = 0; i < 20; i++) await (await fetch(gateway.url)).text();
  const usual = limit();
  expect(usual).toBe(20);
  // Nine tenths of the limit is for normal requests: 18 come through, and take far longer than usual.
  const wave = async (atLeast: number) => {
    const held: (() => void)[] = (waiting = []);
    const flags = Array.from({ length: 18 }, async () => {
      const answer = await fetch(gateway.url);
      await answer.text();
      return answer.headers.get("x-posthouse-flag");
    });
    await eventually("they have arrived", () => held.length >= atLeast);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const answer of held) answer();
    return Promise.all(flags);
  };
  expect(new Set(await wave(18))).toEqual(new Set([null]));
  const after = limit();
  expect(after).toBeLessThan(usual * 0.7);
  const flags = await wave(2);
  expect(flags).toContain("UO");
  expect(flags.filter((flag) => flag === null).length).toBeLessThanOrEqual(Math.ceil(after * 0.9));
});

/** Blocks the event loop for so long. */
function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

test("a process that is late sheds what is least important as 503 OM, while critical requests pass", async () => {
  await using service = await upstream();
  const routes = (["low", "critical"] as const).map((importance) => ({
    name: importance,
    match: { path: { prefix: `/${importance}` } },
    service: "orders",
    importance,
  }));
  await using gateway = await runGateway({ routes }, [instance(service.port)]);
  const ask = async (path: string) => {
    const answer = await fetch(`${gateway.url}${path}`);
    await answer.text();
    return [answer.status, answer.headers.get("x-posthouse-flag"), answer.headers.get("retry-after")];
  };
  // More than one pause: a single one is over when it is seen.
  for (let i = 0; i < 5; i++) {
    block(250);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(await ask("/low")).toEqual([503, "OM", "1"]);
  expect(await ask("/critical")).toEqual([200, null, null]);
});

test("a status of the route is tried again elsewhere, after Retry-After in seconds, and says which try it is", async () => {
  await using good = await moody();
  await using bad = await moody();
  bad.say = 503;
  bad.headers = { "retry-after": "1" };
  await using gateway = await runGateway(
    toCluster(
      { balance: "round-robin", outlier: { consecutiveErrors: 0 } },
      { retry: { attempts: 1, statuses: [503] } },
    ),
    [instance(good.port), instance(bad.port)],
  );
  const times: number[] = [];
  for (let i = 0; i < 4; i++) {
    const begun = performance.now();
    expect((await fetch(gateway.url)).status).toBe(200);
    times.push(performance.now() - begun);
  }
  expect(times.filter((ms) => ms >= 990 && ms < 3_000)).toHaveLength(2);
  const attempts = [...good.requests, ...bad.requests].map(({ headers }) => headers["x-posthouse-attempt"]);
  expect(attempts.filter((attempt) => attempt === "2")).toHaveLength(2);
  const posted = await Promise.all([1, 2].map(() => fetch(gateway.url, { method: "POST", body: "x" })));
  expect(posted.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 503]);
});

test("traffic counts a request that was retried for the endpoint that answered", async () => {
  await using good = await moody();
  await using bad = await moody();
  bad.say = 503;
  const edges = new Map<string, number>();
  const report = async (_namespace: string, { edges: reported = [] }: TrafficReport) => {
    for (const { instance: id = "", requests = 0 } of reported) edges.set(id, (edges.get(id) ?? 0) + requests);
  };
  const instances = [instance(good.port), instance(bad.port)];
  await using gateway = await runGateway(
    toCluster(
      { balance: "round-robin", outlier: { consecutiveErrors: 0 } },
      { retry: { attempts: 1, statuses: [503] } },
    ),
    instances,
    { traffic: { report } },
  );
  for (let i = 0; i < 4; i++) expect((await fetch(gateway.url)).status).toBe(200);
  expect(bad.requests.length).toBeGreaterThan(0);
  await eventually("it is reported", () => [...edges.values()].reduce((sum, one) => sum + one, 0) === 4);
  expect([...edges].filter(([, requests]) => requests > 0)).toEqual([[instances[0]?.id, 4]]);
});

test("retries stop when their budget is spent", async () => {
  await using a = await moody();
  await using b = await moody();
  a.say = b.say = 500;
  await using gateway = await runGateway(
    toCluster({ outlier: { consecutiveErrors: 0, successRate: false } }, { retry: { attempts: 3, statuses: [500] } }),
    [instance(a.port), instance(b.port)],
  );
  for (let i = 0; i < 100; i++) expect((await fetch(gateway.url)).status).toBe(500);
  const sent = a.requests.length + b.requests.length;
  // A fifth of the requests, and three a second.
  expect(sent).toBeGreaterThan(115);
  expect(sent).toBeLessThan(150);
});

test("a gateway behind another gateway that retries does not retry", async () => {
  await using bad = await moody();
  bad.say = 503;
  await using gateway = await runGateway(
    toCluster({ outlier: { consecutiveErrors: 0 } }, { retry: { attempts: 2, statuses: [503] } }),
    [instance(bad.port)],
  );
  await fetch(gateway.url, { headers: { "x-posthouse-attempt": "2" } });
  expect(bad.requests.map(({ headers }) => headers["x-posthouse-attempt"])).toEqual(["2"]);
  await fetch(gateway.url);
  expect(bad.requests).toHaveLength(4);
});

test("a hedge asks a second endpoint when the first is silent, the first answer wins, and the other call ends", async () => {
  await using silent = await rawUpstream(() => {});
  await using good = await moody();
  await using gateway = await runGateway(toCluster({ balance: "round-robin" }, { retry: { hedgeMs: 50 } }), [
    instance(silent.port),
    instance(good.port),
  ]);
  for (let i = 0; i < 4; i++) {
    const begun = performance.now();
    expect((await fetch(gateway.url)).status).toBe(200);
    expect(performance.now() - begun).toBeLessThan(10_000);
  }
  expect(silent.connections.length).toBeGreaterThan(0);
  await eventually("the slow call is over", () => silent.connections.every(({ socket }) => socket.closed));
  expect(gateway.gateway.clusterViews().get("cluster:c")?.breaker.requests.now).toBe(0);
  expect((await gateway.host.metrics.expose()).text).toMatch(/retries_total\{kind="hedge"\} [1-4]/);
});

test("a service receives the time that is left, and less of it on the second try", async () => {
  await using service = await moody();
  service.say = 503;
  await using gateway = await runGateway(
    toCluster(
      { outlier: { consecutiveErrors: 0 } },
      { deadlineHeader: "X-Time-Left", timeouts: { totalMs: 5_000 }, retry: { attempts: 1, statuses: [503] } },
    ),
    [instance(service.port)],
  );
  service.headers = { "retry-after": "1" };
  await fetch(gateway.url);
  const [first = 0, second = 0] = service.requests.map(({ headers }) => Number(headers["x-time-left"]));
  expect(first).toBeGreaterThan(4_500);
  expect(first).toBeLessThanOrEqual(5_000);
  expect(first - second).toBeGreaterThanOrEqual(990);
});

test("a caller's own time shortens the route's and is the only one forwarded; an invalid value is ignored", async () => {
  await using service = await moody();
  await using gateway = await runGateway(oneRoute({ deadlineHeader: "X-Deadline-Ms", timeouts: { totalMs: 5_000 } }), [
    instance(service.port),
  ]);
  /** The values that the service receives, and in how many fields. */
  const told = async (...sent: string[]) => {
    const lines = sent.map((value) => `x-deadline-ms: ${value}\r\n`).join("");
    await sendRaw(gateway.ports.httpPort, `GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${lines}\r\n`);
    const raw = service.requests.at(-1)?.rawHeaders ?? [];
    return raw.filter((_, at) => raw[at - 1]?.toLowerCase() === "x-deadline-ms" && at % 2 === 1).map(Number);
  };
  const [shorter = 0, ...more] = await told("2000");
  expect(more).toEqual([]);
  expect(shorter).toBeGreaterThan(0);
  expect(shorter).toBeLessThanOrEqual(2_000);
  for (const none of [["9000"], ["99999999999999"], ["-5"], ["1e3"], ["2000.5"], ["2 s"], [""], ["100", "200"]]) {
    const [left = 0, ...others] = await told(...none);
    expect([none, others, left > 2_000 && left <= 5_000]).toEqual([none, [], true]);
  }
});

test("a caller's deadline that expires is 504 UT, at once and without a call when it was zero", async () => {
  await using silent = await rawUpstream(() => {});
  await using gateway = await runGateway(oneRoute({ deadlineHeader: "X-Deadline-Ms", timeouts: { totalMs: 20_000 } }), [
    instance(silent.port),
  ]);
  const begun = performance.now();
  const late = await fetch(gateway.url, { headers: { "x-deadline-ms": "200" } });
  expect([late.status, late.headers.get("x-posthouse-flag")]).toEqual([504, "UT"]);
  expect(performance.now() - begun).toBeLessThan(15_000);
  expect(silent.connections).toHaveLength(1);
  const none = await fetch(gateway.url, { method: "POST", body: "x", headers: { "x-deadline-ms": "0" } });
  expect([none.headers.get("x-posthouse-flag"), (await problemOf(none)).detail]).toEqual([
    "UT",
    "The caller's time was up before the request could be sent.",
  ]);
  expect(silent.connections).toHaveLength(1);
});

test("Maglev keeps a caller's cookie with one endpoint", async () => {
  await using a = await moody();
  await using b = await moody();
  await using gateway = await runGateway(toCluster({ balance: "maglev", hashBy: { cookie: "user" } }), [
    instance(a.port),
    instance(b.port),
  ]);
  const counts: number[][] = [];
  for (let user = 0; user < 12; user++) {
    const before = [a.requests.length, b.requests.length];
    for (let i = 0; i < 3; i++) await fetch(gateway.url, { headers: { cookie: `user=u${user}` } });
    counts.push([a.requests.length - (before[0] ?? 0), b.requests.length - (before[1] ?? 0)]);
  }
  for (const pair of counts) expect(pair.toSorted((a, b) => a - b)).toEqual([0, 3]);
  expect(new Set(counts.map(String)).size).toBe(2);
});

test("requests at once are limited by header, and counted off when they end or their client leaves", async () => {
  const waiting: (() => void)[] = [];
  await using slow = await upstream((_request, response) => void waiting.push(() => response.end("x")));
  await using gateway = await runGateway(oneRoute({ concurrency: { requests: 1, by: { header: "x-tenant" } } }), [
    instance(slow.port),
  ]);
  const ask = (tenant: string, signal?: AbortSignal) =>
    fetch(gateway.url, { headers: { "x-tenant": tenant }, ...(signal ? { signal } : {}) });
  const leaving = new AbortController();
  const first = ask("a", leaving.signal);
  await eventually("it has arrived", () => waiting.length === 1);
  const second = await ask("a");
  expect([second.status, second.headers.get("x-posthouse-flag")]).toEqual([429, "RL"]);
  const other = ask("b");
  await eventually("the other tenant's has arrived", () => waiting.length === 2);
  leaving.abort();
  await expect(first).rejects.toThrow();
  await eventually("room again", () => gateway.gateway.status().inFlight === 1);
  const third = ask("a");
  await eventually("it has arrived, too", () => waiting.length === 3);
  for (const answer of waiting) answer();
  expect([(await other).status, (await third).status]).toEqual([200, 200]);
});

test("a limit by the second and a quota by the day say both what is left", async () => {
  await using good = await moody();
  await using gateway = await runGateway(
    oneRoute({
      rateLimit: { requests: 10, perSeconds: 60, by: "ip" },
      quota: { requests: 3, per: "day", by: { header: "x-key" } },
    }),
    [instance(good.port)],
  );
  const answer = await fetch(gateway.url, { headers: { "x-key": "k" } });
  expect(answer.headers.get("ratelimit-policy")).toBe('"default";q=10;w=60, "quota";q=3;w=86400');
  expect(answer.headers.get("ratelimit")).toMatch(/^"default";r=9;t=\d+, "quota";r=\d;t=\d+$/);
});
