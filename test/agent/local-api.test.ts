/** The local API: what it takes, what it refuses, and who may use it. */
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { localTokenPath } from "#agent";
import { eventually, tempFolder } from "#test/kit";
import { authorizationOf, callHttp, settingsIn, startAgent } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const WEB = { name: "web", port: 80 };
const WEB_CONFIG = { namespace: "default", app: "web", profile: "default" };

test("a service is registered by PUT, drained, and removed by DELETE", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await using agent = await startAgent(plane, folder.path);
  expect((await agent.call("PUT", "/v1/agent/services/one", { ...WEB, tags: ["v1"] })).status).toBe(204);
  await eventually("it is there", () => plane.instance("one")?.tags[0] === "v1");
  expect((await agent.call("PUT", "/v1/agent/services/one/lifecycle", { lifecycle: "draining" })).status).toBe(204);
  await eventually("it drains", () => plane.instance("one")?.lifecycle === "draining");
  expect((await agent.call("PUT", "/v1/agent/services/one", { ...WEB, name: "api" })).status).toBe(204);
  await eventually("it moved to another service", () => plane.instance("one")?.service === "api");
  expect(plane.ids()).toEqual(["one"]);
  expect((await agent.call("DELETE", "/v1/agent/services/one")).status).toBe(204);
  await eventually("it is gone", () => plane.ids().length === 0);
  expect(await agent.call("DELETE", "/v1/agent/services/one")).toMatchObject({
    status: 404,
    body: { code: "AGENT_SERVICE_NOT_FOUND" },
  });
});

test("a TTL check is critical until reported, passes while reported, and is critical again when silent", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await using agent = await startAgent(plane, folder.path);
  const checks = [
    { id: "beat", type: "ttl", ttlSeconds: 1 },
    { id: "up", type: "http", path: "/" },
  ];
  await agent.call("PUT", "/v1/agent/services/one", { ...WEB, checks });
  const status = async () => {
    const { body } = await agent.call<{ services: { checks: { status: string; output: string }[] }[] }>(
      "GET",
      "/v1/agent/health",
    );
    return body.services[0]?.checks[0];
  };
  expect(await status()).toMatchObject({ status: "critical", output: "not reported yet" });
  const report = { status: "passing", output: "all well" };
  expect((await agent.call("PUT", "/v1/agent/services/one/checks/beat", report)).status).toBe(204);
  expect(await status()).toMatchObject({ status: "passing", output: "all well" });
  await eventually("the server knows", () => plane.instance("one")?.checks[0]?.status === "passing");
  await eventually("it fell silent", () => plane.instance("one")?.checks[0]?.status === "critical");
  expect(await status()).toMatchObject({ output: "not reported for 1 s" });
  const wrong = await agent.call("PUT", "/v1/agent/services/one/checks/up", report);
  expect(wrong).toMatchObject({ status: 409, body: { code: "AGENT_CHECK_NOT_TTL" } });
  const missing = await agent.call("PUT", "/v1/agent/services/one/checks/nope", report);
  expect(missing).toMatchObject({ status: 404, body: { code: "AGENT_CHECK_NOT_FOUND" } });
});

test.for([
  [{ name: "web" }, 400, "/port"],
  [{ ...WEB, session: "mine" }, 400, "/session"],
  [{ ...WEB, probedBy: "server" }, 400, "/probedBy"],
  [{ ...WEB, port: "80" }, 400, "/port"],
  [{ ...WEB, name: "Web!" }, 400, "/name"],
  [{ ...WEB, address: "a..b" }, 400, "/address"],
  [{ ...WEB, address: "host:8080" }, 400, "/address"],
  [{ ...WEB, checks: [{ id: "x", type: "tcp", host: "10.0.0.256" }] }, 400, "/checks/0/host"],
  ["{ not json", 400, undefined],
] as const)("PUT of %j is refused with status %i and its field", async ([body, status, field]) => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await using agent = await startAgent(plane, folder.path);
  const answer = await agent.call("PUT", "/v1/agent/services/one", body);
  expect(answer).toMatchObject({
    status,
    headers: { "content-type": expect.stringContaining("application/problem+json") },
  });
  expect(answer.body["field"]).toBe(field);
  expect((await agent.call("GET", "/v1/agent/services")).body).toEqual({ services: [] });
});

