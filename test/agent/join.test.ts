/** Joining: what a host has afterwards, which joins are refused, and what a kill in between leaves. */
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, restartByKill, startPosthouse, startProgram, tempFolder } from "#test/kit";
import { WallClock } from "../identity/kit.ts";
import { callHttp } from "./agent-kit.ts";
import { HOUR_MS, newHost, type Plane, startPlane } from "./joined-kit.ts";

let plane: Plane;
beforeAll(async () => {
  plane = await startPlane();
});
afterAll(() => plane[Symbol.asyncDispose]());

test("a host that joined needs no other setting: its agent registers, and its services call through it", async () => {
  await using host = await newHost();
  const joined = await host.join(plane, await plane.joinToken({ apps: ["orders"], services: ["orders"] }));
  expect(joined).toMatchObject({ spiffeId: "spiffe://posthouse/agent/web-1", folder: host.identity });
  expect((await readdir(host.identity)).toSorted()).toEqual([
    "bundle.pem",
    "certificate.pem",
    "control.json",
    "key.pem",
  ]);
  for (const name of await readdir(host.identity)) {
    expect((await stat(join(host.identity, name))).mode & 0o777, name).toBe(0o600);
  }
  await host.start();
  await host.call("PUT", "/v1/agent/services/one", { name: "orders", port: 4001 });
  await eventually("it is registered by its certificate", async () => {
    const { instances } = await plane.client.registry
      .instances({ namespace: "default", service: "orders" })
      .catch(() => ({ instances: [] }));
    return instances.length === 1 && instances[0]?.owner === "web-1";
  });
  const { body } = await host.call("GET", "/v1/agent/status");
  expect(body).toMatchObject({
    node: "web-1",
    connected: true,
    problems: [],
    identity: { spiffeId: "spiffe://posthouse/agent/web-1", controlUrls: [plane.url] },
  });
  expect(await host.call("GET", "/v1/me")).toMatchObject({
    status: 200,
    body: { name: "agent:web-1", limits: { apps: ["orders"] } },
  });
  expect((await host.call("GET", "/v1/config/default/stock/default")).status).toBe(403);
});

test("by the command line: join, up, and up again after kill -9", async () => {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempFolder());
  const token = await plane.joinToken({ name: "cli-1" });
  const join = ["agent", "join", plane.url, "--join-token", token, "--name", "cli-1", "--data", path];
  const joining = stack.use(startProgram("bin/posthouse", join));
  expect(await joining.exited, joining.errors()).toMatchObject({ code: 0 });
  expect(joining.output()).toContain("spiffe://posthouse/agent/cli-1");
  expect(joining.output()).toContain(`posthouse up --roles agent --data ${path}`);
  expect(`${joining.output()}${joining.errors()}`).not.toContain(token);
  const agent = stack.use(await startPosthouse({ data: path, args: ["--roles", "agent", "--dns", "off"] }));
  const again = stack.use(await restartByKill(agent));
  const socket = `${again.options.data}/agent/agent.sock`;
  await eventually("it is connected again", async () => {
    const { body } = await callHttp<{ connected: boolean }>(socket, "GET", "/v1/agent/status");
    return body.connected;
  });
  expect((await callHttp(socket, "GET", "/v1/me")).body).toMatchObject({ name: "agent:cli-1" });
});

