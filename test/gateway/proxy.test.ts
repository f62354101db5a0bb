/** The general lane's daily work: requests and answers cross whole, and each failure has its status, code and flag. */
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { instance, oneRoute, problemOf, runGateway, sendRaw, upstream } from "./kit.ts";

test("a request reaches the service of its route and the answer comes back whole", async () => {
  await using service = await upstream((request, response, body) => {
    response.setHeader("x-of-service", "yes");
    response.setHeader("set-cookie", ["a=1", "b=2"]);
    response.statusCode = 201;
    response.end(`${request.method} ${request.url} ${body}`);
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const response = await fetch(`${running.url}/orders/7?x=%20y&x=2`, {
    method: "POST",
    body: "hello",
    headers: { "content-type": "text/strange; a", "x-mine": "1" },
  });
  expect(response.status).toBe(201);
  expect(await response.text()).toBe("POST /orders/7?x=%20y&x=2 hello");
  expect(response.headers.get("x-of-service")).toBe("yes");
  expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
  const [seen] = service.requests;
  expect(seen?.headers["content-type"]).toBe("text/strange; a");
  expect(seen?.headers["x-mine"]).toBe("1");
  expect(seen?.headers.host).toBe(`127.0.0.1:${service.port}`);
});

test("a chunked body, a body on GET and an empty POST cross as they are", async () => {
  await using service = await upstream((request, response, body) => {
    response.end(`${request.headers["transfer-encoding"] ?? request.headers["content-length"] ?? "none"}:${body}`);
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const port = running.ports.httpPort;
  const chunked = await sendRaw(
    port,
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
  );
  expect(chunked.body).toContain("chunked:abc");
  const get = await sendRaw(port, "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
  expect(get.body).toContain("3:abc");
  const empty = await sendRaw(port, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
  expect(empty.body).toContain("0:");
});

test("HEAD keeps the length, 204 and 304 have no body", async () => {
  await using service = await upstream((request, response) => {
    if (request.url === "/204") response.writeHead(204).end();
    else if (request.url === "/304") response.writeHead(304, { etag: '"x"' }).end();
    else response.writeHead(200, { "content-length": "5" }).end(request.method === "HEAD" ? undefined : "hello");
  });
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  const head = await fetch(`${running.url}/`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "5"]);
  expect((await fetch(`${running.url}/204`)).status).toBe(204);
  const notModified = await fetch(`${running.url}/304`);
  expect([notModified.status, notModified.headers.get("etag")]).toEqual([304, '"x"']);
});

test("the head of an event stream arrives before its first event", async () => {
  const head = Promise.withResolvers<void>();
  await using service = await upstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    // Only once its head has arrived, and later than the route's time.
    void head.promise.then(() => setTimeout(() => response.end("data: x\n\n"), 400));
  });
  await using running = await runGateway(oneRoute({ timeouts: { totalMs: 200 } }), [instance(service.port)]);
  const response = await fetch(running.url);
  head.resolve();
  expect(await response.text()).toBe("data: x\n\n");
});

test("no route is 404 NR, a wrong method 405 with Allow, and nothing reaches a service", async () => {
  await using service = await upstream();
  await using running = await runGateway(
    { routes: [{ name: "orders", match: { path: { prefix: "/orders" }, methods: ["GET"] }, service: "orders" }] },
    [instance(service.port)],
  );
  const lost = await fetch(`${running.url}/ordersx`);
  expect(lost.headers.get("x-posthouse-flag")).toBe("NR");
  expect(await problemOf(lost)).toMatchObject({ code: "GATEWAY_ROUTE_NOT_FOUND", status: 404, instance: "/ordersx" });
  const posted = await fetch(`${running.url}/orders`, { method: "POST", body: "x" });
  expect(posted.status).toBe(405);
  expect(posted.headers.get("allow")).toBe("GET");
  for (const method of ["TRACE", "PROPFIND", "PURGE"]) {
    const answer = await sendRaw(running.ports.httpPort, `${method} /orders HTTP/1.1\r\nhost: a\r\n\r\n`);
    expect([method, answer.status]).toEqual([method, 405]);
    expect(answer.body).toContain("GATEWAY_METHOD_NOT_ALLOWED");
  }
  expect(service.requests).toHaveLength(0);
});

test("no healthy endpoint is 503 UH with Retry-After, and an endpoint that becomes healthy is used at once", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port, { status: "critical" })]);
  const refused = await fetch(running.url);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(refused.headers.get("x-posthouse-flag")).toBe("UH");
  expect(await problemOf(refused)).toMatchObject({ code: "GATEWAY_NO_ENDPOINT", status: 503 });
  running.plane.change(instance(service.port, { status: "warning" }));
  await eventually("the endpoint is used", async () => (await fetch(running.url)).status === 200);
});

test("a rewrite replaces the matched prefix and nothing else", async () => {
  await using service = await upstream((request, response) => void response.end(request.url));
  await using running = await runGateway(
    {
      routes: [
        { name: "data", match: { path: { prefix: "/t" } }, service: "orders", rewrite: { prefix: "/data" } },
        { name: "root", match: { path: { prefix: "/strip" } }, service: "orders", rewrite: { prefix: "/" } },
      ],
    },
    [instance(service.port)],
  );
  const text = async (path: string) => (await fetch(`${running.url}${path}`)).text();
  expect(await text("/t/$&/x")).toBe("/data/$&/x");
  expect(await text("/t?q=/t")).toBe("/data?q=/t");
  expect(await text("/strip")).toBe("/");
  expect(await text("/strip/a/b")).toBe("/a/b");
});

test("endpoints with more requests in flight than allowed are 503 UO", async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  await using service = await upstream((_request, response) => void gate.then(() => response.end("late")));
  await using running = await runGateway(
    oneRoute(
      { service: undefined, cluster: "small" },
      { clusters: [{ name: "small", service: "orders", inFlightMax: 2 }] },
    ),
    [instance(service.port)],
  );
  const held = [fetch(running.url), fetch(running.url)];
  await eventually("two are in flight", () => service.requests.length === 2);
  const refused = await fetch(running.url);
  expect(refused.headers.get("x-posthouse-flag")).toBe("UO");
  expect((await problemOf(refused)).code).toBe("GATEWAY_OVERLOADED");
  release();
  for (const response of await Promise.all(held)) expect(await response.text()).toBe("late");
});

test("a port in use is the system's own error, and nothing stays open", async () => {
  await using service = await upstream();
  await using running = await runGateway(oneRoute(), [instance(service.port)]);
  await expect(
    runGateway(oneRoute(), [instance(service.port)], { port: running.ports.httpPort }),
  ).rejects.toMatchObject({ code: "EADDRINUSE", port: running.ports.httpPort });
});