test("two checks of one id are refused, and so is a service that a definition file holds", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const { servicesDir = "" } = await settingsIn(folder.path);
  await writeFile(join(servicesDir, "web.yaml"), "service: { name: web, port: 80, id: one }");
  await using agent = await startAgent(plane, folder.path);
  const checks = [
    { id: "a", type: "ttl", ttlSeconds: 1 },
    { id: "a", type: "http", path: "/" },
  ];
  const twice = await agent.call("PUT", "/v1/agent/services/two", { ...WEB, checks });
  expect(twice).toMatchObject({ status: 400, body: { code: "AGENT_CHECK_INVALID" } });
  for (const method of ["PUT", "DELETE"]) {
    const answer = await agent.call(method, "/v1/agent/services/one", method === "PUT" ? WEB : undefined);
    expect(answer).toMatchObject({ status: 409, body: { code: "AGENT_SERVICE_DEFINED" } });
  }
});

test("a body that is not JSON is refused: a web page may send text anywhere, but not JSON", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
    const text = JSON.stringify(WEB);
    const answer = await agent.call("PUT", "/v1/agent/services/one", text, { "content-type": type });
    expect(answer).toMatchObject({ status: 415, body: { code: "HTTP_MEDIA_TYPE" } });
  }
  expect((await agent.call("GET", "/v1/agent/services")).body).toEqual({ services: [] });
});

test("a Host that is not this host is refused, whatever it asks for", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  for (const host of [
    "evil.example",
    "evil.example:8501",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "[::2]",
  ]) {
    const answer = await agent.call("GET", "/v1/agent/services", undefined, { host });
    expect(answer).toMatchObject({ status: 403, body: { code: "AGENT_HOST_REFUSED" } });
  }
  for (const host of ["localhost", "LOCALHOST:8501", "127.0.0.1:1", "[::1]:8501"]) {
    expect((await agent.call("GET", "/v1/agent/services", undefined, { host })).status).toBe(200);
  }
});

test("without the agent's token every call is refused but the probes of an orchestrator", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  const token = await authorizationOf(agent.settings);
  for (const authorization of ["", "Bearer wrong", token.slice("Bearer ".length), `${token}x`]) {
    for (const [method, path] of [
      ["GET", "/v1/agent/services"],
      ["GET", "/v1/agent/config/default/web/default"],
      ["GET", "/v1/agent/nowhere"],
      ["PUT", "/v1/agent/services/one"],
      ["POST", "/ofrep/v1/evaluate/flags"],
    ] as const) {
      const body = method === "GET" ? undefined : WEB;
      const headers: Record<string, string> = authorization === "" ? {} : { authorization };
      const answer = await callHttp<Record<string, unknown>>(agent.port, method, path, body, headers);
      expect([401, 429], `${method} ${path}`).toContain(answer.status);
    }
  }
  expect((await callHttp(agent.port, "GET", "/livez")).status).toBe(200);
  expect((await agent.call("GET", "/v1/agent/services")).body).toEqual({ services: [] });
});

test("the token is made once, in a file that only its owner reads, and the socket is its owner's, too", async () => {
  await using folder = await tempFolder();
  const first = await startAgent(new FakeControlPlane(), folder.path);
  const path = localTokenPath(first.settings.dataDir);
  const modeOf = async (file: string) => ((await stat(file)).mode & 0o777).toString(8);
  const token = await readFile(path, "utf8");
  expect([await modeOf(path), await modeOf(first.socket), await modeOf(first.settings.dataDir)]).toEqual([
    "600",
    "600",
    "700",
  ]);
  await first[Symbol.asyncDispose]();
  await chmod(path, 0o644);
  await using second = await startAgent(new FakeControlPlane(), folder.path);
  expect([await readFile(path, "utf8"), await modeOf(path)]).toEqual([token, "600"]);
  const headers = { host: "whatever.example" };
  expect((await callHttp(second.socket, "GET", "/v1/agent/status", undefined, headers)).status).toBe(200);
});

