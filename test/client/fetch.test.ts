/** `client.fetch`: names become instances, failures become attempts at others, and errors have codes. */
import { spawn } from "node:child_process";
import { connect as connectTcp } from "node:net";
import { expect, test } from "vitest";
import { eventually, freePort, tempFolder, within } from "#test/kit";
import { withTraceOf } from "../../client/package.ts";
import { callsLab, texts } from "./calls-kit.ts";

const ORDERS = { namespace: "default", service: "orders" };
const URL_OF_ORDERS = "http://orders.service/";

test("a service's name reaches its instances, with the name as Host, and other URLs reach their host", async () => {
  await using calls = await callsLab();
  const one = await calls.instance("one");
  const two = await calls.instance("two");
  const posthouse = calls.client();
  expect(new Set(await texts(posthouse, 40))).toEqual(new Set(["one", "two"]));
  const answer = await posthouse.fetch("http://orders.service/a%20b?c=d", { method: "POST", body: "x" });
  expect([answer.status, answer.url]).toEqual([200, "http://orders.service/a%20b?c=d"]);
  const { url, headers } = [...one.requests, ...two.requests].find(({ method }) => method === "POST") ?? {};
  expect([url, headers?.host]).toEqual(["/a%20b?c=d", "orders.service"]);
  expect(await (await posthouse.fetch(`http://127.0.0.1:${one.port}/`)).text()).toBe("one");
});

test("an instance that drains, leaves or becomes critical gets no further request; a new one gets some", async () => {
  await using calls = await callsLab();
  const { registry } = calls.lab.control.client;
  const one = await calls.instance("one");
  await calls.instance("two");
  const posthouse = calls.client();
  await texts(posthouse, 10);
  await registry.setLifecycle({ ...ORDERS, id: "one" }, { lifecycle: "draining" });
  const drain = await registry.drain({ ...ORDERS, id: "one" }, 20);
  expect(drain).toMatchObject({ seen: true, waitingFor: [] });
  const before = one.requests.length;
  expect(new Set(await texts(posthouse, 30))).toEqual(new Set(["two"]));
  expect(one.requests).toHaveLength(before);
  await calls.instance("three");
  await eventually("the new one serves", async () => (await texts(posthouse, 5)).includes("three"));
});

test("weights share the requests, and the zone of the caller comes first", async () => {
  await using calls = await callsLab();
  await calls.instance("heavy", { registration: { weight: 900, zone: "eu" } });
  await calls.instance("light", { registration: { weight: 100, zone: "us" } });
  const balanced = calls.client({ services: { orders: { balance: "round-robin" } } });
  const found = await texts(balanced, 100);
  expect(found.filter((id) => id === "heavy").length).toBe(90);
  const near = calls.client({ zone: "us", instance: "shop-2" });
  expect(new Set(await texts(near, 30))).toEqual(new Set(["light"]));
});

test("a refused connection moves any request to another instance, also one with a body", async () => {
  await using calls = await callsLab();
  await calls.register("dead", { address: "127.0.0.1", port: await freePort() });
  await calls.instance("alive", {
    answering: (request, answer) => void request.pipe(answer),
  });
  const posthouse = calls.client();
  for (let index = 0; index < 20; index++) {
    const answer = await posthouse.fetch(URL_OF_ORDERS, { method: "POST", body: `body ${index}` });
    expect(await answer.text()).toBe(`body ${index}`);
  }
});

test("a broken connection is retried for a GET and not for a POST, and the retry has a number", async () => {
  await using calls = await callsLab();
  const broken = await calls.instance("broken", { answering: (request) => request.socket.destroy() });
  const good = await calls.instance("good");
  const posthouse = calls.client({
    services: { orders: { balance: "round-robin", outlier: { consecutiveErrors: 0 } } },
  });
  expect(new Set(await texts(posthouse, 10))).toEqual(new Set(["good"]));
  expect(broken.requests.length).toBeGreaterThan(0);
  expect(good.requests.some(({ headers }) => headers["x-posthouse-attempt"] === "2")).toBe(true);
  const outcomes = new Set<unknown>();
  const before = broken.requests.length;
  for (let index = 0; index < 6; index++) {
    const sent = posthouse.fetch(URL_OF_ORDERS, { method: "POST", body: "x" });
    outcomes.add(
      await sent.then(
        ({ status }) => status,
        ({ code }: { code: string }) => code,
      ),
    );
  }
  expect(outcomes).toEqual(new Set([200, "CLIENT_SERVICE_RESET"]));
  expect(broken.requests.length - before).toBe(3);
});