test("joins that are not allowed are refused with their codes, and change nothing", async () => {
  await using host = await newHost();
  const token = await plane.joinToken({ name: "web-2" });
  const [, id, secret, fingerprint] = token.split("_") as [string, string, string, string];
  const other = `phj_${id}_${secret}_${"0".repeat(64)}`;
  await expect(host.join(plane, other, { name: "web-2" })).rejects.toMatchObject({ code: "CLIENT_UNTRUSTED" });
  await expect(host.join(plane, token, { name: "web-3" })).rejects.toMatchObject({
    code: "IDENTITY_NODE_NAME_NOT_ALLOWED",
  });
  const guessed = `phj_${id}_${"1".repeat(64)}_${fingerprint}`;
  await expect(host.join(plane, guessed)).rejects.toMatchObject({ code: "IDENTITY_JOIN_TOKEN_INVALID" });
  await expect(host.join(plane, "ph_1")).rejects.toMatchObject({ code: "AGENT_JOIN_TOKEN_INVALID" });
  const plain = { url: plane.url.replace("https", "http") };
  await expect(host.join(plain, token)).rejects.toMatchObject({ code: "AGENT_JOIN_NEEDS_TLS" });
  // None of these has used up the token.
  await host.join(plane, token, { name: "web-2" });
  await using replay = await newHost();
  await expect(replay.join(plane, token, { name: "web-2" })).rejects.toMatchObject({ code: "AGENT_JOIN_TOKEN_SPENT" });
  await expect(host.join(plane, await plane.joinToken())).rejects.toMatchObject({ code: "AGENT_ALREADY_JOINED" });
});

test("without a name of its own, a host has that of the token, or else that of the machine", async () => {
  await using named = await newHost();
  const joined = await named.join(plane, await plane.joinToken({ name: "web-9" }), { name: null });
  expect(joined.spiffeId).toMatch(/\/agent\/web-9$/);
  await named.start();
  expect((await named.call("GET", "/v1/me")).body).toMatchObject({ name: "agent:web-9" });
  await using unnamed = await newHost();
  const { spiffeId } = await unnamed.join(plane, await plane.joinToken(), { name: null });
  expect(spiffeId.split("/").at(-1)).toBe(hostname().replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9._-]/g, ""));
});

test("a refused join leaves nothing behind, so that an agent without an identity still starts", async () => {
  await using host = await newHost();
  const token = await plane.joinToken({ name: "web-8" });
  await expect(host.join(plane, token, { name: "web-7" })).rejects.toMatchObject({
    code: "IDENTITY_NODE_NAME_NOT_ALLOWED",
  });
  expect(await readdir(host.identity)).toEqual(["key.pem"]);
});

test("a token that has expired is refused", async () => {
  await using aside = await startPlane();
  await using host = await newHost();
  const token = await aside.joinToken({ ttlSeconds: 60 });
  aside.clock.move(2 * 60_000);
  await expect(host.join(aside, token)).rejects.toMatchObject({ code: "IDENTITY_JOIN_TOKEN_EXPIRED" });
});

test("a join that was killed is named by the next start, and completed by the next join", async () => {
  await using host = await newHost();
  await host.join(plane, await plane.joinToken({ name: "web-4" }), { name: "web-4" });
  const control = await readFile(join(host.identity, "control.json"), "utf8");
  // As after a kill between the answer of the control plane and the first file.
  for (const name of ["control.json", "certificate.pem", "bundle.pem"]) await rm(join(host.identity, name));
  await writeFile(join(host.identity, "joining.json"), control);
  await expect(host.start()).rejects.toMatchObject({
    code: "AGENT_JOIN_INCOMPLETE",
    message: expect.stringContaining("posthouse join-token create --name web-4"),
  });
  await host.join(plane, await plane.joinToken({ name: "web-4" }), { name: "web-4" });
  await host.start();
  expect((await host.call("GET", "/v1/agent/status")).status).toBe(200);
});

test("a clock that is off by a day is named", async () => {
  await using ahead = await newHost(new WallClock(plane.clock.now() + 25 * HOUR_MS));
  await expect(ahead.join(plane, await plane.joinToken(), { name: "ahead" })).rejects.toMatchObject({
    code: "AGENT_CLOCK_WRONG",
    message: expect.stringContaining("Set the clock right"),
  });
  await using behind = await newHost(new WallClock(plane.clock.now() - 24 * HOUR_MS));
  await expect(behind.join(plane, await plane.joinToken(), { name: "behind" })).rejects.toMatchObject({
    code: expect.stringMatching(/^(AGENT_CLOCK_WRONG|CLIENT_UNTRUSTED)$/),
  });
});
