/** A service starts while no server answers, says how old its config is, and loses nothing to a server that knows less. */
import { readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Client, fetchTransport } from "#client";
import { eventually, freePort, ManualClock, startPosthouse, tempFolder, testHost, withControl } from "#test/kit";
import { ConfigReader } from "../../client/config.ts";
import { AUDIT_MS } from "#client/follow";
import { itemsOf, lab, next, service, SET } from "./kit.ts";

const NOBODY = "http://127.0.0.1:1";

/** A file as a service leaves it that knew `{"n":1}`. */
async function leftBehind(one: Awaited<ReturnType<typeof lab>>, path: string) {
  const { revision } = await one.release({ "a.json": '{"n":1}' });
  await using written = one.service({ lastKnownGoodFile: path });
  await written.posthouse.config.get("a.json");
  await written.posthouse.close();
  return revision;
}

test("a service starts from the file while no server answers, and says that it is stale and how old", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  const revision = await leftBehind(one, path);
  const kept = JSON.parse(await readFile(path, "utf8")) as { heardAtMs: number };
  await writeFile(path, JSON.stringify({ ...kept, heardAtMs: kept.heardAtMs - 90_000 }));
  await using orphan = service(NOBODY, { lastKnownGoodFile: path });
  const { config } = orphan.posthouse;
  expect(await config.get("a.json")).toEqual({ n: 1 });
  expect(config.state).toMatchObject({ state: "stale", revision, problem: { code: "CLIENT_UNREACHABLE" } });
  expect(config.state.ageSeconds).toBeGreaterThanOrEqual(90);
  expect(config.state.ageSeconds).toBeLessThan(150);
  expect((await next(config.watch("a.json"))).stale).toBe(true);
});

test("without a file such a start fails, saying so", async () => {
  await using orphan = service(NOBODY);
  await expect(orphan.posthouse.config.get("a.json", { default: 1 })).rejects.toMatchObject({
    code: "CLIENT_CONFIG_UNKNOWN",
    message: expect.stringContaining("lastKnownGoodFile") as string,
  });
});

test("the file is its owner's alone, whole, and nothing is left beside it", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  await leftBehind(one, path);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder.path)).toEqual(["config.json"]);
});

test("a server that answers is believed over the file", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  await leftBehind(one, path);
  await one.release({ "a.json": '{"n":2}' });
  const { config } = one.service({ lastKnownGoodFile: path }).posthouse;
  expect(await config.get("a.json")).toEqual({ n: 2 });
  expect(config.state.state).toBe("live");
});

test.each([
  ["cut short", (text: string) => text.slice(0, -20)],
  ["empty", () => ""],
  ["changed in one value", (text: string) => text.replace('{\\"n\\":1}', '{\\"n\\":9}')],
  ["of another shape", () => '{"format":1}'],
])("a file that is %s is set aside and told, not used", async (_what, spoil) => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  await leftBehind(one, path);
  const text = await readFile(path, "utf8");
  const spoilt = spoil(text);
  expect(spoilt).not.toBe(text);
  await writeFile(path, spoilt);
  await using orphan = service(NOBODY, { lastKnownGoodFile: path });
  await expect(orphan.posthouse.config.get("a.json")).rejects.toMatchObject({ code: "CLIENT_CONFIG_UNKNOWN" });
  expect(orphan.problems).toContainEqual(expect.objectContaining({ code: "CLIENT_LAST_KNOWN_GOOD_UNUSABLE" }));
  expect(await readFile(`${path}.corrupt`, "utf8")).toBe(spoilt);
  expect(await readdir(folder.path)).toEqual(["config.json.corrupt"]);
});

test("the file of another app is reported and not used", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  await leftBehind(one, path);
  await using orphan = service(NOBODY, { lastKnownGoodFile: path, app: "billing" });
  await expect(orphan.posthouse.config.get("a.json")).rejects.toMatchObject({ code: "CLIENT_CONFIG_UNKNOWN" });
  expect(orphan.problems).toContainEqual(expect.objectContaining({ code: "CLIENT_LAST_KNOWN_GOOD_UNUSABLE" }));
});