test("a socket that a killed agent left is taken over, and one in use is not", async () => {
  await using folder = await tempFolder();
  const { dataDir } = await settingsIn(folder.path);
  await mkdir(dataDir, { mode: 0o700 });
  await writeFile(join(dataDir, "agent.sock"), "");
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  expect((await callHttp(agent.socket, "GET", "/livez")).status).toBe(200);
  await expect(startAgent(new FakeControlPlane(), folder.path)).rejects.toMatchObject({ code: "AGENT_NOT_LISTENING" });
  expect((await callHttp(agent.socket, "GET", "/livez")).status).toBe(200);
});

test("a data folder with a path too long for a socket has the port and its token", async () => {
  await using folder = await tempFolder();
  const dataDir = join(folder.path, "d".repeat(120));
  await using agent = await startAgent(new FakeControlPlane(), folder.path, { dataDir });
  expect(agent.socket).toBe("");
  expect((await agent.call("GET", "/v1/agent/status")).status).toBe(200);
});

test("with a token set that one is asked for, and no other is made", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path, { host: "0.0.0.0", token: "s3cret" });
  for (const headers of [{ authorization: "" }, { authorization: "Bearer wrong" }, { authorization: "s3cret" }]) {
    for (const path of ["/v1/agent/services", "/metrics", "/v1/nowhere"]) {
      const answer = await agent.call("GET", path, undefined, headers);
      expect(answer).toMatchObject({ status: 401, body: { code: "AGENT_TOKEN_INVALID" } });
    }
  }
  const headers = { authorization: "Bearer s3cret", host: "agent.internal" };
  expect((await agent.call("GET", "/v1/agent/services", undefined, headers)).status).toBe(200);
  expect((await callHttp(agent.port, "GET", "/livez")).status).toBe(200);
  await expect(stat(localTokenPath(agent.settings.dataDir))).rejects.toThrow("ENOENT");
});

