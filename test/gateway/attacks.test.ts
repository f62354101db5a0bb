/**
 * The attack table of gateway.md §4, and rows 9, 15, 17, 18 and 19 of its §0: what the gateway must answer to input made
 * to be read in two ways. In each case not one byte may reach the service.
 */
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "#test/kit";
import { instance, problemOf, runGateway, sendRaw, upstream, type Running, type Upstream } from "./kit.ts";

let service: Upstream;
let running: Running;

beforeAll(async () => {
  service = await upstream((request, response) => void response.end(request.url));
  running = await runGateway(
    {
      jwt: [{ name: "idp", issuer: "x", audience: ["x"], algorithms: ["ES256"], jwks: { url: "http://127.0.0.1:9/" } }],
      routes: [
        { name: "open", match: { path: { prefix: "/" } }, service: "orders" },
        { name: "admin", match: { path: { prefix: "/admin" } }, service: "orders", jwt: { provider: "idp" } },
      ],
    },
    [instance(service.port)],
    { requestMs: 1_500, headersMs: 1_000 },
  );
});

afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

const get = (target: string, rest = "") =>
  sendRaw(running.ports.httpPort, `GET ${target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${rest}\r\n`);

test.for([
  ["CL.TE", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG"],
  ["TE.CL", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n"],
  ["TE.TE xchunked", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"],
  ["TE twice", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: cow\r\n\r\n0\r\n\r\n"],
  ["space before colon", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n"],
  ["vertical tab", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"],
  ["chunked, identity", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"],
  ["TE on HTTP/1.0", "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
  ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"],
  ["one length twice", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello"],
  ["length with a plus", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello"],
  ["length as a list", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\nhello"],
  ["folded header", "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n"],
  ["bare LF", "GET / HTTP/1.1\nhost: a\n\n"],
  ["NUL in a value", "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n"],
])("row 19: %s is 400 and the connection closes", async ([, bytes]) => {
  const before = service.requests.length;
  const answer = await sendRaw(running.ports.httpPort, bytes as string);
  expect(answer.status).toBe(400);
  expect(answer.headers["connection"]).toBe("close");
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(answer.headers["x-posthouse-flag"]).toBe("DPE");
  expect(answer.text.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  expect(service.requests.length).toBe(before);
});

test.for([
  ["a chunk size in hex notation", "0x3\r\nabc\r\n0\r\n\r\n"],
  ["a bare LF behind a chunk extension", "3;a\nabc\r\n0\r\n\r\n"],
  ["a chunk size beyond all bounds", `${"f".repeat(17)}\r\nabc`],
])("row 19: %s never completes a request upstream", async ([, body]) => {
  const before = service.requests.length;
  const head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
  const answer = await sendRaw(running.ports.httpPort, head + body);
  expect(answer.status).toBe(400);
  expect(service.requests.length).toBe(before);
});

test.for([
  ["no Host", "GET / HTTP/1.1\r\n\r\n"],
  ["no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"],
  ["two Hosts", "GET / HTTP/1.1\r\nhost: a\r\nHOST: b\r\n\r\n"],
  ["one Host twice", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"],
  ["userinfo", "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n"],
  ["a path in Host", "GET / HTTP/1.1\r\nhost: gw/evil\r\n\r\n"],
  ["an empty Host", "GET / HTTP/1.1\r\nhost:\r\n\r\n"],
  ["an invalid port", "GET / HTTP/1.1\r\nhost: a:99999\r\n\r\n"],
  ["a target of another host", "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n"],
])("row 9: %s is 400", async ([, bytes]) => {
  const before = service.requests.length;
  const answer = await sendRaw(running.ports.httpPort, bytes as string);
  expect(answer.status).toBe(400);
  expect(answer.body).toContain("GATEWAY_HOST_INVALID");
  expect(service.requests.length).toBe(before);
});

test("row 9: a target in absolute form that agrees with Host is served by its path", async () => {
  const answer = await sendRaw(
    running.ports.httpPort,
    "GET http://A/x?y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  );
  expect([answer.status, answer.body.includes("/x?y")]).toEqual([200, true]);
});

test.for([
  "/api/..%2fadmin",
  "/api/%2e%2e/admin",
  "/api/../admin",
  "/api/..;/admin",
  "/api/%5c..",
  "/api\\..\\admin",
  "/api/%252e%252e/admin",
  "/api/%252fadmin",
  "/%2561dmin/x",
  "/a%00b",
  "/a%zz",
  "/a%2",
  "/admin%2fx",
  "*",
])("row 17: the path %s is 400", async (target) => {
  const before = service.requests.length;
  const answer = await get(target);
  expect(answer.status).toBe(400);
  expect(service.requests.length).toBe(before);
});

test.for(["/%61dmin/x", "//admin/x", "/./admin/x", "/x/.//../admin", "/admin//x", "/admin/./x", "/%41dmin"])(
  "row 17: %s does not get around the access rule of /admin",
  async (target) => {
    const before = service.requests.length;
    const answer = await get(target);
    if (target === "/%41dmin") {
      // Another path, because of its case; the service receives exactly the path that was matched.
      expect([answer.status, service.requests.at(-1)?.url]).toEqual([200, "/Admin"]);
      return;
    }
    expect([400, 401]).toContain(answer.status);
    expect(service.requests.length).toBe(before);
  },
);

test("row 17: the service is sent the canonical path, the query untouched", async () => {
  await get("/a//b/./c%7e%2d%c3%a9|d?x=//..%2f%61&x");
  expect(service.requests.at(-1)?.url).toBe("/a/b/c~-%C3%A9%7Cd?x=//..%2f%61&x");
});

test("row 18: X-Forwarded-For of a client never becomes its address", async () => {
  await get("/x", "x-forwarded-for: 127.0.0.1, 10.0.0.1\r\nforwarded: for=10.0.0.1\r\n");
  expect(service.requests.at(-1)?.headers["x-forwarded-for"]).toBe("127.0.0.1");
});

test("too many or too large headers are 431, and __proto__ is a header like any other", async () => {
  const large = await get("/", `x: ${"a".repeat(17 * 1024)}\r\n`);
  const many = await get("/", "x: 1\r\n".repeat(300));
  expect([large.status, many.status]).toEqual([431, 431]);
  expect((await get("/", "__proto__: x\r\nconstructor: y\r\n")).status).toBe(200);
  expect(service.requests.at(-1)?.headers.constructor).toBe("y");
});

test("row 15: a head or a body that comes too slowly is 408", async () => {
  const head = await slow("GET / HTTP/1.1\r\nhost: a\r\n");
  const body = await slow("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc");
  expect(head).toContain("HTTP/1.1 408");
  expect(body).toContain("HTTP/1.1 408");
  expect(body).toContain("GATEWAY_REQUEST_TIMEOUT");
});

function slow(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(running.ports.httpPort, "127.0.0.1", () => socket.write(bytes));
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

test("a WebSocket handshake is authorized before the gateway dials a service", async () => {
  const before = service.requests.length;
  const answer = await get("/admin/ws", "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n");
  expect([answer.status, answer.headers["x-posthouse-flag"]]).toEqual([401, "AU"]);
  expect(service.requests.length).toBe(before);
});

test("CONNECT opens nothing", async () => {
  const answer = await sendRaw(running.ports.httpPort, "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: a\r\n\r\n");
  expect(answer.status === 0 || answer.status >= 400).toBe(true);
});

test("two Authorization headers are refused, whichever of them is good", async () => {
  const answer = await get("/admin", "authorization: Bearer a.b.c\r\nauthorization: Bearer d.e.f\r\n");
  expect([answer.status, answer.body.includes("GATEWAY_TOKEN_INVALID")]).toEqual([401, true]);
});

test("CR and LF encoded in a path or a query stay encoded", async () => {
  const answer = await get("/x%0d%0aset-cookie:%20a?b=%0d%0ac:%20d");
  expect(answer.status).toBe(200);
  expect(service.requests.at(-1)?.url).toBe("/x%0D%0Aset-cookie:%20a?b=%0d%0ac:%20d");
  expect(answer.headers["set-cookie"]).toBeUndefined();
});

test("the process lives on, with nothing in flight", async () => {
  await eventually("nothing in flight", () => running.gateway.status().inFlight === 0);
  expect((await fetch(running.url)).status).toBe(200);
  expect((await problemOf(await fetch(`${running.url}/admin`))).code).toBe("GATEWAY_TOKEN_MISSING");
});
