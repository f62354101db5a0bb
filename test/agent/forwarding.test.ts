/** The control API through an agent: whose rights a call has, what crosses, what streams, and what happens while members are away. */
import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { beforeAll, afterAll, expect, test } from "vitest";
import { createAgent, type AgentSettings, type ControlPlane } from "#agent";
import { Client, fetchTransport, injectTransport } from "#client";
import { eventually, tempFolder, testHost, withControl, type TestControl } from "#test/kit";
import { FORWARDED_BYTES_MAX } from "../../agent/forwarding/forwarded-body.ts";
import { authorizationOf, callHttp, settingsIn } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const ACCESS = [
  { name: "orders", apps: ["orders"], services: ["orders"] },
  { name: "local", apps: [], services: [] },
  { name: "every", apps: ["*"], services: ["*"] },
];

interface ForwardingAgent extends AsyncDisposable {
  readonly port: number;
  readonly socket: string;
  readonly settings: AgentSettings;
  readonly as: (name: string) => Promise<Record<string, string>>;
  readonly stop: () => Promise<void>;
}

async function agentOver(
  client: ControlPlane,
  way: { transport: ReturnType<typeof fetchTransport>; token: string },
): Promise<ForwardingAgent> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const settings = await settingsIn(folder.path, { access: ACCESS });
  const running = stack.use(await createAgent(testHost(), { client, way, settings }));
  const { port, socket = "" } = await running.listen();
  const owned = stack.move();
  return {
    port,
    socket,
    settings,
    async as(name) {
      const path = join(settings.dataDir, "tokens", name);
      return { authorization: `Bearer ${(await readFile(path, "utf8")).trim()}` };
    },
    stop: async () => running[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

let control: TestControl;
let agent: ForwardingAgent;
beforeAll(async () => {
  control = await withControl();
  const { token } = await control.access.tokens.issue({ name: "host-a", policies: ["agent"], apps: ["*"] }, "test");
  const transport = injectTransport(control.app);
  agent = await agentOver(new Client(testHost(), { transport, token }), { transport, token });
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await control[Symbol.asyncDispose]();
});

/** A member that answers as a test says, and remembers what it received. */
interface Member extends AsyncDisposable {
  readonly url: string;
  readonly received: { readonly path: string; readonly headers: IncomingMessage["headers"]; readonly body: string }[];
  answer: (request: IncomingMessage, response: ServerResponse) => void;
}

async function startMember(): Promise<Member> {
  const member: Pick<Member, "received"> & { answer: Member["answer"] } = {
    received: [],
    answer: (_request, response) => void response.end("{}"),
  };
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { url: path = "", headers } = request;
      if (path === "/livez") {
        response.end("{}");
        return;
      }
      if (path === "/v1/service-tokens") {
        response.writeHead(201, { "content-type": "application/json" });
        response.end(JSON.stringify({ token: `phs_${member.received.length}`, name: "x", expiresAt: "" }));
        return;
      }
      member.received.push({ path, headers, body: Buffer.concat(chunks).toString() });
      member.answer(request, response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(member, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  });
}

/** An agent over stub members, in the order given. */
async function agentBefore(...members: readonly Pick<Member, "url">[]) {
  await using stack = new AsyncDisposableStack();
  const transport = stack.use(fetchTransport({ urls: members.map(({ url }) => url) }));
  const plane = new FakeControlPlane();
  const forwarding = stack.use(await agentOver(plane.client(), { transport, token: "ph_agent" }));
  const owned = stack.move();
  return { ...forwarding, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("the owner of the host calls the control API without a token of it, as a service", async () => {
  const me = await callHttp<Record<string, unknown>>(agent.socket, "GET", "/v1/me");
  expect(me).toMatchObject({ status: 200, body: { name: "agent:host-a", policies: ["service"] } });
  const authorization = await authorizationOf(agent.settings);
  const { body } = await callHttp<{ id: string }>(
    agent.port,
    "POST",
    "/v1/sessions",
    { ttlSeconds: 30 },
    { authorization },
  );
  const path = "/v1/services/orders/instances/one?namespace=default";
  const instance = { address: "127.0.0.1", port: 80, session: body.id };
  expect(await callHttp(agent.port, "PUT", path, instance, { authorization })).toMatchObject({ status: 201 });
  expect((await callHttp(agent.socket, "DELETE", path)).status).toBe(200);
  for (const forbidden of ["/v1/tokens", "/v1/certificates"]) {
    expect((await callHttp(agent.socket, "GET", forbidden)).status).not.toBe(200);
  }
});

test("a local token reads its own app and registers its own service only, by whatever name it has", async () => {
  const secret = { items: { k: { format: "text" as const, value: "v" } } };
  for (const app of ["orders", "stock"]) {
    await control.client.config.publish({ namespace: "default", app, profile: "default" }, secret);
  }
  const statusOf = async (name: string, method: string, path: string, body?: unknown) =>
    (await callHttp(agent.port, method, path, body, await agent.as(name))).status;
  const config = (app: string) => `/v1/config/default/${app}/default`;
  expect(await statusOf("orders", "GET", config("orders"))).toBe(200);
  expect(await statusOf("orders", "GET", config("stock"))).toBe(403);
  expect(await statusOf("local", "GET", config("orders"))).toBe(403);
  expect(await statusOf("every", "GET", config("stock"))).toBe(200);
  const instance = { address: "127.0.0.1", port: 80, ttlSeconds: 30 };
  const register = (service: string) => `/v1/services/${service}/instances/two?namespace=default`;
  const { body } = await callHttp<{ id: string }>(
    agent.port,
    "POST",
    "/v1/sessions",
    { ttlSeconds: 30 },
    await agent.as("orders"),
  );
  const { ttlSeconds: _, ...claimed } = { ...instance, session: body.id };
  expect(await statusOf("orders", "PUT", register("orders"), claimed)).toBe(201);
  expect(await statusOf("orders", "PUT", register("stock"), claimed)).toBe(403);
  // The session and the instance belong to the local caller, not to the host.
  expect(await statusOf("every", "PUT", register("orders"), claimed)).not.toBe(200);
  expect(await statusOf("every", "DELETE", register("orders"))).toBe(403);
});

test("no field of a request widens what a local caller may do", async () => {
  const { authorization = "" } = await agent.as("orders");
  const asked = { name: "x", apps: ["*"], ttlSeconds: 60 };
  const taken = await callHttp(agent.port, "POST", "/v1/service-tokens", asked, { authorization });
  expect(taken).toMatchObject({ status: 403, body: { code: "HTTP_FORBIDDEN" } });
  const more = {
    "x-posthouse-principal": "agent:host-a",
    cookie: "posthouse_session=x",
    "x-forwarded-for": "10.0.0.1",
  };
  const stock = "/v1/config/default/stock/default";
  expect((await callHttp(agent.port, "GET", stock, undefined, { authorization, ...more })).status).toBe(403);
});

test("a caller with a token of the control plane keeps its own rights", async () => {
  const authorization = `Bearer ${control.token}`;
  const { status, body } = await callHttp<{ tokens: unknown[] }>(agent.port, "GET", "/v1/tokens", undefined, {
    authorization,
  });
  expect(status).toBe(200);
  expect(body.tokens.length).toBeGreaterThan(0);
  const unknown = { authorization: `Bearer ph_${"0".repeat(16)}_${"0".repeat(64)}` };
  expect(await callHttp(agent.port, "GET", "/v1/tokens", undefined, unknown)).toMatchObject({
    status: 401,
    body: { code: "HTTP_TOKEN_INVALID" },
  });
  expect(await callHttp(agent.port, "GET", "/v1/agent/status", undefined, { authorization })).toMatchObject({
    status: 401,
    body: { code: "AGENT_TOKEN_INVALID" },
  });
});

test("a path that has another form is rejected, and paths of the agent never leave it", async () => {
  const authorization = await authorizationOf(agent.settings);
  for (const path of ["/v1/%2e%2e/ui/api/session", "/v1/services/../tokens", "/v1/a/%2e/b", "/v1/a\\b"]) {
    const answer = await callHttp(agent.port, "GET", path, undefined, { authorization });
    expect(answer, path).toMatchObject({ status: 400, body: { code: "HTTP_INVALID", field: "path" } });
  }
  for (const [method, path, status] of [
    ["GET", "/v1/agent/nothing", 404],
    ["POST", "/v1/agent/status", 405],
    ["GET", "/ui/api/session", 404],
  ] as const) {
    expect((await callHttp(agent.port, method, path, undefined, { authorization })).status, path).toBe(status);
  }
});

test("requests of web pages are rejected", async () => {
  const authorization = await authorizationOf(agent.settings);
  for (const headers of [
    { origin: "http://evil.example" },
    { origin: "null" },
    { origin: `http://127.0.0.1:${agent.port}` },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ] as Record<string, string>[]) {
    const answer = await callHttp(agent.port, "GET", "/v1/services", undefined, { authorization, ...headers });
    expect(answer, JSON.stringify(headers)).toMatchObject({ status: 403, body: { code: "AGENT_CROSS_ORIGIN" } });
  }
});

test("a watch streams through the agent, and ends at the control plane with its reader", async () => {
  const reader = new AbortController();
  const call = request({
    socketPath: agent.socket,
    path: "/v1/watch/services?namespace=default&service=streamed",
    headers: { accept: "text/event-stream" },
    signal: reader.signal,
  });
  call.on("error", () => {});
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  let text = "";
  response.on("data", (chunk: Buffer) => (text += chunk.toString()));
  response.on("error", () => {});
  await eventually("the snapshot is here", () => text.includes("event: synced"));
  const { id } = await control.client.registry.openSession(30);
  await control.client.registry.register(
    { namespace: "default", service: "streamed", id: "s" },
    { address: "127.0.0.1", port: 1, session: id },
  );
  await eventually("the change is here", () => text.includes('"service":"streamed"'));
  reader.abort();
});

test("a service token is within the limits of its agent, and ends with the agent's token", async () => {
  const request = { name: "host-b", policies: ["agent"], apps: ["orders"], services: ["orders"] };
  const issued = await control.call("POST", "/v1/tokens", request);
  const as = (token: unknown) => ({ authorization: `Bearer ${String(token)}` });
  const taken = await control.call("POST", "/v1/service-tokens", { ttlSeconds: 60 }, as(issued.json["token"]));
  expect(taken).toMatchObject({ status: 201, json: { name: "agent:host-b", apps: ["orders"], services: ["orders"] } });
  const service = as(taken.json["token"]);
  const statusOf = async (path: string) => (await control.call("GET", path, undefined, service)).status;
  expect(await statusOf("/v1/config/default/orders/default")).toBe(200);
  expect(await statusOf("/v1/config/default/stock/default")).toBe(403);
  // Neither a service nor an operator takes service tokens, whose rights they do not have.
  expect((await control.call("POST", "/v1/service-tokens", { ttlSeconds: 60 }, service)).status).toBe(403);
  expect((await control.call("POST", "/v1/service-tokens", { ttlSeconds: 60 })).status).toBe(403);
  expect((await control.call("DELETE", `/v1/tokens/${String(issued.json["id"])}`)).status).toBe(204);
  await eventually("it is refused", async () => (await statusOf("/v1/me")) === 401);
});

test("what concerns one connection or the local caller does not cross", async () => {
  await using member = await startMember();
  await using relay = await agentBefore(member);
  member.answer = (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "set-cookie": "a=b", etag: '"1"', "x-one": "1" });
    response.end("{}");
  };
  const own = await authorizationOf(relay.settings);
  const answer = await callHttp(
    relay.port,
    "PUT",
    "/v1/services/a%2Fb?x=1&y=%20",
    { a: "é" },
    {
      authorization: own,
      cookie: "posthouse_session=1",
      "x-forwarded-for": "10.0.0.1",
      "x-forwarded-proto": "https",
      forwarded: "for=10.0.0.1",
      "proxy-authorization": "Basic x",
      te: "trailers",
      "if-match": '"7"',
    },
  );
  expect(answer).toMatchObject({ status: 200, headers: { etag: '"1"', "x-one": "1" } });
  expect(answer.headers["set-cookie"]).toBeUndefined();
  const [{ path, headers, body } = expect.fail()] = member.received;
  expect({ path, body }).toEqual({ path: "/v1/services/a%2Fb?x=1&y=%20", body: '{"a":"é"}' });
  expect(headers).toMatchObject({
    authorization: "Bearer phs_0",
    "if-match": '"7"',
    "content-type": "application/json",
  });
  expect(headers["traceparent"]).toMatch(/^00-/);
  for (const name of ["cookie", "x-forwarded-for", "x-forwarded-proto", "forwarded", "proxy-authorization", "te"]) {
    expect(headers[name], name).toBeUndefined();
  }
  expect(JSON.stringify(member.received)).not.toContain(own.slice("Bearer ".length));
});

test("a read moves to the next member, a write only when nothing was sent", async () => {
  await using first = await startMember();
  await using second = await startMember();
  await using relay = await agentBefore(first, second);
  first.answer = ({ socket }) => socket.destroy();
  const get = await callHttp(relay.socket, "GET", "/v1/services");
  expect(get.status).toBe(200);
  expect(second.received.map(({ path }) => path)).toEqual(["/v1/services"]);
  second.answer = ({ socket }) => socket.destroy();
  const put = await callHttp(relay.socket, "PUT", "/v1/services/x", {});
  expect(put).toMatchObject({
    status: 503,
    body: { code: "AGENT_CONTROL_PLANE_AWAY" },
    headers: { "retry-after": "1" },
  });
  expect([...first.received, ...second.received].filter(({ path }) => path === "/v1/services/x")).toHaveLength(1);
});

test("without a member, the answer is 503 with its code; the agent's own paths answer", async () => {
  const gone = await startMember();
  await gone[Symbol.asyncDispose]();
  await using relay = await agentBefore(gone);
  expect(await callHttp(relay.socket, "GET", "/v1/services")).toMatchObject({
    status: 503,
    headers: { "retry-after": "1" },
    body: { code: "AGENT_CONTROL_PLANE_AWAY" },
  });
  expect((await callHttp(relay.socket, "GET", "/v1/agent/status")).status).toBe(200);
});

test("a service token that the control plane no longer knows is replaced, and the call repeated", async () => {
  await using member = await startMember();
  await using relay = await agentBefore(member);
  const problem = JSON.stringify({ code: "HTTP_TOKEN_INVALID", detail: "unknown" });
  member.answer = ({ headers }, response) => {
    const isKnown = headers.authorization !== "Bearer phs_0";
    response.writeHead(isKnown ? 200 : 401, { "content-type": "application/problem+json" });
    response.end(isKnown ? "{}" : problem);
  };
  expect((await callHttp(relay.socket, "PUT", "/v1/services/x", { a: 1 })).status).toBe(200);
  expect(member.received.map(({ body }) => body)).toEqual(['{"a":1}', '{"a":1}']);
  expect(member.received.map(({ headers }) => headers.authorization)).toEqual(["Bearer phs_0", "Bearer phs_1"]);
});

test("a caller that leaves ends its call, an agent that stops ends its streams", async () => {
  await using member = await startMember();
  await using relay = await agentBefore(member);
  let open = 0;
  member.answer = (_request, response) => {
    open++;
    response.once("close", () => open--);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": hello\n\n");
  };
  const watch = async () => {
    const call = request({ socketPath: relay.socket, path: "/v1/watch/x", headers: { accept: "text/event-stream" } });
    call.on("error", () => {});
    call.end();
    const [response] = (await once(call, "response")) as [IncomingMessage];
    response.on("error", () => {});
    await once(response, "data");
    return { call, ended: new Promise((resolve) => response.once("close", resolve)) };
  };
  const left = await watch();
  expect(open).toBe(1);
  left.call.destroy();
  await eventually("the member sees it", () => open === 0);
  const kept = await watch();
  await relay.stop();
  await kept.ended;
  await eventually("the member sees the stop", () => open === 0);
});

test("a body beyond the limit is refused before it reaches a member", async () => {
  await using member = await startMember();
  await using relay = await agentBefore(member);
  const body = "x".repeat(FORWARDED_BYTES_MAX + 1);
  const answer = await callHttp(relay.socket, "POST", "/v1/import", body, { "content-type": "application/zip" });
  expect(answer).toMatchObject({ status: 413, body: { code: "HTTP_BODY_TOO_LARGE" } });
  expect(member.received).toEqual([]);
});
