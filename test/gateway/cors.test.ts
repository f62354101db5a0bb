/** Cross-origin pages can read each answer that the gateway makes itself, and foreign pages open no WebSocket. */
import { connect as connectHttp2 } from "node:http2";
import { generateKeyPairSync } from "node:crypto";
import { exportJWK, SignJWT } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { instance, rawUpstream, runGateway, sendRaw, upstream, type Running, type Upstream } from "./kit.ts";

const origin = "https://app.example";
const issuer = "https://idp.example";
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });

let keys: Upstream;
let service: Upstream;
let silent: Awaited<ReturnType<typeof rawUpstream>>;
let running: Running;

const now = () => Math.floor(Date.now() / 1000);
const tokenUntil = (exp: number, key = pair.privateKey) =>
  new SignJWT({ iss: issuer, aud: "orders", sub: "ann", iat: exp - 300, exp })
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .sign(key);

beforeAll(async () => {
  const jwk = { ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "ES256", use: "sig" };
  keys = await upstream((_request, response) => response.end(JSON.stringify({ keys: [jwk] })));
  service = await upstream();
  silent = await rawUpstream(() => {});
  const cors = { origins: [origin], credentials: true };
  const jwt = { provider: "idp" };
  const route = (name: string, over: object) => ({
    name,
    match: { path: { prefix: `/${name}` } },
    cors,
    ...("redirect" in over || "respond" in over ? {} : { service: "orders" }),
    ...over,
  });
  running = await runGateway(
    {
      jwt: [
        {
          name: "idp",
          issuer,
          audience: ["orders"],
          algorithms: ["ES256"],
          jwks: { url: `http://127.0.0.1:${keys.port}/` },
        },
        { name: "gone", issuer, audience: ["orders"], algorithms: ["ES256"], jwks: { url: "http://127.0.0.1:1/" } },
      ],
      routes: [
        route("token", { jwt }),
        route("keys", { jwt: { provider: "gone" } }),
        route("acl", { jwt, acl: { allow: [{ claim: "role", contains: "admin" }] } }),
        route("small", { bodyBytesMax: 4 }),
        route("get", { match: { path: { prefix: "/get" }, methods: ["GET"] } }),
        route("limited", { rateLimit: { requests: 1, perSeconds: 3600, by: "ip" } }),
        route("empty", { service: "nobody" }),
        route("silent", { service: "silent", timeouts: { totalMs: 100 } }),
        route("redirect", { redirect: { path: "/x" } }),
        route("respond", { respond: { status: 403, body: "no" } }),
        route("cached", { cache: {} }),
        route("any", { cors: { origins: ["*"] } }),
        { name: "plain", match: { path: { prefix: "/plain" } }, service: "orders" },
      ],
    },
    [instance(service.port), instance(silent.port, { service: "silent" })],
  );
});

afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await Promise.all([service, silent, keys].map((one) => one[Symbol.asyncDispose]()));
});

interface Case {
  readonly status: number;
  readonly path: string;
  readonly method?: string;
  readonly headers?: () => Promise<Record<string, string>> | Record<string, string>;
  readonly body?: string;
}

const bearer = (token: Promise<string>) => async () => ({ authorization: `Bearer ${await token}` });
const CASES: Record<string, Case> = {
  "a missing token": { status: 401, path: "/token" },
  "an expired token": { status: 401, path: "/token", headers: bearer(tokenUntil(now() - 600)) },
  "a forged token": { status: 401, path: "/token", headers: bearer(tokenUntil(now() + 300, stranger.privateKey)) },
  "keys that cannot be fetched": { status: 503, path: "/keys", headers: bearer(tokenUntil(now() + 300)) },
  "a missing role": { status: 403, path: "/acl", headers: bearer(tokenUntil(now() + 300)) },
  "a body too large": { status: 413, path: "/small", method: "POST", body: "12345" },
  "another method": { status: 405, path: "/get", method: "PUT" },
  "no endpoint": { status: 503, path: "/empty" },
  "a time-out": { status: 504, path: "/silent" },
  "a redirect": { status: 302, path: "/redirect" },
  "a fixed answer": { status: 403, path: "/respond" },
  "nothing in the cache": { status: 504, path: "/cached", headers: () => ({ "cache-control": "only-if-cached" }) },
};

