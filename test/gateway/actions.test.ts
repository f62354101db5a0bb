/**
 * Features of a route besides forwarding: sticky sessions, compression, the cache, and templates that a caller cannot
 * break out of.
 */
import type { ServerResponse } from "node:http";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { world } from "./echo.ts";
import { instance, upstream, runGateway } from "./kit.ts";
import { ask } from "./echo.ts";

const all = { path: { prefix: "/" } };
const route = (over: object) => ({ routes: [{ name: "r", match: all, service: "orders", ...over }] });

test("a sticky session stays with its instance, moves when that is gone, and takes no cookie but its own", async () => {
  await using first = await upstream((_request, response) => void response.end("first"));
  await using second = await upstream((_request, response) => void response.end("second"));
  const instances = [instance(first.port, { id: "one" }), instance(second.port, { id: "two" })];
  await using running = await runGateway(route({ sticky: { maxAgeSeconds: 60 } }), instances);
  const port = running.ports.httpPort;
  const begun = await ask(port, "/");
  const [set = ""] = begun.headers["set-cookie"] ?? [];
  expect(set).toMatch(/^posthouse-sticky=[\w-]+\.[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=60$/);
  const cookie = set.split(";", 1)[0] ?? "";
  for (let i = 0; i < 20; i++) {
    const again = await ask(port, "/", { headers: { cookie } });
    expect([again.text, again.headers["set-cookie"]]).toEqual([begun.text, undefined]);
  }
  const other = begun.text === "first" ? "two" : "one";
  const forged = `posthouse-sticky=${Buffer.from(other).toString("base64url")}.${cookie.split(".")[1]}`;
  expect((await ask(port, "/", { headers: { cookie: forged } })).headers["set-cookie"]).toHaveLength(1);
  running.plane.remove("orders", begun.text === "first" ? "one" : "two");
  await eventually("the instance is gone", () => running.gateway.status().clusters[0]?.endpoints === 1);
  const moved = await ask(port, "/", { headers: { cookie } });
  expect(moved.text).not.toBe(begun.text);
  expect(moved.headers["set-cookie"]).toHaveLength(1);
});

test("a sticky session keeps its part of a split, whatever the weights become, until its part has none", async () => {
  const split = (orders: number, canary: number) =>
    route({
      service: undefined,
      sticky: {},
      split: [
        { service: "orders", weight: orders },
        { service: "canary", weight: canary },
      ],
    });
  await using running = await world(JSON.parse(JSON.stringify(split(0, 1))) as object);
  const cookie = (await running.ask("/")).headers["set-cookie"]?.[0]?.split(";", 1)[0] ?? "";
  running.running.plane.release(JSON.parse(JSON.stringify(split(1000, 1))) as object);
  await eventually("the weights changed", async () => (await running.ask("/")).seen.service === "orders");
  for (let i = 0; i < 20; i++) expect((await running.ask("/", { headers: { cookie } })).seen.service).toBe("canary");
  running.running.plane.release(JSON.parse(JSON.stringify(split(1, 0))) as object);
  await eventually("it moved", async () => (await running.ask("/", { headers: { cookie } })).seen.service === "orders");
});

test("a mirror that never answers, is gone, or would get too large a body does not touch the primary", async () => {
  const hanging: unknown[] = [];
  await using running = await world(
    route({ bodyBytesMax: 1_000_000, mirror: [{ service: "shadow" }, { service: "gone" }] }),
    {
      handle: (request, response) => {
        if (request.headers["x-posthouse-mirror"] === undefined) return false;
        hanging.push(response);
        return true;
      },
    },
  );
  const began = performance.now();
  for (let i = 0; i < 50; i++)
    expect((await running.ask("/", { method: "POST", body: "small" })).seen.body).toBe("small");
  expect(performance.now() - began).toBeLessThan(10_000);
  const large = "x".repeat(200_000);
  expect((await running.ask("/", { method: "POST", body: large })).seen.body).toBe(large);
  await eventually("the copies hang", () => hanging.length === 50);
  const { text } = await running.running.host.metrics.expose();
  expect(text).toContain('posthouse_gateway_mirrored_total{result="sent"} 50');
  expect(text).toContain('posthouse_gateway_mirrored_total{result="dropped"} 1');
  expect(running.running.gateway.status().inFlight).toBe(0);
});

const TEXT = "all work and no play makes jack a dull boy\n".repeat(100);

test("an answer is compressed as the client likes it best, and what must not be is not", async () => {
  await using running = await world(route({ compress: {} }), {
    handle: (request, response) => {
      const path = request.url ?? "";
      response.setHeader(
        "content-type",
        path === "/image" ? "image/png" : path === "/events" ? "text/event-stream" : "text/plain",
      );
      response.setHeader("etag", '"x"');
      if (path === "/plain") response.setHeader("cache-control", "no-transform");
      if (path === "/encoded") response.setHeader("content-encoding", "gzip");
      if (path === "/part") response.writeHead(206, { "content-range": "bytes 0-9/100" });
      if (path === "/chunked") response.write(TEXT);
      response.end(path === "/small" ? "x" : path === "/chunked" ? "" : TEXT);
      return true;
    },
  });
  const get = (path: string, accept: string) => running.ask(path, { headers: { "accept-encoding": accept } });
  const decoders = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync } as const;
  for (const [accept, encoding] of [
    ["gzip", "gzip"],
    ["gzip, br", "br"],
    ["gzip;q=1, br;q=0.5, zstd;q=0", "gzip"],
    ["*", "zstd"],
  ] as const) {
    const { headers, bytes } = await get("/", accept);
    expect([accept, headers["content-encoding"]]).toEqual([accept, encoding]);
    expect(decoders[encoding](bytes).toString()).toBe(TEXT);
    expect(headers).toMatchObject({ vary: "Accept-Encoding", etag: 'W/"x"' });
    expect(Number(headers["content-length"])).toBe(bytes.length);
  }
  expect((await get("/chunked", "gzip")).headers["content-encoding"]).toBe("gzip");
  const plain = await get("/", "identity");
  expect([plain.headers["content-encoding"], plain.headers.vary, plain.text]).toEqual([
    undefined,
    "Accept-Encoding",
    TEXT,
  ]);
  for (const path of ["/image", "/events", "/plain", "/small", "/part"]) {
    expect([path, (await get(path, "gzip, br, zstd")).headers["content-encoding"]]).toEqual([path, undefined]);
  }
  expect((await get("/encoded", "br")).headers["content-encoding"]).toBe("gzip");
  const head = await running.ask("/", { method: "HEAD", headers: { "accept-encoding": "gzip" } });
  // A HEAD describes what a GET gets.
  expect(head.headers).toMatchObject({ "content-encoding": "gzip", vary: "Accept-Encoding", etag: 'W/"x"' });
  expect(head.headers["content-length"]).toBeUndefined();
});

