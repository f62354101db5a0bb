/** Tokens and roles at the entry of the control API, and the answers that a stranger gets. */
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { ManualClock, testHost, withControl } from "#test/kit";

const SERVICES = "/v1/services";

test.each([
  ["no token", {}, 401, "HTTP_TOKEN_MISSING"],
  ["another scheme", { authorization: "Basic eDp5" }, 401, "HTTP_TOKEN_INVALID"],
  ["a made-up token", { authorization: `Bearer ph_${"0".repeat(16)}_${"0".repeat(64)}` }, 401, "HTTP_TOKEN_INVALID"],
  ["garbage", { authorization: "Bearer ☃" }, 401, "HTTP_TOKEN_INVALID"],
])("%s is refused with a challenge", async (_what, headers, status, code) => {
  await using control = await withControl();
  const answer = await control.call("GET", SERVICES, undefined, headers);
  expect([answer.status, answer.json["code"]]).toEqual([status, code]);
  expect(answer.headers["www-authenticate"]).toContain("Bearer");
  expect(answer.headers["content-type"]).toContain("application/problem+json");
});

test("a token works until it expires, and then says so", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const issued = await control.call("POST", "/v1/tokens", { name: "ci", policies: ["viewer"], ttlSeconds: 60 });
  const headers = { authorization: `Bearer ${String(issued.json["token"])}` };
  await expect.poll(async () => (await control.call("GET", SERVICES, undefined, headers)).status).toBe(200);
  await clock.advance(61_000);
  expect((await control.call("GET", SERVICES, undefined, headers)).json).toMatchObject({ code: "HTTP_TOKEN_EXPIRED" });
});

test("a revoked token is refused, and a role may do only what it lists", async () => {
  await using control = await withControl();
  const issued = await control.call("POST", "/v1/tokens", { name: "agent-1", policies: ["agent"] });
  const headers = { authorization: `Bearer ${String(issued.json["token"])}` };
  const publish = () => control.call("POST", "/v1/config/default/a/default/releases", { items: {} }, headers);
  await expect.poll(async () => (await publish()).status).toBe(403);
  expect((await publish()).json).toMatchObject({ code: "HTTP_FORBIDDEN", action: "config:publish" });
  expect((await control.call("GET", SERVICES, undefined, headers)).status).toBe(200);
  await control.call("DELETE", `/v1/tokens/${String(issued.json["id"])}`);
  await expect.poll(async () => (await control.call("GET", SERVICES, undefined, headers)).status).toBe(401);
});

test("the store keeps no token in the clear", async () => {
  await using control = await withControl();
  const { entries } = await control.store.range({ prefix: "" });
  const secret = control.token.split("_")[2] as string;
  expect(entries.length).toBeGreaterThan(0);
  for (const { value } of entries) expect(Buffer.from(value).toString("utf8")).not.toContain(secret);
});

test("the operator's first token is made once, however often a server starts", async () => {
  await using first = await withControl();
  await using second = await withControl({ store: first.store });
  expect(second.token).toMatch(/^phi_/);
  expect((await first.call("GET", "/v1/tokens")).json["tokens"]).toHaveLength(1);
});

test("an unknown path and every API route without a token give a problem, never a page", async () => {
  await using control = await withControl();
  expect((await control.call("GET", "/nowhere")).json).toMatchObject({ code: "HTTP_NOT_FOUND", status: 404 });
  const spec = (await control.call("GET", "/v1/openapi.json")).json as {
    paths: Record<string, Record<string, { readonly security?: readonly unknown[] }>>;
  };
  let asked = 0;
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, { security }] of Object.entries(methods)) {
      // The matrix test lists the open routes.
      if (security?.length === 0) continue;
      const url = path.replaceAll(/\{(\w+)\}/g, "1");
      const answer = await control.call(method.toUpperCase(), url, method === "get" ? undefined : {}, {});
      expect([answer.status, answer.json["code"]], `${method} ${path}`).toEqual([401, "HTTP_TOKEN_MISSING"]);
      asked++;
    }
  }
  expect(asked).toBeGreaterThan(15);
});

test("bytes that are not HTTP get a short answer and the server lives on", async () => {
  await using control = await withControl();
  await control.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = control.app.server.address() as AddressInfo;
  const say = (text: string) =>
    new Promise<string>((resolve) => {
      let heard = "";
      const socket = connect(port, "127.0.0.1", () => socket.write(text));
      socket.on("data", (chunk) => (heard += chunk.toString()));
      socket.on("close", () => resolve(heard));
      socket.on("error", () => resolve(heard));
    });
  expect(await say("\x16\x03\x01\x02\x00 hello\r\n\r\n")).toContain("HTTP/1.1 400");
  expect(await say(`GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(40_000)}\r\n\r\n`)).toContain("HTTP/1.1 431");
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
});