test("retries have a budget: when every instance breaks connections, few requests are sent twice", async () => {
  await using calls = await callsLab();
  const answering = (request: { socket: { destroy(): void } }) => request.socket.destroy();
  const one = await calls.instance("one", { answering });
  const two = await calls.instance("two", { answering });
  const posthouse = calls.client();
  const sent = Array.from({ length: 100 }, () =>
    posthouse.fetch(URL_OF_ORDERS).catch(({ code }: { code: string }) => code),
  );
  expect(new Set(await Promise.all(sent))).toEqual(new Set(["CLIENT_SERVICE_RESET"]));
  expect(one.requests.length + two.requests.length).toBeLessThan(140);
});

test("an instance that answers 503 is ejected", async () => {
  await using calls = await callsLab();
  const bad = await calls.instance("bad", { answering: (_, answer) => void answer.writeHead(503).end() });
  await calls.instance("good");
  const posthouse = calls.client();
  for (let index = 0; index < 100; index++) await (await posthouse.fetch(URL_OF_ORDERS)).text();
  const before = bad.requests.length;
  expect(new Set(await texts(posthouse, 30))).toEqual(new Set(["good"]));
  expect(bad.requests).toHaveLength(before);
});

test("errors have codes: unknown service, no healthy instance, bad name, all refused, too late, aborted", async () => {
  await using calls = await callsLab();
  const posthouse = calls.client();
  const code = (url: string, init?: object) =>
    posthouse.fetch(url, init).then(
      ({ status }) => status,
      (error: { code?: unknown; name: string }) => error.code ?? error.name,
    );
  expect(await code("http://nothing.service/")).toBe("CLIENT_SERVICE_NOT_FOUND");
  await calls.register("starts", { address: "127.0.0.1", port: 1, lifecycle: "starting" }, "slow");
  await expect(posthouse.fetch("http://slow.service/")).rejects.toMatchObject({
    code: "CLIENT_SERVICE_NO_ENDPOINT",
    message: 'Service "slow" in namespace "default" has no healthy instance: of those registered, 1 starting.',
  });
  expect(await code("http://orders.service:8080/")).toBe("CLIENT_SERVICE_URL_INVALID");
  expect(await code("http://not_a_name.service/")).toBe("CLIENT_SERVICE_URL_INVALID");
  await calls.register("dead", { address: "127.0.0.1", port: await freePort() }, "dead");
  expect(await code("http://dead.service/")).toBe("CLIENT_SERVICE_UNREACHABLE");
  await calls.instance("silent", { service: "silent", answering: () => {} });
  const began = performance.now();
  expect(await code("http://silent.service/", { deadlineMs: 200 })).toBe("CLIENT_SERVICE_TIMEOUT");
  expect(performance.now() - began).toBeGreaterThan(190);
  expect(await code("http://silent.service/", { signal: AbortSignal.timeout(50) })).toBe(23);
  await expect(posthouse.fetch("https://silent.service/")).rejects.toMatchObject({
    code: "CLIENT_SERVICE_NO_ENDPOINT",
  });
  await expect(posthouse.fetch("http://silent.service/", { deadlineMs: -1 })).rejects.toMatchObject({
    code: "CLIENT_OPTION_INVALID",
  });
});

test("a deadline leaves nothing in flight, and an aborted call ends its connection", async () => {
  await using calls = await callsLab();
  let open = 0;
  await calls.instance("silent", {
    answering: (request) => {
      open++;
      request.socket.once("close", () => open--);
    },
  });
  const posthouse = calls.client();
  await posthouse.fetch(URL_OF_ORDERS, { deadlineMs: 100 }).catch(() => {});
  await eventually("the connection of the late call is closed", () => open === 0);
  const leave = new AbortController();
  const aborted = posthouse.fetch(URL_OF_ORDERS, { signal: leave.signal });
  await eventually("it waits", () => open === 1);
  leave.abort();
  await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  await eventually("the connection of the aborted call is closed", () => open === 0);
});