test("a file that cannot be written is reported, and the service runs", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const file = join(folder.path, "no-folder");
  await writeFile(file, "");
  await one.release({ "a.json": '{"n":1}' });
  const { posthouse, problems } = one.service({ lastKnownGoodFile: join(file, "config.json") });
  expect(await posthouse.config.get("a.json")).toEqual({ n: 1 });
  await eventually("the problem is reported", () =>
    problems.some(({ code }) => code === "CLIENT_LAST_KNOWN_GOOD_NOT_WRITTEN"),
  );
});

test("eight clients that write one file at once leave one whole file of a release that stood", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  await one.release({ "a.json": '{"n":0}' });
  const clients = Array.from({ length: 8 }, (_, i) =>
    one.service({ lastKnownGoodFile: path, instance: `orders-${i}` }),
  );
  await Promise.all(clients.map(({ posthouse }) => posthouse.config.get("a.json")));
  let revision = 0;
  for (let n = 1; n <= 40; n++) {
    ({ revision } = await one.release({ "a.json": `{"n":${n}}`, pad: "x".repeat(n * 1000) }));
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text !== undefined) expect(JSON.parse(text)).toMatchObject({ config: { app: "orders" } });
  }
  await eventually("all know it", () => clients.every(({ posthouse }) => posthouse.config.state.revision === revision));
  await Promise.all(clients.map(({ posthouse }) => posthouse.close()));
  expect(await readdir(folder.path)).toEqual(["config.json"]);
  await using orphan = service(NOBODY, { lastKnownGoodFile: path });
  expect(await orphan.posthouse.config.get("a.json")).toEqual({ n: 40 });
  expect(clients.flatMap(({ problems }) => problems)).toEqual([]);
});

test("a server that lost its store takes nothing away, at a restart neither, and is believed once it has passed", async () => {
  await using before = await lab();
  await using folder = await tempFolder();
  const path = join(folder.path, "config.json");
  const revision = await leftBehind(before, path);
  await using control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  await using fresh = service(url, { lastKnownGoodFile: path, token: control.token });
  const { config } = fresh.posthouse;
  expect(await config.get("a.json")).toEqual({ n: 1 });
  await eventually("the problem is reported", () => fresh.problems.some(({ code }) => code === "CLIENT_CONFIG_OLDER"));
  expect(config.state).toMatchObject({ state: "stale", revision, problem: { code: "CLIENT_CONFIG_OLDER" } });
  for (let passed = 0; passed <= revision;) {
    const items = itemsOf({ "a.json": `{"n":2}`, at: String(passed) });
    ({ revision: passed } = await control.client.config.publish(SET, { items }));
  }
  await eventually("the server's", async () => (await config.get<never>("a.json", { path: "n" })) === 2);
  expect(config.state.state).toBe("live");
});

test.each(["empty", "older"])("a running service keeps what it knows when its server comes back %s", async (kind) => {
  await using one = await lab();
  await using other = await lab();
  for (let n = 1; n < 10; n++) await one.release({ "a.json": '{"n":0}', at: String(n) });
  const { revision } = await one.release({ "a.json": '{"n":1}' });
  if (kind === "older") expect((await other.release({ "a.json": '{"n":7}' })).revision).toBeLessThan(revision);
  // The two servers do not accept each other's tokens, so each gets its own.
  let token = one.control.token;
  const { posthouse, problems } = one.service({ token: () => token });
  const { config } = posthouse;
  const watch = config.watch("a.json", { path: "n" });
  expect((await next(watch)).value).toBe(1);
  const waiting = next(watch);
  token = other.control.token;
  one.wire.lead(other.url);
  await eventually("the problem is reported", () => problems.some(({ code }) => code === "CLIENT_CONFIG_OLDER"));
  expect(config.state).toMatchObject({ state: "stale", revision });
  expect(await config.get("a.json", { path: "n" })).toBe(1);
  for (let n = 8, passed = 0; passed <= revision; n++)
    ({ revision: passed } = await other.release({ "a.json": '{"n":8}', at: String(n) }));
  expect((await waiting).value).toBe(8);
  expect(config.state.state).toBe("live");
});