test("a token of agentAccess reaches the apps and services it names, and nothing else", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB_CONFIG, { "app.yaml": "one" });
  plane.release({ ...WEB_CONFIG, app: "pay" }, { "app.yaml": "s3cret" });
  const access = [{ name: "web", apps: ["web"], services: ["web"] }];
  await using agent = await startAgent(plane, folder.path, { access });
  const token = (await readFile(join(agent.settings.dataDir, "tokens", "web"), "utf8")).trim();
  const as = (method: string, path: string, body?: unknown) =>
    agent.call(method, path, body, { authorization: `Bearer ${token}` });
  const template = { key: "app.yaml", sets: { other: { app: "pay" } } };
  await agent.call("PUT", "/v1/agent/services/pay-1", { ...WEB, name: "pay" });
  await agent.call("PUT", "/v1/agent/files/pay.yaml", { app: "pay", key: "app.yaml" });
  const allowed: [string, string, unknown?][] = [
    ["PUT", "/v1/agent/services/web-1", WEB],
    ["PUT", "/v1/agent/services/web-1/lifecycle", { lifecycle: "draining" }],
    ["GET", "/v1/agent/services/web-1/health/history"],
    ["GET", "/v1/agent/config/default/web/default"],
    ["PUT", "/v1/agent/config/default/web/default/acknowledgements/web-1", { releaseKey: "k", outcome: "applied" }],
    ["PUT", "/v1/agent/files/web.yaml", { app: "web", key: "app.yaml" }],
    ["GET", "/v1/agent/resolve/pay"],
    ["DELETE", "/v1/agent/services/web-1"],
    ["DELETE", "/v1/agent/files/web.yaml"],
  ];
  const refused: [string, string, unknown?][] = [
    ["PUT", "/v1/agent/services/pay-2", { ...WEB, name: "pay" }],
    ["PUT", "/v1/agent/services/pay-1", WEB],
    ["PUT", "/v1/agent/services/pay-1/lifecycle", { lifecycle: "draining" }],
    ["PUT", "/v1/agent/services/pay-1/checks/a", { status: "passing" }],
    ["DELETE", "/v1/agent/services/pay-1"],
    ["GET", "/v1/agent/services/pay-1/health/history"],
    ["GET", "/v1/agent/config/default/pay/default"],
    ["POST", "/v1/agent/config/default/pay/default/accept"],
    ["PUT", "/v1/agent/config/default/pay/default/acknowledgements/web-1", { releaseKey: "k", outcome: "failed" }],
    ["PUT", "/v1/agent/files/mine.yaml", { app: "pay", key: "app.yaml" }],
    ["PUT", "/v1/agent/files/mine.yaml", { app: "web", template }],
    ["PUT", "/v1/agent/files/pay.yaml", { app: "web", key: "app.yaml" }],
    ["DELETE", "/v1/agent/files/pay.yaml"],
    ["GET", "/v1/agent/status"],
    ["POST", "/v1/flags/default/pay/default/ofrep/v1/evaluate/flags", {}],
  ];
  for (const [method, path, body] of allowed) expect((await as(method, path, body)).status, path).toBeLessThan(300);
  for (const [method, path, body] of refused) {
    expect((await as(method, path, body)).body, `${method} ${path}`).toMatchObject({ code: "HTTP_FORBIDDEN" });
  }
  expect((await as("GET", "/v1/agent/services")).body).toEqual({ services: [] });
  expect((await as("GET", "/v1/agent/health")).body).toEqual({ services: [] });
  expect((await as("GET", "/v1/agent/files")).body).toEqual({ files: [] });
});

test("bad tokens are counted and slowed down, and a good one is not", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  const bad = () => agent.call("GET", "/v1/agent/services", undefined, { authorization: "Bearer nothing-like-it" });
  const answers = [];
  for (let i = 0; i < 60; i++) answers.push((await bad()).status);
  expect(answers.filter((status) => status === 401).length).toBeLessThan(20);
  expect(await bad()).toMatchObject({ status: 429, body: { code: "HTTP_TOO_MANY_BAD_TOKENS" } });
  expect((await agent.call("GET", "/v1/agent/services")).status).toBe(200);
  const { body } = await agent.call<string>("GET", "/metrics");
  expect(body).toMatch(/posthouse_http_bad_tokens_total\{server="agent",result="slowed"\} [1-9]/);
});

test("a port in use is a start-up error that names it", async () => {
  await using folder = await tempFolder();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = taken.address() as AddressInfo;
    await expect(startAgent(new FakeControlPlane(), folder.path, { port })).rejects.toMatchObject({
      code: "AGENT_NOT_LISTENING",
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
  } finally {
    await new Promise((resolve) => taken.close(resolve));
  }
});

test("a file asked for here stays in the agent's folder, is kept up to date, and goes when dropped", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB_CONFIG, { "app.yaml": "one" });
  await using agent = await startAgent(plane, folder.path);
  const body = { app: "web", key: "app.yaml" };
  for (const name of ["..%2Fout.yaml", "..", ".hidden", "a%2Fb", "%00"]) {
    expect((await agent.call("PUT", `/v1/agent/files/${name}`, body)).status).toBeGreaterThanOrEqual(400);
  }
  expect((await agent.call("PUT", "/v1/agent/files/app.yaml", { ...body, path: "/etc/passwd" })).status).toBe(400);
  const path = join(folder.path, "files", "app.yaml");
  expect(await agent.call("PUT", "/v1/agent/files/app.yaml", body)).toMatchObject({ status: 200, body: { path } });
  await eventually("it is written", async () => (await readFile(path, "utf8")) === "one");
  plane.release(WEB_CONFIG, { "app.yaml": "two" });
  await eventually("it follows", async () => (await readFile(path, "utf8")) === "two");
  expect((await agent.call("GET", "/v1/agent/files")).body).toMatchObject({
    files: [{ path, source: "api", state: "current", key: "app.yaml" }],
  });
  expect((await agent.call("DELETE", "/v1/agent/files/app.yaml")).status).toBe(204);
  expect(await readdir(join(folder.path, "files"))).toEqual([]);
  expect((await agent.call("DELETE", "/v1/agent/files/app.yaml")).body).toMatchObject({ code: "AGENT_FILE_NOT_FOUND" });
});