test("200, HEAD, 304 and 206 responses for the same representation carry the same headers", async () => {
  await using running = await world(route({ compress: {} }), {
    handle: (request, response) => {
      const path = request.url ?? "";
      const type = path.startsWith("/image") ? "image/png" : "text/plain";
      const tag = request.headers["if-none-match"];
      // The service sends only the required headers in a 304.
      if (tag?.includes('"x"')) return (void response.writeHead(304, { etag: '"x"', vary: "Cookie" }).end(), true);
      if (path.startsWith("/untagged") && request.headers["if-modified-since"] !== undefined) {
        return (void response.writeHead(304).end(), true);
      }
      response.setHeader("content-type", type);
      response.setHeader("vary", "Cookie");
      response.setHeader("repr-digest", "sha-256=:x:");
      if (!path.startsWith("/untagged")) response.setHeader("etag", '"x"');
      const body = path.startsWith("/small") ? "x" : TEXT;
      if (request.headers.range !== undefined) {
        response.writeHead(206, {
          "content-range": `bytes 0-9/${body.length}`,
          "content-length": String(Math.min(10, body.length)),
        });
        response.end(body.slice(0, 10));
      } else response.end(body);
      return true;
    },
  });
  const FIELDS = ["vary", "etag"] as const;
  for (const path of ["/text", "/image", "/small"]) {
    for (const accept of ["gzip", "br, gzip", "identity"]) {
      const ask = (headers: Record<string, string>, method = "GET") =>
        running.ask(path, { method, headers: { "accept-encoding": accept, ...headers } });
      const whole = await ask({});
      const fields = (answer: typeof whole) => FIELDS.map((name) => answer.headers[name]);
      const compressed = path === "/text" && accept !== "identity";
      expect(fields(whole)).toEqual([
        path === "/text" ? "Cookie, Accept-Encoding" : "Cookie",
        compressed ? 'W/"x"' : '"x"',
      ]);
      expect(whole.headers["repr-digest"]).toBe(compressed ? undefined : "sha-256=:x:");
      for (const tag of ['"x"', 'W/"x"', '"y", W/"x"']) {
        const same = await ask({ "if-none-match": tag });
        expect([path, accept, tag, same.status, ...fields(same)]).toEqual([path, accept, tag, 304, ...fields(whole)]);
      }
      const head = await ask({}, "HEAD");
      expect([head.status, ...fields(head)]).toEqual([200, ...fields(whole)]);
      expect(head.headers["content-encoding"]).toBe(whole.headers["content-encoding"]);
      const part = await ask({ range: "bytes=0-9" });
      expect([part.status, part.headers.vary, part.headers.etag]).toEqual([206, whole.headers.vary, '"x"']);
    }
  }
  const asked = { "accept-encoding": "gzip", "if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT" };
  const unseen = await running.ask("/untagged", { headers: asked });
  expect([unseen.status, unseen.headers.vary]).toEqual([304, "Accept-Encoding"]);
});

