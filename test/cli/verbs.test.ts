/** Verbs as a person uses them, against a real control plane in this process. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { heldKeys, key } from "../config-server/secrets-kit.ts";
import { type ListeningControl, run, withListeningControl } from "./kit.ts";

let control: ListeningControl;
const posthouse = (...args: Parameters<ListeningControl["posthouse"]>) => control.posthouse(...args);

const registration = {
  address: "127.0.0.1",
  port: 4001,
  version: "1.2.0",
  owner: "host-1",
  checks: [{ id: "ttl", type: "ttl" as const, ttlSeconds: 60 }],
};

beforeAll(async () => {
  control = await withListeningControl({ secretKeys: heldKeys(key("a", 1)) });
  const name = { namespace: "default", service: "orders", id: "orders-1" };
  const { revision } = await control.client.registry.register(name, registration);
  await control.client.registry.report(name, "ttl", { status: "passing", output: "all well" });
  await control.client.registry.instances(name, { revision });
});
afterAll(() => control?.[Symbol.asyncDispose]());

/** The lines of a table, each cut at its columns. */
const cells = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}|\t/));

test("listings are tables with aligned columns and headers", async () => {
  const { code, out } = await posthouse("services", { isInteractive: true, environment: { NO_COLOR: "1" } });
  expect(code).toBe(0);
  expect(cells(out)).toEqual([
    ["SERVICE", "INSTANCES", "PASSING", "WARNING", "CRITICAL", "UNKNOWN", "DRAINING"],
    ["orders", "1", "1", "0", "0", "0", "0"],
  ]);
  const [header = "", row = ""] = out.split("\n");
  expect(row.indexOf("1")).toBe(header.indexOf("INSTANCES"));
});

test.each([
  ["instances orders", ["ID", "orders-1"]],
  ["health", ["CHECK", "ttl", "passing"]],
  ["health orders orders-1", ["OUTPUT", "all well"]],
  ["members", ["ID", "yes"]],
  ["agents", ["AGENT", "host-1", "orders"]],
  ["timeline --since 10m", ["KIND", "token-issued", "instance-registered"]],
  ["timeline --kind token-issued instance-registered", ["token-issued", "instance-registered"]],
  ["timeline --since 2h --service orders --limit 5", ["CHANGE", "instance-registered"]],
  ["tokens", ["NAME", "operator"]],
])("posthouse %s", async (line, words) => {
  const { code, out, err } = await posthouse(line);
  expect([code, err]).toEqual([0, ""]);
  for (const word of words) expect(out).toContain(word);
});

test("a timeline of one kind has no other, and an unknown kind is refused by name", async () => {
  const { out } = await posthouse("timeline --kind token-issued -o json");
  const kinds = (JSON.parse(out) as { kind: string }[]).map(({ kind }) => kind);
  expect(new Set(kinds)).toEqual(new Set(["token-issued"]));
  const unknown = await posthouse("timeline --kind tokens-issued");
  expect(unknown.code).not.toBe(0);
  expect(unknown.err).toContain("kind");
});

test("an empty listing says so on standard error, and is an empty document for programs", async () => {
  for (const line of ["timeline --before 1d", "locks", "rollouts", "gateways", "services --namespace other"]) {
    expect(await posthouse(line)).toMatchObject({
      code: 0,
      out: "",
      err: expect.stringMatching(/^no .+\n$/) as string,
    });
    expect(await posthouse(`${line} -o json`)).toMatchObject({ code: 0, out: "[]\n" });
  }
});

test("-o json, yaml and tsv are for programs", async () => {
  const json = await posthouse("services -o json");
  expect(JSON.parse(json.out)).toMatchObject([{ service: "orders", instances: 1 }]);
  const yaml = await posthouse("services -o yaml");
  expect(parse(yaml.out)).toEqual(JSON.parse(json.out));
  expect((await posthouse("services -o tsv")).out).toBe("orders\t1\t1\t0\t0\t0\t0\n");
  expect(await posthouse("services -o xml")).toMatchObject({
    code: 2,
    err: expect.stringContaining("table, json, yaml, name, ndjson, tsv") as string,
  });
});

test("--watch shows the list again at each change, and ends when asked", async () => {
  let registered = false;
  const watched = posthouse("services --watch -o json", {
    until(out) {
      if (!registered) {
        registered = true;
        void control.client.registry.register({ namespace: "default", service: "carts", id: "1" }, registration);
      }
      return out.includes("carts");
    },
  });
  const { code, out } = await watched;
  expect(code).toBe(130);
  const lines = out.trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(1);
  for (const line of lines) expect(JSON.parse(line)).toEqual(expect.any(Array));
});

