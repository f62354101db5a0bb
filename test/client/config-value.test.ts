/** The results of `config.get` for each format, path, schema and default, from a real server; and its errors. */
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { expect, expectTypeOf, test } from "vitest";
import * as v from "valibot";
import { z } from "zod";
import { eventually } from "#test/kit";
import { itemsOf, lab, service } from "./kit.ts";

const VALUES = {
  "db.yaml": "url: postgres://db\npool: {size: 5}\n",
  "limits.json": '{"rate": 7}',
  "app.toml": "[server]\nport = 8080\n",
  "log.properties": "log.level=debug\n",
  motd: "hello\n",
};

test("each format is the data that it says", async () => {
  await using one = await lab();
  await one.release(VALUES);
  const { config } = one.service().posthouse;
  expect(await config.get("db.yaml")).toEqual({ url: "postgres://db", pool: { size: 5 } });
  expect(await config.get("limits.json", { path: "rate" })).toBe(7);
  expect(await config.get("app.toml", { path: ["server", "port"] })).toBe(8080);
  expect(await config.get("log.properties", { path: "log.level" })).toBe("debug");
  expect(await config.get("motd")).toBe("hello\n");
});

test("zod's and valibot's schemas make the value and its type, also asynchronous ones", async () => {
  await using one = await lab();
  await one.release(VALUES);
  const { config } = one.service().posthouse;
  const zod = z.object({ url: z.string(), pool: z.object({ size: z.number() }).transform(({ size }) => size) });
  const db = await config.get("db.yaml", { schema: zod });
  expectTypeOf(db).toEqualTypeOf<{ url: string; pool: number }>();
  expect(db).toEqual({ url: "postgres://db", pool: 5 });
  const size = await config.get("db.yaml", { path: "pool.size", schema: v.pipe(v.number(), v.minValue(1)) });
  expectTypeOf(size).toEqualTypeOf<number>();
  expect(size).toBe(5);
  const slow = v.pipeAsync(
    v.string(),
    v.checkAsync(async (text) => text.startsWith("hello")),
  );
  expect(await config.get("motd", { schema: slow })).toBe("hello\n");
});

test("a default is for what is absent, and of its own type", async () => {
  await using one = await lab();
  const { config } = one.service().posthouse;
  expect(await config.get("db.yaml", { default: null })).toBeNull();
  const { revision } = await one.release(VALUES);
  await eventually("the release has arrived", () => config.state.revision === revision);
  const none = await config.get("none.yaml", { schema: z.number(), default: "none" as const });
  expectTypeOf(none).toEqualTypeOf<number | "none">();
  expect(none).toBe("none");
  expect(await config.get("db.yaml", { path: "pool.none", default: 3 })).toBe(3);
  await expect(config.get("db.yaml", { path: "pool.size", schema: z.string(), default: "x" })).rejects.toMatchObject({
    code: "CLIENT_VALUE_INVALID",
  });
});

test("nothing released, an absent key and an absent path are errors apart", async () => {
  await using one = await lab();
  const { config } = one.service().posthouse;
  await expect(config.get("db.yaml")).rejects.toMatchObject({ code: "CONFIG_SET_NOT_FOUND" });
  await expect(config.snapshot()).rejects.toMatchObject({ code: "CONFIG_SET_NOT_FOUND" });
  const watch = config.watch("db.yaml");
  await one.release(VALUES);
  await watch.next();
  await expect(config.get("none.yaml")).rejects.toMatchObject({
    code: "CONFIG_KEY_NOT_FOUND",
    extra: { key: "none.yaml" },
  });
  await expect(config.get("db.yaml", { path: "pool.none" })).rejects.toMatchObject({
    code: "CONFIG_KEY_NOT_FOUND",
    extra: { key: "db.yaml", path: "pool.none" },
  });
  await watch.return();
});