test("known instances serve while the server is away, and a start without a server reads them from the file", async () => {
  await using calls = await callsLab();
  await using folder = await tempFolder();
  const lastKnownGoodFile = `${folder.path}/shop.json`;
  await calls.instance("one");
  await using first = calls.client({ lastKnownGoodFile });
  expect(await texts(first, 1)).toEqual(["one"]);
  calls.lab.wire.cut();
  expect(await texts(first, 3)).toEqual(["one", "one", "one"]);
  await first.close();
  await using second = calls.client({ lastKnownGoodFile });
  expect(await texts(second, 1)).toEqual(["one"]);
  await using third = calls.client();
  await expect(third.fetch(URL_OF_ORDERS)).rejects.toMatchObject({ code: "CLIENT_SERVICE_NOT_KNOWN" });
  calls.lab.wire.mend();
  await eventually("it is found now", async () => (await texts(third, 1).catch(() => []))[0] === "one");
});

test("the trace of the request that is answered goes on, unless the call has its own", async () => {
  await using calls = await callsLab();
  const one = await calls.instance("one");
  const posthouse = calls.client();
  const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
  const own = `00-${"3".repeat(32)}-${"4".repeat(16)}-01`;
  await withTraceOf({ traceparent, tracestate: "a=b" }, () => posthouse.fetch(URL_OF_ORDERS));
  await withTraceOf({ traceparent }, () => posthouse.fetch(URL_OF_ORDERS, { headers: { traceparent: own } }));
  await posthouse.fetch(URL_OF_ORDERS);
  expect(one.requests.map(({ headers }) => headers["traceparent"])).toEqual([traceparent, own, undefined]);
  expect(one.requests[0]?.headers["tracestate"]).toBe("a=b");
});

test("the control plane shows who called which instance, how often, and with what outcome", async () => {
  await using calls = await callsLab();
  await calls.instance("one", {
    answering: (request, answer) => void answer.writeHead(request.url === "/bad" ? 500 : 200).end(),
  });
  const posthouse = calls.client();
  await texts(posthouse, 4);
  await texts(posthouse, 2, "http://orders.service/bad");
  await eventually("it is reported", async () => {
    const { json } = await calls.lab.control.call("GET", "/v1/traffic?service=orders&minutes=1");
    const [edge] = (json["edges"] ?? []) as { from: string; fromKind: string; instances?: { instance: string }[] }[];
    return edge?.from === "shop" && edge.fromKind === "service" && edge.instances?.[0]?.instance === "one";
  });
});

test("install makes the global fetch reach services, with the global classes, until it is undone", async () => {
  await using calls = await callsLab();
  const one = await calls.instance("one", { answering: (request, answer) => void request.pipe(answer) });
  const posthouse = calls.client();
  const before = globalThis.fetch;
  {
    using _undo = posthouse.install();
    const request = new Request(URL_OF_ORDERS, { method: "POST", body: "of a request", headers: { "x-own": "1" } });
    const answer = await fetch(request);
    expect(answer).toBeInstanceOf(Response);
    expect([await answer.text(), answer.url]).toEqual(["of a request", URL_OF_ORDERS]);
    expect(one.requests[0]?.headers["x-own"]).toBe("1");
    const form = new FormData();
    form.set("name", "value");
    expect(await (await fetch(URL_OF_ORDERS, { method: "POST", body: form })).text()).toContain('name="name"');
    expect((await fetch(`http://127.0.0.1:${one.port}/`)).status).toBe(200);
  }
  expect(globalThis.fetch).toBe(before);
});

test("a silent instance gets no request until it accepts connections again", async () => {
  await using calls = await callsLab();
  await using full = await fullListener();
  await calls.register("silent", { address: "127.0.0.1", port: full.port });
  await calls.instance("good");
  const posthouse = calls.client();
  await texts(posthouse, 20);
  await within(1_000, "no call waits for the silent one now", async () => (await texts(posthouse, 20)).length === 20);
});

/** A port whose queue of connections is full, so that further ones hang. */
async function fullListener(): Promise<{ readonly port: number } & AsyncDisposable> {
  const code = `const s=require("node:net").createServer(()=>{});s.listen({port:0,host:"127.0.0.1",backlog:1},()=>{console.log(s.address().port)});`;
  const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "ignore"] });
  const port = await new Promise<number>((resolve) => child.stdout.once("data", (text) => resolve(Number(text))));
  child.kill("SIGSTOP");
  const sockets = Array.from({ length: 8 }, () => connectTcp(port, "127.0.0.1").on("error", () => {}));
  await new Promise((resolve) => sockets[0]?.once("connect", resolve));
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
    },
  };
}