test("a token is created, used, and revoked", async () => {
  const made = await posthouse("tokens create ci --policy viewer --ttl-seconds 600");
  const token = made.out.trim();
  expect(made).toMatchObject({ code: 0, err: expect.stringContaining("viewer") as string });
  const asCi = { environment: { POSTHOUSE_TOKEN: token } };
  expect((await posthouse("services", asCi)).code).toBe(0);
  expect(await posthouse("tokens", asCi)).toMatchObject({
    code: 4,
    err: expect.stringContaining("HTTP_FORBIDDEN") as string,
  });
  const id = token.split("_")[1] ?? "";
  expect((await posthouse(`tokens revoke ${id}`)).out).toBe(`token ${id} is revoked\n`);
  expect((await posthouse("services", asCi)).code).toBe(4);
});

test("config: put, secret, get, delete, history, diff", async () => {
  expect((await posthouse("config put orders app.yaml", { input: "a: 1\nb: 1\n" })).out).toBe(
    "default/orders/default@1 is released\n",
  );
  expect(await posthouse("config diff orders")).toMatchObject({
    code: 2,
    err: expect.stringContaining("only one release") as string,
  });
  await posthouse("config put orders app.yaml", { input: "a: 2\nb: 1\n" });
  const changed = await posthouse("config diff orders");
  expect(changed).toMatchObject({ code: 0, out: "changed app.yaml\n  -a: 1\n  +a: 2\n" });
  expect((await posthouse("config diff orders --exit-code")).code).toBe(1);
  expect(await posthouse("config diff orders --from live --exit-code")).toMatchObject({ code: 0, out: "" });

  await posthouse("config put orders db.password --secret", { input: "hunter2" });
  const list = await posthouse("config get orders");
  expect(cells(list.out)).toContainEqual(["db.password", "text", "default@3", "yes"]);
  expect(list.out).not.toContain("hunter2");
  expect((await posthouse("config get orders db.password")).out).not.toContain("hunter2");

  expect((await posthouse("config delete orders db.password --reason unused")).out).toBe(
    "default/orders/default@4 is released without db.password\n",
  );
  expect(await posthouse("config delete orders db.password")).toMatchObject({
    code: 3,
    err: expect.stringContaining("CONFIG_KEY_NOT_FOUND") as string,
  });
  const history = await posthouse("config history orders -o tsv");
  expect(history.out.split("\n").map((line) => line.split("\t")[0])).toEqual(["4", "3", "2", "1", ""]);
});

test("every verb that takes a set takes the names that others print, labels and namespaces among them", async () => {
  await posthouse("config put test/shop/prod@blue app.yaml", { input: "a: 1\n" });
  await posthouse("config put test/shop/prod@blue app.yaml", { input: "a: 2\n" });
  const { out } = await posthouse("config releases -o tsv --namespace test");
  const [id] = out.split("\t");
  expect(id).toBe("test/shop/prod@blue");
  expect((await posthouse(`config get ${id} app.yaml`)).out).toBe("a: 2\n");
  for (const line of [`config get ${id}`, `config history ${id}`, `config diff ${id}`, `rollouts ${id}`]) {
    expect(await posthouse(line)).toMatchObject({ code: 0 });
  }
  expect((await posthouse(`config rollback ${id} 1`)).out).toContain("test/shop/prod@blue@3");
  expect((await posthouse(`config delete ${id} app.yaml`)).code).toBe(0);
});

test.each([
  ["config get A/b", "CLI_ARGUMENT_INVALID", "NAMESPACE/APP/PROFILE"],
  ["config get test/a/b --namespace prod", "CLI_ARGUMENT_INVALID", "--namespace"],
  ["config rollback orders one", "CLI_ARGUMENT_INVALID", "whole number"],
  ["config put orders k nowhere.txt", "CLI_FILE_UNREADABLE", "nowhere.txt"],
  ["config import x --dry-run --draft", "CLI_ARGUMENT_INVALID", "exclude each other"],
  ["config export", "error", "--out"],
  ["config export --out x.zip --at 1", "CLI_ARGUMENT_INVALID", "--at needs one set"],
  ["deregister orders orders-1 --drain soon", "CLI_ARGUMENT_INVALID", "--drain"],
  ["gateway validate nowhere.yaml", "CLI_FILE_UNREADABLE", "nowhere.yaml"],
  ["completion tcsh", "CLI_ARGUMENT_INVALID", "bash, zsh or fish"],
  ["exec --config A_B -- true", "error", "NAMESPACE/APP/PROFILE"],
  ["servces", "error", "services"],
])("posthouse %s is wrong usage, by a code that fits", async (line, code, words) => {
  const { code: exit, out, err } = await posthouse(line);
  expect([exit, out]).toEqual([2, ""]);
  expect(err).toContain(code);
  expect(err).toContain(words);
});

test("without a token a command says how to give one, and never on the command line", async () => {
  const { code, err } = await run(["services"]);
  expect(code).toBe(4);
  expect(err).toContain("export POSTHOUSE_TOKEN=");
  expect(err).not.toMatch(/--token (?!-\n)/);
});