test("a name that every object inherits is neither a key nor a path", async () => {
  await using one = await lab();
  await one.release(VALUES);
  const { config } = one.service().posthouse;
  await expect(config.get("constructor")).rejects.toMatchObject({ code: "CONFIG_KEY_NOT_FOUND" });
  await expect(config.get("db.yaml", { path: "constructor.name" })).rejects.toMatchObject({
    code: "CONFIG_KEY_NOT_FOUND",
  });
});

test("a value that does not keep the schema tells each issue with its path", async () => {
  await using one = await lab();
  await one.release(VALUES);
  const { config } = one.service().posthouse;
  const schema = z.object({ url: z.url(), pool: z.object({ size: z.number().min(10) }) });
  await expect(config.get("db.yaml", { schema: schema.extend({ port: z.number() }) })).rejects.toMatchObject({
    code: "CLIENT_VALUE_INVALID",
    message: expect.stringMatching(/"db\.yaml" of "default\/orders\/default" \(release 1 .*\/pool\/size: /) as string,
    extra: { key: "db.yaml", issues: [{ path: ["pool", "size"] }, { path: ["port"] }] },
  });
});

test("a bad token is the server's own error, at once", async () => {
  await using one = await lab();
  const { config } = one.service({ token: "ph_wrong" }).posthouse;
  await expect(config.get("db.yaml")).rejects.toMatchObject({ status: 401 });
});

/** Accepts, and says nothing. */
async function silentServer() {
  const open = new Set<Socket>();
  const server = createServer((socket) => void open.add(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("a call that waits for a server ends with its signal", async () => {
  await using silent = await silentServer();
  await using one = service(silent.url);
  const signal = AbortSignal.timeout(50);
  await expect(one.posthouse.config.get("db.yaml", { signal })).rejects.toMatchObject({ name: "TimeoutError" });
});

test("a server that accepts and says nothing is given up after three seconds", async () => {
  await using silent = await silentServer();
  await using one = service(silent.url);
  await expect(one.posthouse.config.get("db.yaml")).rejects.toMatchObject({ code: "CLIENT_CONFIG_UNKNOWN" });
});

test("a listener of problems that throws changes nothing", async () => {
  await using one = await lab();
  await one.release({ "a.json": '"text"' });
  let told = 0;
  const onProblem = () => {
    told++;
    throw new Error("the listener's own");
  };
  const { config } = one.service({ onProblem }).posthouse;
  const watch = config.watch("a.json", { schema: z.number() });
  const waiting = watch.next();
  await eventually("the problem is reported", () => told === 1);
  await one.release({ "a.json": "5" });
  expect((await waiting).value).toMatchObject({ value: 5 });
});

test("an option that is not valid is named", () => {
  const at = "http://127.0.0.1:1";
  expect(() => service(at, { app: "Not A Name" })).toThrow(expect.objectContaining({ extra: { field: "app" } }));
  expect(() => service(at, { instance: "a b" })).toThrow(expect.objectContaining({ extra: { field: "instance" } }));
  expect(() => service("127.0.0.1:8500")).toThrow(expect.objectContaining({ extra: { field: "url" } }));
});

test("as many keys as a release takes, in two profiles, are read from one snapshot", async () => {
  await using one = await lab();
  const values = (from: number) =>
    Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`key-${from + i}.json`, `{"n":${from + i}}`]));
  await one.release(values(0));
  const items = itemsOf(values(1000));
  await one.control.client.config.publish({ namespace: "default", app: "orders", profile: "prod" }, { items });
  const { config } = one.service({ profile: "prod" }).posthouse;
  const snapshot = await config.snapshot();
  expect(snapshot.keys()).toHaveLength(2000);
  expect(await Promise.all(["key-0.json", "key-1999.json"].map((key) => snapshot.get(key, { path: "n" })))).toEqual([
    0, 1999,
  ]);
});

test("a value of ten thousand members is read and held to its schema", async () => {
  await using one = await lab();
  const value = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`key${i}`, i]));
  await one.release({ "big.json": JSON.stringify(value) });
  const { config } = one.service().posthouse;
  expect(await config.get("big.json", { schema: z.record(z.string(), z.number()) })).toEqual(value);
});