test("the cache asks a service once for what may be kept, and each time for what may not", async () => {
  let broken = false;
  await using running = await world(route({ cache: { staleIfErrorSeconds: 60 } }), {
    handle: (request, response) => {
      const path = request.url?.split("?", 1)[0];
      if (broken) return (void response.writeHead(503).end("broken"), true);
      if (path === "/cookie") response.setHeader("set-cookie", "a=1");
      if (path === "/vary") response.setHeader("vary", "accept-language");
      if (path === "/tag" && request.headers["if-none-match"] === '"1"')
        return (void response.writeHead(304, { etag: '"1"', "cache-control": "max-age=1" }).end(), true);
      if (path === "/tag") response.setHeader("etag", '"1"');
      response.setHeader(
        "cache-control",
        path === "/private"
          ? "private, max-age=60"
          : path === "/tag"
            ? "max-age=1"
            : path === "/public"
              ? "public, max-age=60"
              : "max-age=60",
      );
      response.end(`${request.url} ${request.headers["accept-language"] ?? ""} ${request.method}`);
      return true;
    },
  });
  const { services } = running;
  const asked = async (path: string, headers: Record<string, string> = {}, more: object = {}) => {
    const before = services.orders.requests.length;
    const answer = await running.ask(path, { headers, ...more });
    return { times: services.orders.requests.length - before, answer };
  };
  expect(await asked("/a?x=1")).toMatchObject({
    times: 1,
    answer: { headers: { "cache-status": "posthouse; fwd=uri-miss; stored" } },
  });
  const hit = await asked("/a?x=1");
  expect(hit).toMatchObject({
    times: 0,
    answer: { text: "/a?x=1  GET", headers: { "cache-status": "posthouse; hit" } },
  });
  expect(Number(hit.answer.headers.age)).toBeGreaterThanOrEqual(0);
  expect((await asked("/a?x=2")).times).toBe(1);
  expect((await asked("/a?x=1", {}, { host: "b.example" })).times).toBe(1);
  expect((await asked("/a?x=1", {}, { body: "fat", headers: { "content-length": "3" } })).times).toBe(1);
  expect((await asked("/a?x=1", { range: "bytes=0-1" })).times).toBe(1);
  for (const path of ["/cookie", "/private"]) {
    await asked(path);
    expect([path, (await asked(path)).times]).toEqual([path, 1]);
  }
  const personal: readonly Record<string, string>[] = [{ authorization: "Bearer x" }, { cookie: "session=1" }];
  for (const headers of personal) {
    const path = `/own?${Object.keys(headers)[0]}`;
    await asked(path, headers);
    expect((await asked(path, headers)).times).toBe(1);
  }
  await asked("/public", { authorization: "Bearer x" });
  expect((await asked("/public")).times).toBe(0);
  expect((await asked("/vary", { "accept-language": "en" })).answer.text).toContain("en");
  expect((await asked("/vary", { "accept-language": "fr" })).answer.text).toContain("fr");
  expect(await asked("/vary", { "accept-language": "en" })).toMatchObject({
    times: 0,
    answer: { text: "/vary en GET" },
  });
  // Unkeyed headers of a poisoner are the gateway's own upstream, so they change nothing.
  await asked("/poison", { "x-forwarded-host": "evil.example" });
  expect(services.orders.requests.at(-1)?.headers["x-forwarded-host"]).toBe("a.example");
  const tagged = await asked("/tag");
  const same = await asked("/tag", { "if-none-match": 'W/"1"' });
  expect([tagged.times, same.times, same.answer.status, same.answer.text]).toEqual([1, 0, 304, ""]);
  await eventually("it is stale", async () => (await asked("/tag")).times === 1);
  expect(services.orders.requests.at(-1)?.headers["if-none-match"]).toBe('"1"');
  broken = true;
  await eventually("it is stale again", async () => (await asked("/tag")).times === 1);
  const stale = await asked("/tag");
  expect(stale.answer).toMatchObject({
    status: 200,
    headers: { "cache-status": "posthouse; fwd=stale; fwd-status=503; detail=stale-if-error" },
  });
  expect((await asked("/never-seen")).answer.status).toBe(503);
});

