/**
 * Change without loss: endpoints drain, routes are swapped, the control plane leaves, the gateway stops, and no request
 * that could be served fails for it.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Pool } from "undici";
import { expect, test } from "vitest";
import { createGateway } from "#gateway";
import { eventually, tempFolder, testHost, hangSignal } from "#test/kit";
import { baseSettings, FakeControlPlane, instance, oneRoute, problemOf, runGateway, upstream } from "./kit.ts";

test("10,000 requests see no failure while endpoints drain, die and come back and the table is swapped", async () => {
  const services = await Promise.all([upstream(), upstream(), upstream()]);
  const spare = await upstream();
  await using running = await runGateway(oneRoute(), [
    ...services.map(({ port }) => instance(port)),
    instance(spare.port),
  ]);
  const pool = new Pool(running.url, { connections: 32 });
  const statuses = new Map<number, number>();
  const work = { left: 10_000 };
  const client = async () => {
    for (; work.left > 0;) {
      work.left -= 1;
      const { statusCode, body } = await pool.request({ path: "/x", method: "GET" });
      await body.dump();
      statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
    }
  };
  let swaps = 0;
  const unrest = async () => {
    for (let i = 0; work.left > 0; i++) {
      const { port } = services[i % services.length] as (typeof services)[number];
      running.plane.change(instance(port, { lifecycle: "draining" }));
      running.plane.release(oneRoute({ timeouts: { headersMs: 5_000 + i } }));
      await new Promise((resolve) => setTimeout(resolve, 10));
      running.plane.remove("orders", `i-${port}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      running.plane.change(instance(port));
      swaps += 1;
      // In the middle of it one is killed without a word.
      if (i === 10) await spare[Symbol.asyncDispose]();
    }
  };
  await Promise.all([...Array.from({ length: 32 }, client), unrest()]);
  await pool.close();
  expect(Object.fromEntries(statuses)).toEqual({ 200: 10_000 });
  expect(swaps).toBeGreaterThan(20);
  expect(running.gateway.status().inFlight).toBe(0);
  await Promise.all(services.map((service) => service[Symbol.asyncDispose]()));
}, 300_000);

test("a request under way ends in the snapshot it began with, and on an endpoint that is gone meanwhile", async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  await using old = await upstream((_request, response) => {
    response.write("first ");
    void gate.then(() => response.end("last"));
  });
  await using next = await upstream((_request, response) => void response.end("next"));
  await using running = await runGateway(oneRoute(), [instance(old.port)]);
  const held = await fetch(running.url);
  running.plane.change(instance(next.port));
  running.plane.remove("orders", `i-${old.port}`);
  running.plane.release({ routes: [] });
  await eventually("the new table is in force", async () => (await fetch(running.url)).status === 404);
  release();
  expect(await held.text()).toBe("first last");
});

test("connections of an endpoint that goes are closed, and those of the others are not", async () => {
  await using a = await upstream();
  await using b = await upstream();
  await using running = await runGateway(oneRoute(), [instance(a.port), instance(b.port)]);
  for (let i = 0; i < 20; i++) await (await fetch(running.url)).text();
  const open = (service: typeof a) =>
    new Promise<number>((resolve) => service.server.getConnections((_error, count) => resolve(count)));
  expect(await open(a)).toBeGreaterThan(0);
  running.plane.remove("orders", `i-${a.port}`);
  await eventually("its connections are closed", async () => (await open(a)) === 0);
  expect(await open(b)).toBeGreaterThan(0);
});

test("an invalid config changes nothing, and is reported in status, log and metric", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  running.plane.release("routes: [{ name: x }]");
  await eventually("the problem is reported", () => running.gateway.status().problems.length > 0);
  expect((await fetch(running.url)).status).toBe(200);
  expect(running.gateway.status()).toMatchObject({ releaseKey: "release-1", routes: 1 });
  expect(
    running.host.log.lines.some(({ level, message }) => level === "error" && message.includes("config rejected")),
  ).toBe(true);
  expect((await running.host.metrics.expose()).text).toContain('posthouse_gateway_configs_total{result="refused"} 1');
  running.plane.release(oneRoute({ name: "better" }));
  await eventually("the next good one is taken", () => running.gateway.status().releaseKey === "release-3");
  expect(running.gateway.status().problems).toEqual([]);
});

test("a CA file that cannot be read refuses the config, naming the field", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  running.plane.release(
    oneRoute({}, { clusters: [{ name: "c", service: "s", tls: { caFile: "/does/not/exist.pem" } }] }),
  );
  await eventually(
    "the problem is reported",
    () => running.gateway.status().problems[0]?.pointer === "/clusters/0/tls/caFile",
  );
  expect((await fetch(running.url)).status).toBe(200);
});

test("not ready before both the routes and the endpoints are whole", async () => {
  await using service = await upstream();
  const plane = new FakeControlPlane();
  await using gateway = createGateway(testHost(), { client: plane, settings: baseSettings });
  await expect(gateway.ready(AbortSignal.timeout(30))).rejects.toThrow();
  plane.release(oneRoute());
  await eventually("the config is there", () => gateway.status().routes === 1);
  plane.catalog.send("snapshot", {
    namespace: "default",
    service: "orders",
    instances: [instance(service.port)],
    removed: [],
    panic: false,
  });
  await expect(gateway.ready(AbortSignal.timeout(30))).rejects.toThrow();
  expect(gateway.status().ready).toBe(false);
  plane.catalog.send("synced");
  await gateway.ready(hangSignal());
  expect(gateway.status()).toMatchObject({
    ready: true,
    source: "control-plane",
    clusters: [{ service: "orders", endpoints: 1 }],
  });
});

test("a reset never shows an empty list: the old endpoints serve until the new ones are whole", async () => {
  await using old = await upstream((_request, response) => void response.end("old"));
  await using next = await upstream((_request, response) => void response.end("next"));
  await using running = await runGateway(oneRoute(), [instance(old.port)]);
  const text = async () => (await fetch(running.url)).text();
  running.plane.catalog.send("reset");
  running.plane.catalog.send("snapshot", {
    namespace: "default",
    service: "orders",
    instances: [instance(next.port)],
    removed: [],
    panic: false,
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(await text()).toBe("old");
  running.plane.catalog.send("synced");
  await eventually("the new ones serve", async () => (await text()) === "next");
});

test("a route to a namespace not watched before is in force only with its endpoints", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  running.plane.release(
    oneRoute(
      { service: undefined, cluster: "c" },
      { clusters: [{ name: "c", service: "orders", namespace: "other" }] },
    ),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(running.gateway.status().releaseKey).toBe("release-1");
  expect((await fetch(running.url)).status).toBe(200);
  const elsewhere = instance(service.port, { namespace: "other" });
  running.plane.otherCatalog.send("snapshot", {
    namespace: "other",
    service: "orders",
    instances: [elsewhere],
    removed: [],
    panic: false,
  });
  running.plane.otherCatalog.send("synced");
  await eventually("it is in force", () => running.gateway.status().releaseKey === "release-2");
  expect((await fetch(running.url)).status).toBe(200);
});

test("the last good state starts a gateway while the control plane is away", async () => {
  await using folder = await tempFolder();
  await using service = await upstream();
  const dataFile = join(folder.path, "gateway.json");
  {
    await using running = await runGateway(oneRoute(), [instance(service.port)], { dataFile });
    expect((await fetch(running.url)).status).toBe(200);
  }
  expect(await readdir(folder.path)).toEqual(["gateway.json"]);
  expect(JSON.parse(await readFile(dataFile, "utf8"))).toMatchObject({ format: 2, releaseKey: "release-1" });
  const silent = new FakeControlPlane();
  await using gateway = createGateway(testHost(), { client: silent, settings: { ...baseSettings, dataFile } });
  await gateway.ready(hangSignal());
  const { httpPort } = await gateway.listen();
  expect((await fetch(`http://127.0.0.1:${httpPort}`)).status).toBe(200);
  expect(gateway.status().source).toBe("file");
  silent.release({ routes: [] });
  await eventually("the config of the control plane is in force", () => gateway.status().source === "control-plane");
});

test("an older config, from a server with a lost or older store, is ignored, also after a restart, until a newer one arrives", async () => {
  await using folder = await tempFolder();
  await using service = await upstream();
  const host = testHost();
  const settings = { ...baseSettings, dataFile: join(folder.path, "snapshot.json") };
  const start = () => {
    const plane = new FakeControlPlane();
    const gateway = createGateway(host, { client: plane, settings });
    return { plane, gateway, routes: () => gateway.status().routes };
  };
  const config = (...names: string[]) => ({
    routes: names.map((name) => ({ name, match: { path: { prefix: `/${name}` } }, service: "orders" })),
  });
  {
    const { plane, gateway, routes } = start();
    await using _ = gateway;
    for (const names of [["a"], ["a", "b"]]) plane.release(config(...names));
    plane.snapshot(instance(service.port));
    await eventually("both are in force", () => routes() === 2);
    // The store is set back to before the second release, and the watch starts again.
    plane.setBack();
    plane.release(config("a"));
    await eventually("the problem is reported", () => gateway.status().problems.length === 1);
    expect(gateway.status().problems[0]?.message).toMatch(
      /The server has a config of revision 1, but this gateway already uses revision 2/,
    );
    expect(routes()).toBe(2);
    await eventually("it is on disk", async () => (await readFile(settings.dataFile, "utf8")).includes('"at":{'));
  }
  const { plane, gateway, routes } = start();
  await using _ = gateway;
  plane.nothingReleased();
  plane.snapshot(instance(service.port));
  await eventually("the empty config is reported", () => gateway.status().problems.length === 1);
  expect([routes(), gateway.status().problems[0]?.message]).toEqual([2, expect.stringContaining("nothing released")]);
  for (const names of [["a"], ["a", "b"], ["a", "b", "c"]]) plane.release(config(...names));
  await eventually("the newer config is in force", () => routes() === 3);
  expect(gateway.status().problems).toEqual([]);
});

test("a last good state that is broken is passed over with a word in the log", async () => {
  await using folder = await tempFolder();
  const dataFile = join(folder.path, "gateway.json");
  await writeFile(dataFile, '{"format":1,"conf');
  const host = testHost();
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)], { dataFile }, host);
  expect((await fetch(running.url)).status).toBe(200);
  expect(host.log.lines.some(({ message }) => message.includes("cannot be read"))).toBe(true);
});

test("a stop lets requests under way end, takes no new connections, and cuts at the deadline", async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  await using service = await upstream((request, response) => {
    if (request.url === "/slow") void gate.then(() => response.end("done"));
  });
  const running = await runGateway(oneRoute(), [instance(service.port)], { drainMs: 400 });
  const slow = fetch(`${running.url}/slow`);
  const never = fetch(`${running.url}/never`).then(
    (response) => response.status,
    () => "cut",
  );
  await eventually("both are under way", () => running.gateway.status().inFlight === 2);
  const started = performance.now();
  const stopped = running.gateway[Symbol.asyncDispose]();
  expect(running.gateway.status().ready).toBe(false);
  await eventually("no new connection is taken", () =>
    fetch(running.url).then(
      () => false,
      () => true,
    ),
  );
  release();
  const answer = await slow;
  expect([answer.headers.get("connection"), await answer.text()]).toEqual(["close", "done"]);
  await stopped;
  expect(await never).toBe("cut");
  // It would never end by itself.
  expect(performance.now() - started).toBeLessThan(30_000);
});

test("a limit refuses with the fields of the draft, and counts each client by itself", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute({ rateLimit: { requests: 2, perSeconds: 60, by: "ip" } }), [
    instance(service.port),
  ]);
  const first = await fetch(running.url);
  expect([first.status, first.headers.get("ratelimit"), first.headers.get("ratelimit-policy")]).toEqual([
    200,
    '"default";r=1;t=30',
    '"default";q=2;w=60',
  ]);
  expect((await fetch(running.url)).status).toBe(200);
  const refused = await fetch(running.url);
  expect(refused.headers.get("x-posthouse-flag")).toBe("RL");
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(25);
  expect((await problemOf(refused)).code).toBe("GATEWAY_RATE_LIMITED");
  // A new table does not renew the allowance.
  running.plane.release(oneRoute({ rateLimit: { requests: 2, perSeconds: 60, by: "ip" }, priority: 1 }));
  await eventually("the new table is in force", () => running.gateway.status().releaseKey === "release-2");
  expect((await fetch(running.url)).status).toBe(429);
});

test("a gateway says of each config of its own whether it took it, and of a bad one why not", async () => {
  await using service = await upstream();
  const over = { instance: { id: "edge-1", labels: {} } };
  await using running = await runGateway(oneRoute(), [instance(service.port)], over);
  running.plane.release("routes: [{ name: x }]");
  running.plane.release(oneRoute({ name: "better" }));
  await eventually("all three are acknowledged", () => running.plane.acknowledged.length === 3);
  expect(running.plane.acknowledged).toMatchObject([
    { releaseKey: "release-1", error: undefined },
    { releaseKey: "release-2", error: expect.stringContaining("/routes/0") as string },
    { releaseKey: "release-3", error: undefined },
  ]);
});