test("an older config is taken once the server's store has passed the revision at which the newer was known", async () => {
  await using one = await lab();
  await using other = await lab();
  for (let n = 1; n < 10; n++) await one.release({ "a.json": '{"n":0}', at: String(n) });
  const { revision } = await one.release({ "a.json": '{"n":1}' });
  await other.release({ "a.json": '{"n":7}' });
  let token = one.control.token;
  const { posthouse, problems } = one.service({ token: () => token });
  const watch = posthouse.config.watch("a.json", { path: "n" });
  expect((await next(watch)).value).toBe(1);
  const waiting = next(watch);
  token = other.control.token;
  one.wire.lead(other.url);
  await eventually("the problem is reported", () => problems.some(({ code }) => code === "CLIENT_CONFIG_OLDER"));
  for (let passed = 0, n = 0; passed <= revision + 5; n++) {
    const items = itemsOf({ n: String(n) });
    ({ revision: passed } = await other.control.client.config.publish({ ...SET, app: "billing" }, { items }));
  }
  one.wire.cut("once");
  expect((await waiting).value).toBe(7);
});

test("a full check that a lagging member answers takes nothing back", async () => {
  await using one = await lab();
  await using lagging = await lab();
  await lagging.release({ "a.json": '{"n":1}' });
  for (let n = 1; n < 5; n++) await one.release({ "a.json": `{"n":1}`, at: String(n) });
  await one.release({ "a.json": '{"n":2}' });
  const host = testHost({ clock: new ManualClock() });
  await using good = fetchTransport({ urls: [one.url] });
  await using behind = fetchTransport({ urls: [lagging.url] });
  let checks = 0;
  const transport: typeof good = {
    request: async (request) => {
      const watching = request.headers?.["accept"] === "text/event-stream";
      const { token } = watching ? one.control : lagging.control;
      const headers = { ...request.headers, authorization: `Bearer ${token}` };
      const answer = await (watching ? good : behind).request({ ...request, headers });
      if (!watching) checks++;
      return answer;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const client = new Client(host, { transport });
  const options = { client, name: SET, instance: { id: "orders-1" }, lastKnownGoodFile: undefined, tell: () => {} };
  await using config = new ConfigReader(host, options);
  expect(await config.get("a.json")).toEqual({ n: 2 });
  await eventually("checked", async () => {
    await host.clock.advance(2_000);
    return checks > 0;
  });
  // The silence of a clock that runs ahead breaks the watch now and then; whatever it says next must not bring the old back.
  for (let i = 0; i < 100; i++) {
    await host.clock.advance(1_000);
    expect(await config.get("a.json")).toEqual({ n: 2 });
  }
});

test("temporary files of a killed process are removed, and those of a running one are not", async () => {
  await using folder = await tempFolder();
  await using one = await lab();
  const path = join(folder.path, "config.json");
  const [old, fresh] = [`${path}.00.posthouse-tmp`, `${path}.11.posthouse-tmp`];
  await Promise.all([old, fresh].map((file) => writeFile(file, "part")));
  const anHourAgo = new Date(Date.now() - 3_600_000);
  await utimes(old, anHourAgo, anHourAgo);
  await leftBehind(one, path);
  expect((await readdir(folder.path)).toSorted()).toEqual(["config.json", "config.json.11.posthouse-tmp"]);
});

test("a server that is not ready takes nothing away", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const notReady = createServer((_request, response) => {
    response.writeHead(503, { "content-type": "application/problem+json" });
    response.end('{"code":"HTTP_UNAVAILABLE","title":"Not ready","detail":"The config is still being read."}');
  });
  await new Promise<void>((resolve) => notReady.listen(0, "127.0.0.1", resolve));
  await using _ = { [Symbol.asyncDispose]: async () => void notReady.close() };
  const { posthouse, problems } = one.service();
  expect(await posthouse.config.get("a.json")).toEqual({ n: 1 });
  one.wire.lead(`http://127.0.0.1:${(notReady.address() as AddressInfo).port}`);
  await eventually("the problem is reported", () => problems.some(({ code }) => code === "HTTP_UNAVAILABLE"));
  expect(await posthouse.config.get("a.json")).toEqual({ n: 1 });
  expect(posthouse.config.state.state).toBe("stale");
  one.wire.lead(one.url);
  await eventually("live", () => posthouse.config.state.state === "live");
});

test("a full check finds what the watch lost, and asks for the whole only then", async () => {
  await using one = await lab();
  await one.release({ "a.json": '{"n":1}' });
  const host = testHost({ clock: new ManualClock() });
  const asked: (string | undefined)[] = [];
  await using real = fetchTransport({ urls: [one.url] });
  const transport: typeof real = {
    request: async (request) => {
      const answer = await real.request(request);
      if (request.headers?.["accept"] !== "text/event-stream") {
        asked.push(`${request.headers?.["if-none-match"] === undefined ? "whole" : "unless"} ${answer.status}`);
        return answer;
      }
      // A watch that sends the current state, and then falls silent without breaking.
      return {
        ...answer,
        async *stream() {
          for await (const chunk of answer.stream()) {
            if (asked.length > 0 || Buffer.from(chunk).includes("event: delta")) continue;
            yield chunk;
          }
        },
      };
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const client = new Client(host, { transport, token: one.control.token });
  const options = { client, name: SET, instance: { id: "orders-1" }, lastKnownGoodFile: undefined, tell: () => {} };
  await using config = new ConfigReader(host, options);
  expect(await config.get("a.json")).toEqual({ n: 1 });
  const begunMs = host.clock.now();
  const passing = (what: string, so: () => boolean) =>
    eventually(what, async () => {
      // In steps that leave real calls their time.
      await host.clock.advance(2_000);
      return so();
    });
  await passing("checked", () => asked.at(-1) === "unless 304");
  const tookMs = host.clock.now() - begunMs;
  expect(Math.abs(tookMs - AUDIT_MS)).toBeLessThan(AUDIT_MS * 0.25);
  await one.release({ "a.json": '{"n":2}' });
  await passing("found", () => asked.at(-1) === "unless 200");
  expect(await config.get("a.json")).toEqual({ n: 2 });
});

test("a server killed with SIGKILL and started again is followed on, and a service started between runs on the file", async () => {
  await using data = await tempFolder();
  const path = join(data.path, "service.json");
  const port = await freePort();
  const start = () => startPosthouse({ data: data.path, args: ["--port", String(port)] });
  await using first = await start();
  const { api: url, token = "" } = first;
  await using transport = fetchTransport({ urls: [url] });
  const operator = new Client(testHost(), { transport, token });
  await operator.config.publish(SET, { items: itemsOf({ "a.json": '{"n":1}' }) });
  await using running = service(url, { token, lastKnownGoodFile: path });
  const watch = running.posthouse.config.watch("a.json", { path: "n" });
  expect((await next(watch)).value).toBe(1);
  const waiting = next(watch);
  await eventually("kept", () => stat(path).then(() => true));
  first.kill("SIGKILL");
  await first.exited;
  await eventually("stale", () => running.posthouse.config.state.state === "stale");
  await using between = service(url, { token, lastKnownGoodFile: path, instance: "orders-2" });
  expect(await between.posthouse.config.get("a.json", { path: "n" })).toBe(1);
  expect(between.posthouse.config.state.state).toBe("stale");
  await using _second = await start();
  await eventually("live", () => between.posthouse.config.state.state === "live");
  await operator.config.publish(SET, { items: itemsOf({ "a.json": '{"n":2}' }) });
  expect((await waiting).value).toBe(2);
}, 300_000);