test("Cache-Status says why a request was forwarded, with the service's own members before it", async () => {
  let broken = false;
  await using running = await world(route({ cache: { staleIfErrorSeconds: 60 } }), {
    handle: (request, response) => {
      const [path = "", query] = (request.url ?? "").split("?", 2);
      if (broken) return (void response.writeHead(503).end(), true);
      if (request.headers["if-none-match"] === '"1"') return (void response.writeHead(304).end(), true);
      if (query === "behind") response.setHeader("cache-status", "origin; hit");
      if (path === "/vary") response.setHeader("vary", "accept-language");
      response.setHeader("etag", '"1"');
      response.setHeader("cache-control", path === "/old" ? "max-age=60" : "max-age=600");
      if (path === "/old") response.setHeader("age", "60");
      if (path === "/short") response.setHeader("cache-control", "max-age=1");
      return (void response.end("kept"), true);
    },
  });
  const status = async (path: string, headers: Record<string, string> = {}, more: object = {}) =>
    (await running.ask(path, { headers, ...more })).headers["cache-status"];
  expect(await status("/a", {}, { method: "HEAD" })).toBe("posthouse; fwd=uri-miss");
  expect(await status("/a")).toBe("posthouse; fwd=uri-miss; stored");
  expect(await status("/a")).toBe("posthouse; hit");
  expect(await status("/a", { "cache-control": "no-cache" })).toBe("posthouse; fwd=request; fwd-status=304");
  expect(await status("/a", { "cache-control": "no-cache" }, { method: "HEAD" })).toBe("posthouse; fwd=request");
  expect(await status("/a", { "cache-control": "no-cache", "if-none-match": '"0"' })).toBe(
    "posthouse; fwd=request; stored",
  );
  expect(await status("/a", { range: "bytes=0-1" })).toBe("posthouse; fwd=bypass");
  expect(await status("/a", { "content-length": "1" }, { body: "x" })).toBe("posthouse; fwd=bypass");
  for (const method of ["POST", "OPTIONS"]) expect(await status("/b", {}, { method })).toBe("posthouse; fwd=method");
  expect(await status("/old")).toBe("posthouse; fwd=uri-miss");
  expect(await status("/vary", { "accept-language": "en" })).toBe("posthouse; fwd=uri-miss; stored");
  expect(await status("/vary", { "accept-language": "fr" })).toBe("posthouse; fwd=vary-miss; stored");
  expect(await status("/vary", { "accept-language": "en" })).toBe("posthouse; hit");
  expect(await status("/b?behind")).toBe("origin; hit, posthouse; fwd=uri-miss; stored");
  expect(await status("/b?behind")).toBe("origin; hit, posthouse; hit");
  expect(await status("/b?behind", {}, { method: "POST" })).toBe("origin; hit, posthouse; fwd=method");
  expect(await status("/short")).toBe("posthouse; fwd=uri-miss; stored");
  const stale = (wanted: string) =>
    eventually(wanted, async () => {
      const said = await status("/short");
      if (said === "posthouse; hit") return undefined;
      expect(said).toBe(wanted);
      return true;
    });
  await stale("posthouse; fwd=stale; fwd-status=304");
  broken = true;
  await stale("posthouse; fwd=stale; fwd-status=503; detail=stale-if-error");
});

