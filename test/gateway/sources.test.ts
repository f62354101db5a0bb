/** Where routes come from beside releases: a file, services' own hints, and the listeners that they are on. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { get as httpsGet } from "node:https";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { createGateway, gatewayReleaseCheck, noControlPlane } from "#gateway";
import { eventually, tempFolder, testHost, withControl, hangSignal } from "#test/kit";
import { hintedRoutes } from "../../gateway/core/routing/hints.ts";
import { authority } from "./certificates.ts";
import { ask } from "./echo.ts";
import { baseSettings, instance, runGateway, upstream } from "./kit.ts";

const all = { path: { prefix: "/" } };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("a gateway serves from a file without a control plane, takes changes, and keeps the last good one", async () => {
  await using folder = await tempFolder();
  await using service = await upstream((request, response) => void response.end(request.url));
  const file = join(folder.path, "gateway.yaml");
  const config = (prefix: string) => `
clusters: [{ name: static, endpoints: [{ address: 127.0.0.1, port: ${service.port} }] }]
routes: [{ name: r, match: { path: { prefix: ${prefix} } }, cluster: static }]
`;
  await writeFile(file, config("/a"));
  const settings = { ...baseSettings, configFile: file, dataFile: join(folder.path, "state.json") };
  const start = async () => {
    const gateway = createGateway(testHost(), { client: noControlPlane, settings });
    await gateway.ready(hangSignal());
    return { gateway, port: (await gateway.listen()).httpPort };
  };
  {
    const { gateway, port } = await start();
    await using _ = gateway;
    expect((await ask(port, "/a/1")).text).toBe("/a/1");
    expect(gateway.status()).toMatchObject({ source: "config-file", ready: true });
    await writeFile(file, config("/b"));
    await eventually("the file is read again", async () => (await ask(port, "/b")).status === 200);
    await writeFile(file, "routes: [{ name: r, color: red }]");
    await eventually("it is refused", () => gateway.status().problems.length > 0);
    expect(gateway.status().problems[0]).toMatchObject({ line: 1 });
    expect((await ask(port, "/b")).status).toBe(200);
  }
  // The broken file is still there; the last good state serves.
  const { gateway, port } = await start();
  await using _ = gateway;
  expect(gateway.status().source).toBe("file");
  expect((await ask(port, "/b/2")).text).toBe("/b/2");
});

test("a hint becomes a route only for services that the config names, below every route of the config", async () => {
  await using orders = await upstream((_request, response) => void response.end("orders"));
  await using canary = await upstream((_request, response) => void response.end("canary"));
  const config = {
    routes: [{ name: "own", match: { path: { prefix: "/orders/own" } }, service: "canary" }],
    hints: [{ service: "orders", hosts: ["a.example"], within: ["/orders"], bodyBytesMax: 10_000_000 }],
  };
  const instances = [instance(orders.port), instance(canary.port, { service: "canary" })];
  await using running = await runGateway(config, instances);
  const port = running.ports.httpPort;
  const hint = (service: string, ...pathPrefixes: string[]) =>
    running.plane.catalog.send("delta", {
      namespace: "default",
      service,
      instances: [],
      removed: [],
      panic: false,
      ...(pathPrefixes.length > 0 ? { gateway: { pathPrefixes } } : {}),
    });
  expect((await ask(port, "/orders")).status).toBe(404);
  hint("canary", "/canary");
  hint("orders", "/orders", "/orders/own/deeper", "/admin");
  await eventually("the hint is a route", async () => (await ask(port, "/orders/1")).text === "orders");
  expect((await ask(port, "/orders/own/deeper")).text).toBe("canary");
  for (const [path, host] of [
    ["/orders", "b.example"],
    ["/admin", "a.example"],
    ["/canary", "a.example"],
  ] as const) {
    expect([path, (await ask(port, path, { host })).status]).toEqual([path, 404]);
  }
  expect(running.gateway.status().warnings[0]?.message).toMatch(/"\/admin", which is outside/);
  const big = await ask(port, "/orders", { method: "POST", body: "x".repeat(1024 * 1024 + 1) });
  expect(big.status).toBe(413);
  hint("orders");
  await eventually("the route went with the hint", async () => (await ask(port, "/orders/1")).status === 404);
});

test("a policy that is set in the registry is a route soon after, and none when it is taken back", async () => {
  await using service = await upstream((request, response) => void response.end(request.url));
  await using control = await withControl({ releaseChecks: [gatewayReleaseCheck] });
  const { client } = control;
  const name = { namespace: "default", service: "orders" };
  const items = { "gateway.yaml": { format: "yaml" as const, value: "hints: [{ service: orders }]\n" } };
  await client.config.publish({ namespace: "default", app: "gateway", profile: "default" }, { items });
  await client.registry.register({ ...name, id: "one" }, { address: "127.0.0.1", port: service.port });
  await using gateway = createGateway(testHost(), { client, settings: baseSettings });
  await gateway.ready(hangSignal());
  const { httpPort } = await gateway.listen();
  expect((await ask(httpPort, "/orders")).status).toBe(404);
  await client.registry.setPolicy(name, { gateway: { pathPrefixes: ["/orders"] } });
  await eventually("the hint is a route", async () => (await ask(httpPort, "/orders/1")).text === "/orders/1");
  await client.registry.setPolicy(name, {});
  await eventually("the hint is no longer a route", async () => (await ask(httpPort, "/orders/1")).status === 404);
});

test("two services that hint the same prefix both get no route, and a path that is not canonical is not a hint", () => {
  const { routes, problems } = hintedRoutes(
    { hints: [{ service: "*" }] },
    new Map([
      ["a", ["/x", "/a"]],
      ["b", ["/x/", "/b//c"]],
    ]),
  );
  expect(routes.map(({ name }) => name)).toEqual(["hint:a:/a"]);
  expect(problems.map(({ message }) => message)).toEqual([
    'Service "b" hints "/b//c", which is not a canonical path.',
    'a and b hint the same prefix "/x", so none of them gets a route for it. Remove it from all but one of them.',
  ]);
});

test("listeners open and close with the config; each serves its hosts and the routes that it takes", async () => {
  const gate = Promise.withResolvers<void>();
  await using service = await upstream((request, response) => {
    if (request.url === "/public/stream") {
      response.write("first ");
      void gate.promise.then(() => response.end("last"));
    } else response.end(request.url);
  });
  const [one, two] = [await freePort(), await freePort()];
  const config = (...listeners: object[]) => ({
    listeners,
    routes: [
      { name: "public", match: { path: { prefix: "/public" } }, service: "orders" },
      { name: "inside", match: { path: { prefix: "/inside" } }, listeners: ["inside"], service: "orders" },
    ],
  });
  const inside = { name: "inside", port: one, hosts: ["*.internal"], attach: "named" };
  await using running = await runGateway(config(inside), [instance(service.port)]);
  const own = running.ports.httpPort;
  const status = (port: number, path: string, host = "a.internal") =>
    ask(port, path, { host }).then(
      (answer) => answer.status,
      (error: { code?: string }) => error.code,
    );
  await eventually("the listener is open", async () => (await status(one, "/inside")) === 200);
  expect(await status(one, "/inside", "a.example")).toBe(404);
  expect(await status(one, "/public")).toBe(404);
  expect(await status(own, "/inside")).toBe(404);
  expect(await status(own, "/public")).toBe(200);
  running.plane.release(config({ ...inside, port: two, attach: "all" }));
  await eventually("it moved", async () => (await status(two, "/public")) === 200);
  await eventually("its old port is closed", async () => (await status(one, "/inside")) === "ECONNREFUSED");
  // A stream under way goes on where its listener is gone, and the port is free for another one all the same.
  const stream = await new Promise<IncomingMessage>((resolve) =>
    httpRequest(
      { host: "127.0.0.1", port: two, path: "/public/stream", headers: { host: "a.internal" } },
      resolve,
    ).end(),
  );
  running.plane.release(config(inside, { name: "other", port: two }));
  await eventually("another listener has the port", async () => (await status(two, "/public", "b.example")) === 200);
  gate.resolve();
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  expect(text).toBe("first last");
  running.plane.release(config(inside, { name: "taken", port: own }));
  await eventually("the port in use is reported", () =>
    running.gateway.status().warnings.some(({ message }) => message.includes("EADDRINUSE")),
  );
  expect(await status(own, "/public")).toBe(200);
});

test("a listener with tls serves the gateway's certificate, and routes see the scheme", async () => {
  await using service = await upstream((_request, response) => void response.end("secure"));
  const ca = await authority();
  const port = await freePort();
  const config = {
    listeners: [{ name: "secure", port, tls: true, attach: "named" }],
    routes: [{ name: "r", match: { scheme: "https" }, listeners: ["secure"], service: "orders" }],
  };
  await using running = await runGateway(config, [instance(service.port)], { tls: await ca.issue(["a.example"]) });
  const get = () =>
    new Promise<string>((resolve) => {
      const options = {
        host: "127.0.0.1",
        port,
        servername: "a.example",
        ca: ca.pem,
        headers: { host: "a.example" },
        agent: false,
      };
      httpsGet(options, (response) => void response.on("data", (chunk: Buffer) => resolve(chunk.toString()))).on(
        "error",
        (error) => resolve(error.message),
      );
    });
  await eventually("it serves", async () => (await get()) === "secure");
  running.gateway.setTls(await (await authority()).issue(["a.example"]));
  expect(await get()).toMatch(/certificate|signature/);
});

test("a route on a listener that is not there, and a listener without a port, are refused", async () => {
  const { parseGatewayConfig } = await import("#gateway");
  const { problems } = parseGatewayConfig(
    JSON.stringify({ listeners: [{ name: "x" }], routes: [{ name: "r", match: all, listeners: ["y"], service: "s" }] }),
  );
  expect(problems.map(({ pointer }) => pointer)).toEqual(["/listeners/0", "/routes/0/listeners/0"]);
});
