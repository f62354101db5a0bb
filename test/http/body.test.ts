/** No body of a request costs more than its route takes: not by its bytes, its depth or the number of its values. */
import type { FastifyInstance } from "fastify";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { JSON_DEPTH_MAX, JSON_PARTS_MAX, jsonShapeProblem } from "#base";
import { createHttpServer } from "#http";
import { testHost, withControl } from "#test/kit";
import type { LocalAgent } from "../../agent/agent.ts";
import { agentFlags } from "../../agent/flags.ts";
import { agentPlugin } from "../../agent/plugin.ts";

const shape = (text: string, bounds?: Parameters<typeof jsonShapeProblem>[1]) =>
  jsonShapeProblem(Buffer.from(text), bounds);

/** Levels and values of a document, as a reader of the parsed tree counts them. */
function measure(value: unknown): { depth: number; parts: number } {
  if (value === null || typeof value !== "object") return { depth: 0, parts: 0 };
  const inner = Object.values(value).map(measure);
  return {
    depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)),
    parts: 1 + Math.max(0, inner.length - 1) + inner.reduce((sum, { parts }) => sum + parts, 0),
  };
}

test("depth and values are counted as a parser would find them, whatever the strings contain", () => {
  const tricky = fc.constantFrom('"', "\\", '\\"', "[[[", "}}", ",,,", 'a"]', "\\\\", "\u2028", "😀");
  const value = fc.jsonValue({ maxDepth: 4, stringUnit: "binary" });
  fc.assert(
    fc.property(fc.dictionary(fc.oneof(tricky, fc.string()), fc.oneof(tricky, value)), (document) => {
      const text = JSON.stringify(document, null, 1);
      const { depth, parts } = measure(document);
      expect(shape(text, { depthMax: depth, partsMax: parts })).toBeUndefined();
      expect(shape(text, { depthMax: depth - 1, partsMax: parts })).toContain("deep");
      if (parts > 1) expect(shape(text, { depthMax: depth, partsMax: parts - 1 })).toContain("values");
    }),
    { numRuns: 60 },
  );
});

test("bytes that are not JSON end the count, too", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void jsonShapeProblem(bytes)));
  for (const text of ['"', '"\\', '{"a', "]]]]", ""]) expect(shape(text)).toBeUndefined();
});

const MEGABYTE = 1024 * 1024;
const HOSTILE = {
  "brackets that never close": "[".repeat(2 * MEGABYTE),
  "brackets in pairs": "[".repeat(MEGABYTE) + "]".repeat(MEGABYTE),
  "objects in objects": `${'{"a":'.repeat(MEGABYTE / 4)}1${"}".repeat(MEGABYTE / 4)}`,
  "many empty lists": `[${"[],".repeat(600_000)}[]]`,
  "many numbers": `[${"1,".repeat(900_000)}1]`,
  "brackets a little deeper than allowed": "[".repeat(JSON_DEPTH_MAX + 1) + "]".repeat(JSON_DEPTH_MAX + 1),
};
// The last two are how OFREP says it.
const REFUSED = ["HTTP_BODY_TOO_LARGE", "HTTP_BODY_TOO_COMPLEX", "HTTP_MEDIA_TYPE", "INVALID_CONTEXT", "PARSE_ERROR"];

/** Every route that takes a body, by method and a path with its parameters filled in. */
function bodyRoutes(app: FastifyInstance, taking: ReadonlyMap<string, readonly string[]>): [string, string][] {
  return [...taking].flatMap(([url, methods]) =>
    methods
      .filter((method) => app.hasRoute({ method: method, url }))
      .map((method) => [method, url] as [string, string]),
  );
}

test("every route of the control API refuses a hostile body before it is parsed, and goes on", async () => {
  await using control = await withControl();
  const { app, token } = control;
  expect(app.unlimitedRoutes).toEqual([]);
  const document = (await control.call("GET", "/v1/openapi.json")).json as {
    paths: Record<string, Record<string, { requestBody?: unknown }>>;
  };
  const taking = new Map(
    Object.entries(document.paths).map(([path, methods]) => [
      path.replaceAll(/\{(\w+)\}/g, ":$1"),
      Object.keys(methods)
        .filter((name) => methods[name]?.requestBody !== undefined)
        .map((name) => name.toUpperCase()),
    ]),
  );
  const routes = bodyRoutes(app, taking);
  expect(routes.length).toBeGreaterThan(20);
  for (const [index, [name, payload]] of Object.entries(HOSTILE).entries()) {
    // All of them at a few routes, two of them at all.
    for (const [method, url] of index < 2 ? routes : routes.slice(0, 3)) {
      const answer = await app.inject({
        method: method as "PUT",
        url: url.replaceAll(/:\w+/g, "x"),
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        payload,
      });
      const { code, errorCode } = answer.json<{ code?: string; errorCode?: string }>();
      expect(REFUSED, `${method} ${url}: ${name}: ${answer.payload}`).toContain(code ?? errorCode);
    }
  }
  expect((await control.call("GET", "/v1/services")).status).toBe(200);
});

test("every route of the agent that takes a body states how large it may be", () => {
  const host = testHost();
  const app = createHttpServer(host, { name: "agent" });
  agentPlugin(app, {} as LocalAgent, new AbortController().signal);
  agentFlags(app, host, {} as LocalAgent);
  expect(app.unlimitedRoutes).toEqual([]);
});

test("a document within the bounds is read, and a document with __proto__ is refused", async () => {
  const app = createHttpServer(testHost(), { name: "test" });
  app.post("/", { bodyLimit: 4 * MEGABYTE }, ({ body }) => ({ body }));
  const post = (payload: string) =>
    app.inject({ method: "POST", url: "/", headers: { "content-type": "application/json" }, payload });
  const deep = "[".repeat(JSON_DEPTH_MAX) + "]".repeat(JSON_DEPTH_MAX);
  expect((await post(deep)).statusCode).toBe(200);
  const wide = JSON.stringify(Array.from({ length: JSON_PARTS_MAX }, () => 1));
  expect((await post(wide)).statusCode).toBe(200);
  expect((await post('{"a":"é😀\\"["}')).json()).toEqual({ body: { a: 'é😀"[' } });
  for (const bad of ['{"__proto__":{"a":1}}', "", "{", '{"constructor":{"prototype":{}}}']) {
    expect([bad, (await post(bad)).statusCode]).toEqual([bad, 400]);
  }
});