test("headers of a 304 reach the requesting client and later clients, except for cookies", async () => {
  const said: Record<string, Record<string, string>> = {
    "/link": { link: "</a>; rel=next", "x-ratelimit-remaining": "7", "cache-control": "max-age=60" },
    "/cookie": { "set-cookie": "a=1", "cache-control": "max-age=60" },
    "/private": { "cache-control": "private, max-age=60" },
    "/vary": { vary: "accept-language", "cache-control": "max-age=60" },
  };
  const date = "Sun, 06 Nov 1994 08:49:37 GMT";
  await using running = await world(route({ cache: {} }), {
    handle: (request, response) => {
      const path = request.url ?? "";
      if (path === "/modified") {
        return (void response.writeHead(200, { "last-modified": date }).end("x"), true);
      }
      if (request.headers["if-none-match"] === '"1"') return (void response.writeHead(304, said[path]).end(), true);
      response.writeHead(200, { date, etag: '"1"', "cache-control": "max-age=1" });
      return (void response.end("kept"), true);
    },
  });
  const asked = (path: string, headers: Record<string, string> = {}) => running.ask(path, { headers });
  const paths = Object.keys(said);
  for (const path of paths) expect((await asked(path)).headers["cache-status"]).toContain("stored");
  const hit = await asked("/link");
  expect([hit.headers["cache-status"], hit.headers.date]).toEqual(["posthouse; hit", date]);
  const revalidated = (path: string) =>
    eventually(`${path} is asked about`, async () => {
      const answer = await asked(path, { "accept-language": "de" });
      return String(answer.headers["cache-status"]).includes("fwd=stale") ? answer : undefined;
    });
  for (const path of paths) {
    const answer = await revalidated(path);
    expect(answer).toMatchObject({ status: 200, text: "kept" });
    const fields = path === "/cookie" ? { "set-cookie": ["a=1"] } : { ...said[path] };
    expect(answer.headers).toMatchObject(fields);
  }
  const second = await Promise.all(paths.map((path) => asked(path, { "accept-language": "de" })));
  expect(second[0]?.headers).toMatchObject({ ...said["/link"], "cache-status": "posthouse; hit" });
  expect([second[1]?.headers["cache-status"], second[1]?.headers["set-cookie"]]).toEqual(["posthouse; hit", undefined]);
  expect(second[2]?.headers["cache-status"]).not.toBe("posthouse; hit");
  expect(second[3]?.headers["cache-status"]).toBe("posthouse; hit");
  expect((await asked("/vary", { "accept-language": "en" })).headers["cache-status"]).not.toBe("posthouse; hit");
  // Without explicit freshness from the service, a response is not fresh.
  for (let i = 0; i < 2; i++)
    expect((await asked("/modified")).headers["cache-status"]).toBe("posthouse; fwd=uri-miss");
});

test("a hundred callers of one uncached page are one request", async () => {
  await using running = await world(route({ cache: {} }), {
    handle: (_request, response) => {
      response.setHeader("cache-control", "max-age=60");
      setTimeout(() => response.end("once"), 100);
      return true;
    },
  });
  const answers = await Promise.all(Array.from({ length: 100 }, () => running.ask("/")));
  expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(["once"]));
  expect(running.services.orders.requests).toHaveLength(1);
});