test.each(Object.entries(CASES))("a page of an allowed origin may read the answer to %s", async (_name, one) => {
  const headers = { origin, ...(await one.headers?.()) };
  const init = { method: one.method ?? "GET", headers, redirect: "manual" as const };
  const answer = await fetch(running.url + one.path, {
    ...init,
    ...(one.body === undefined ? {} : { body: one.body }),
  });
  expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([one.status, origin]);
  expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
  expect(answer.headers.get("vary")).toContain("Origin");
});

test("the answer beyond a rate limit can be read, too, and each field is there once", async () => {
  const call = () => fetch(`${running.url}/limited`, { headers: { origin } });
  expect((await call()).status).toBe(200);
  const refused = await call();
  expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([429, origin]);
});

test("an expectation that the gateway does not know is refused readably", async () => {
  const head = `GET /token HTTP/1.1\r\nHost: a.example\r\nOrigin: ${origin}\r\nExpect: magic\r\nConnection: close\r\n\r\n`;
  const answer = await sendRaw(running.ports.httpPort, head);
  expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([417, origin]);
});

test("a foreign origin, and a route without cors, get no CORS headers", async () => {
  const foreign = await fetch(`${running.url}/token`, { headers: { origin: "https://evil.example" } });
  const plain = await fetch(`${running.url}/nowhere`, { headers: { origin } });
  expect([foreign.status, foreign.headers.get("access-control-allow-origin")]).toEqual([401, null]);
  expect([plain.status, plain.headers.get("access-control-allow-origin")]).toEqual([404, null]);
});

const handshake = (path: string, ...origins: string[]) =>
  `GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${origins.map((one) => `Origin: ${one}\r\n`).join("")}\r\n`;

test.each([
  ["a foreign origin", 403, "/small", ["https://evil.example"]],
  ["an opaque origin", 403, "/small", ["null"]],
  ["two origins", 403, "/small", [origin, origin]],
  ["another port", 403, "/small", [`${origin}:8443`]],
  ["an allowed origin", 200, "/small", [origin]],
  ["its own origin", 200, "/small", ["http://a.example"]],
  ["no origin", 200, "/small", []],
  ["any origin, where all are allowed", 200, "/any", ["https://evil.example"]],
  ["any origin, where nothing is said of them", 200, "/plain", ["https://evil.example"]],
])("a WebSocket from %s is %i where it is not passed on", async (_name, status, path, origins) => {
  // The service knows no WebSocket and answers 200: what matters is whether it is asked.
  const before = service.requests.length;
  const answer = await sendRaw(running.ports.httpPort, handshake(path, ...origins));
  expect(answer.status).toBe(status);
  expect(service.requests.length - before).toBe(status === 403 ? 0 : 1);
  if (status === 403) expect(answer.body).toContain("GATEWAY_ORIGIN_DENIED");
});

test.each([
  ["https://evil.example", "403"],
  [origin, "502"],
])("over HTTP/2 a WebSocket from %s is %s", async (from, status) => {
  const session = connectHttp2(running.url);
  try {
    await new Promise<void>((resolve) => session.once("remoteSettings", () => resolve()));
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":authority": "a.example",
      ":path": "/small",
      "sec-websocket-version": "13",
      origin: from,
    });
    const seen = await new Promise<string>((resolve, reject) => {
      stream.once("response", (headers) => resolve(String(headers[":status"])));
      stream.once("error", reject);
    });
    stream.close();
    expect(seen).toBe(status);
  } finally {
    session.destroy();
  }
});