test("a long poll answers with the next release, with 304 when none comes, and at once when the agent stops", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB_CONFIG, { "app.yaml": "one" });
  const agent = await startAgent(plane, folder.path);
  const path = "/v1/agent/config/default/web/default";
  const first = await agent.call("GET", path);
  expect(first.headers["etag"]).toBe('"key-2"');
  const poll = (wait: number, key: string) =>
    agent.call("GET", `${path}?wait=${wait}`, undefined, { "if-none-match": `"${key}"` });
  expect((await poll(0.05, "key-2")).status).toBe(304);
  expect((await poll(20, "key-1")).body).toMatchObject({ releaseKey: "key-2" });
  const waiting = poll(20, "key-2");
  plane.release(WEB_CONFIG, { "app.yaml": "two" });
  expect((await waiting).body).toMatchObject({ releaseKey: "key-3", items: { "app.yaml": { value: "two" } } });
  const last = poll(20, "key-3");
  const begun = performance.now();
  await agent.call("GET", "/v1/agent/status");
  await agent[Symbol.asyncDispose]();
  expect((await last).status).toBe(304);
  expect(performance.now() - begun, "not at the end of the poll").toBeLessThan(19_000);
});

test("a config that the agent has never received is a 503 that says so while the server is away", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.setUp(false);
  await using agent = await startAgent(plane, folder.path);
  const answer = await agent.call("GET", "/v1/agent/config/default/web/default");
  expect(answer).toMatchObject({ status: 503, body: { code: "AGENT_NOT_KNOWN_YET" } });
  expect((await agent.call("GET", "/readyz")).status).toBe(503);
});

test("resolving follows the catalog, and can be narrowed to what takes requests", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await using agent = await startAgent(plane, folder.path);
  const ids = async (query = "") => {
    const { body } = await agent.call<{ instances: { id: string }[] }>("GET", `/v1/agent/resolve/web${query}`);
    return body.instances.map(({ id }) => id).sort();
  };
  expect(await ids()).toEqual([]);
  const name = { namespace: "default", service: "web" };
  plane.put({ ...name, id: "a" }, { address: "10.0.0.1", port: 80 });
  plane.put({ ...name, id: "b" }, { address: "10.0.0.2", port: 80, lifecycle: "draining" });
  await eventually("both are known", async () => (await ids()).length === 2);
  expect(await ids("?healthy=true")).toEqual(["a"]);
  expect(await ids("?healthy=false")).toEqual(["b"]);
  expect((await agent.call("GET", "/v1/agent/resolve/web?helthy=true")).status).toBe(400);
});

test("the metrics say how many services, checks and files there are, and whether the server answers", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await using agent = await startAgent(plane, folder.path);
  await agent.call("PUT", "/v1/agent/services/one", { ...WEB, checks: [{ id: "a", type: "ttl", ttlSeconds: 60 }] });
  await eventually("it is there", () => agent.running.status().inSync);
  const { body } = await agent.call<string>("GET", "/metrics");
  for (const line of [
    'posthouse_agent_services{state="inSync"} 1',
    'posthouse_agent_services{state="changed"} 0',
    'posthouse_agent_checks{status="critical"} 1',
    "posthouse_agent_connected 1",
    'posthouse_agent_sync_total{result="ok"}',
  ]) {
    expect(body).toContain(line);
  }
});