test("a write that did not fail ends what was kept of its target, for everybody and by whatever route", async () => {
  let version = 1;
  const held: ServerResponse[] = [];
  const config = {
    routes: [
      { name: "read", match: { path: { prefix: "/" }, methods: ["GET", "HEAD"] }, service: "orders", cache: {} },
      { name: "write", match: { path: { prefix: "/" } }, service: "orders" },
    ],
  };
  await using running = await world(config, {
    handle: (request, response) => {
      response.setHeader("cache-control", "public, max-age=60");
      response.setHeader("vary", "accept-language");
      if (request.url === "/held" && request.method === "GET") return (void held.push(response), true);
      if (request.url === "/refused") response.statusCode = request.method === "GET" ? 200 : 409;
      if (request.url === "/moved" && request.method !== "GET") response.statusCode = 303;
      if (request.url === "/named" && request.method !== "GET") {
        response.setHeader("location", "http://a.example/by-location");
        response.setHeader("content-location", "by-content");
      }
      if (request.url === "/evil" && request.method !== "GET") response.setHeader("location", "http://b.example/a");
      response.end(String(version));
      return true;
    },
  });
  const read = async (path: string, headers: Record<string, string> = {}, host = "a.example") =>
    (await running.ask(path, { headers, host })).text;
  const write = (method: string, path: string) =>
    running.ask(path, { method, ...(["POST", "PUT", "PATCH"].includes(method) ? { body: "x" } : {}) });
  const variants: readonly Record<string, string>[] = [{}, { "accept-language": "de" }, { authorization: "Bearer x" }];
  for (const method of ["PUT", "POST", "PATCH", "DELETE"]) {
    const before = version;
    for (const headers of variants) expect(await read("/a?x", headers)).toBe(String(before));
    version += 1;
    for (const headers of variants) expect(await read("/a?x", headers)).toBe(String(before));
    for (const other of ["/a", "/a?x=", "/b"]) await write(method, other);
    expect(await read("/a?x")).toBe(String(before));
    await write(method, "/a?x");
    for (const headers of variants) expect([method, await read("/a?x", headers)]).toEqual([method, String(version)]);
  }
  for (const path of ["/refused", "/moved", "/by-location", "/by-content", "/a"]) await read(path);
  await read("/a", {}, "b.example");
  const before = String(version++);
  await write("OPTIONS", "/a");
  for (const path of ["/refused", "/moved", "/named", "/evil"]) await write("POST", path);
  expect([await read("/refused"), await read("/a"), await read("/a", {}, "b.example")]).toEqual([
    before,
    before,
    before,
  ]);
  for (const path of ["/moved", "/by-location", "/by-content"]) {
    expect([path, await read(path)]).toEqual([path, String(version)]);
  }
  // A response requested before the write that arrives after it describes the old state, and is not cached.
  const early = read("/held");
  await eventually("the service has it", () => held.length === 1);
  await write("PUT", "/held");
  held[0]?.end("early");
  expect(await early).toBe("early");
  const late = read("/held");
  await eventually("the service is asked again", () => held.length === 2);
  held[1]?.end("late");
  expect(await late).toBe("late");
  expect(await read("/held")).toBe("late");
});

test("only-if-cached is 504 NC without a question to the service, and a hit with what is kept", async () => {
  await using running = await world(route({ cache: {} }), {
    handle: (_request, response) => (void response.setHeader("cache-control", "max-age=60").end("kept"), true),
  });
  const only = (more: object = {}) =>
    running.ask("/a", { headers: { "cache-control": "max-age=10, Only-If-Cached", ...more } });
  const missed = await only();
  expect([missed.status, missed.headers["x-posthouse-flag"]]).toEqual([504, "NC"]);
  expect((JSON.parse(missed.text) as { code: string }).code).toBe("GATEWAY_NOT_CACHED");
  expect(running.services.orders.requests).toHaveLength(0);
  await running.ask("/a");
  expect(await only()).toMatchObject({ status: 200, text: "kept" });
  expect((await only({ range: "bytes=0-1" })).status).toBe(504);
  expect(running.services.orders.requests).toHaveLength(1);
});

test("a hit is 304 to who has it by date, unless a tag says otherwise; a HEAD has the head of what a GET kept", async () => {
  const modified = "Sun, 06 Nov 1994 08:49:37 GMT";
  await using running = await world(route({ cache: {} }), {
    handle: (request, response) => {
      response.setHeader("cache-control", "max-age=60");
      if (request.url !== "/undated") response.setHeader("last-modified", modified);
      if (request.url === "/404") response.statusCode = 404;
      response.setHeader("etag", '"1"');
      return (void response.end("kept"), true);
    },
  });
  for (const path of ["/a", "/404", "/undated"]) await running.ask(path);
  const { requests } = running.services.orders;
  const status = async (headers: Record<string, string>, path = "/a") => (await running.ask(path, { headers })).status;
  expect(await status({ "if-modified-since": modified })).toBe(304);
  expect(await status({ "if-modified-since": "Mon, 07 Nov 1994 00:00:00 GMT" })).toBe(304);
  expect(await status({ "if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT" })).toBe(304);
  expect(await status({ "if-modified-since": "Sun Nov  6 08:49:37 1994" })).toBe(304);
  expect(await status({ "if-modified-since": "Sun, 06 Nov 1994 08:49:36 GMT" })).toBe(200);
  for (const none of ["yesterday", "2030", "2030-01-01T00:00:00Z"]) {
    expect([none, await status({ "if-modified-since": none })]).toEqual([none, 200]);
  }
  expect(await status({ "if-modified-since": modified, "if-none-match": '"2"' })).toBe(200);
  expect(await status({ "if-modified-since": modified, "if-none-match": '"1"' })).toBe(304);
  expect(await status({ "if-modified-since": modified, "if-none-match": '"1"' }, "/404")).toBe(404);
  expect(await status({ "if-modified-since": modified }, "/undated")).toBe(200);
  expect(await status({ "if-modified-since": new Date(Date.now() + 5_000).toUTCString() }, "/undated")).toBe(304);
  expect(requests).toHaveLength(3);
  const head = await running.ask("/a", { method: "HEAD" });
  expect(head).toMatchObject({
    status: 200,
    text: "",
    headers: { "content-length": "4", "cache-status": "posthouse; hit" },
  });
  expect((await running.ask("/a", { method: "HEAD", headers: { "if-none-match": '"1"' } })).status).toBe(304);
  expect(requests).toHaveLength(3);
  // The other way round nothing is kept: a HEAD brings no body.
  await running.ask("/new", { method: "HEAD" });
  expect((await running.ask("/new")).text).toBe("kept");
  expect(requests).toHaveLength(5);
});

test("no variable of a header template ends its line, and none copies a secret or the gateway's own", async () => {
  await using running = await world(
    route({
      match: { path: { template: "/{name}" } },
      requestHeaders: { set: { "x-all": "{path.name}|{request.query.q}|{request.header.x-in}|{{}}" } },
      responseHeaders: { set: { "x-back": "{request.query.q}" } },
    }),
  );
  const answer = await running.ask("/%0d%0aevil:%201?q=%0d%0aset-cookie:%20a=1%E2%82%AC{route.name}", {
    headers: { "x-in": "{route.name}" },
  });
  expect(answer.seen.headers["x-all"]).toBe(
    "%0D%0Aevil:%201|%0D%0Aset-cookie: a=1%E2%82%AC{route.name}|{route.name}|{}",
  );
  expect(answer.headers["x-back"]).toBe("%0D%0Aset-cookie: a=1%E2%82%AC{route.name}");
  expect(answer.headers["set-cookie"]).toBeUndefined();
});

test("a rewrite that climbs or doubles a slash is refused or made canonical, and the service sees what was matched", async () => {
  await using running = await world({
    routes: [
      {
        name: "up",
        match: { path: { prefix: "/up" } },
        service: "orders",
        rewrite: { regex: { pattern: "/up/x", replacement: "/a/../b" } },
      },
      {
        name: "double",
        match: { path: { prefix: "/double" } },
        service: "orders",
        rewrite: { regex: { pattern: "/double", replacement: "//a//" } },
      },
      { name: "users", match: { path: { template: "/users/{id}" } }, service: "canary" },
      { name: "files", match: { path: { regex: "/files/[a-z]+\\.txt" } }, service: "canary" },
    ],
  });
  expect((await running.ask("/up/x")).status).toBe(400);
  expect((await running.ask("/double/b")).seen.url).toBe("/a/b");
  for (const path of [
    "/users/..%2fadmin",
    "/users/%2e%2e",
    "/users/a%2fb",
    "/users/%252e%252e",
    "/users/..;x",
    "/files/a.txt%00",
    "/files/a%0a.txt/../b",
  ]) {
    expect([path, [400, 404].includes((await running.ask(path)).status)]).toEqual([path, true]);
  }
  expect((await running.ask("//users/./7")).seen.url).toBe("/users/7");
  expect((await running.ask("/%75sers/%37")).seen.url).toBe("/users/7");
  expect((await running.ask("/files/%61.txt")).seen.url).toBe("/files/a.txt");
});
