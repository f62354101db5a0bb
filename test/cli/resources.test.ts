/** apply, plan and diff: the life of resources at a real control plane. */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, startPosthouse, tempFolder, type TempFolder } from "#test/kit";
import { heldKeys, key } from "../config-server/secrets-kit.ts";
import { changedLines } from "../../cli/resources/diff-lines.ts";
import { type ListeningControl, run, withListeningControl } from "./kit.ts";

let control: ListeningControl;
let folder: TempFolder;
beforeAll(async () => {
  control = await withListeningControl({ secretKeys: heldKeys(key("a", 1)) });
  folder = await tempFolder();
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const save = (name: string, text: string) => writeFile(join(folder.path, name), text);
const posthouse = (line: string, environment: Record<string, string> = {}) =>
  control.posthouse(line.replaceAll("DIR", folder.path), { environment });

const POLICY = "kind: ServicePolicy\nmetadata: { name: orders }\nspec: { minHealthyPercent: 40 }\n";
const INSTANCE =
  "kind: Instance\nmetadata: { service: legacy, name: legacy-1 }\n" +
  "spec: { address: 127.0.0.1, port: 4444, checks: [{ id: t, type: ttl, ttlSeconds: 60 }] }\n";
const SET =
  "kind: ConfigSet\nmetadata: { name: orders, profile: prod }\nspec:\n  keys:\n    app.yaml: |\n      pool: 5\n" +
  "    db.password: { env: DB_PASSWORD, secret: true }\n    note.txt: { file: note.txt }\n";
const GATEWAY =
  "kind: GatewayConfig\nmetadata: {}\nspec: { routes: [{ name: orders, match: { path: { prefix: /orders } }, service: orders }] }\n";
const FLAGS = "kind: FlagSet\nmetadata: { name: orders, profile: prod }\nspec: { flags: {} }\n";
const RULES = "kind: EnvironmentRules\nmetadata: { name: staging }\nspec: { review: optional, limits: { keys: 50 } }\n";
const TOKEN = "kind: Token\nmetadata: { name: ci }\nspec: { policies: [viewer], ttlSeconds: 3600 }\n";

const env = { DB_PASSWORD: "hunter2" };
const outcomes = (text: string) =>
  Object.fromEntries(
    text
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((line) => line.split("\t"))
      .map(([kind, name, action, outcome]) => [`${kind} ${name}`, `${action} ${outcome}`]),
  );

test("resources are planned, applied, changed, and removed when no longer described", async () => {
  await save("note.txt", "a note");
  await save("all.yaml", [POLICY, INSTANCE, SET, GATEWAY, FLAGS, RULES, TOKEN].join("---\n"));
  const plan = await posthouse("plan -f DIR/all.yaml --owner team", env);
  expect(plan.err).toContain("6 to create");
  expect(plan.out).toContain("+  pool: 5");
  expect(plan.out).not.toContain("hunter2");

  const applied = await posthouse("apply -f DIR/all.yaml --owner team --tokens-to DIR/tokens", env);
  expect(applied.code, applied.err).toBe(0);
  expect(Object.keys(outcomes(applied.out))).toHaveLength(6);
  expect(new Set(Object.values(outcomes(applied.out)))).toEqual(new Set(["create applied"]));
  const secret = join(folder.path, "tokens", "ci.token");
  expect((await stat(secret)).mode & 0o777).toBe(0o600);
  const token = (await readFile(secret, "utf8")).trim();
  expect((await posthouse(`members --token ${token}`)).code).toBe(0);
  expect((await posthouse("config get orders/prod note.txt")).out).toBe("a note");
  expect((await posthouse("route ls -o name")).out).toBe("orders\n");
  // Defaults are not written into the text of the config.
  expect((await posthouse("config get gateway gateway.yaml")).out).not.toContain("importance");

  const again = await posthouse("apply -f DIR/all.yaml --owner team", env);
  expect(new Set(Object.values(outcomes(again.out)))).toEqual(new Set(["unchanged unchanged"]));
  expect((await posthouse("diff -f DIR/all.yaml --owner team --exit-code", env)).code).toBe(0);

  // A changed check is noticed although the server does not return its settings.
  await save(
    "all.yaml",
    [POLICY, INSTANCE.replace("ttlSeconds: 60", "ttlSeconds: 90"), SET.replace("pool: 5", "pool: 9"), FLAGS].join(
      "---\n",
    ),
  );
  const changed = await posthouse("diff -f DIR/all.yaml --owner team --exit-code", env);
  expect(changed.code).toBe(1);
  expect(changed.out).toContain("~ Instance default/legacy/legacy-1: update");
  expect(changed.out).toContain("-  pool: 5\n    +  pool: 9");
  expect(changed.err).toContain("2 to update, 0 to remove, 1 unchanged, 3 no longer described");

  const kept = await posthouse("apply -f DIR/all.yaml --owner team", env);
  expect(outcomes(kept.out)["Token ci"]).toBe("orphaned kept");
  // The owner still knows the resources that were kept.
  const unconfirmed = await posthouse("apply -f DIR/all.yaml --owner team --prune", env);
  expect(unconfirmed).toMatchObject({ code: 2, err: expect.stringContaining("CLI_CONFIRMATION_MISSING") as string });
  const pruned = await posthouse("apply -f DIR/all.yaml --owner team --prune --yes", env);
  expect(pruned.code, pruned.err).toBe(0);
  expect(outcomes(pruned.out)).toMatchObject({
    "Token ci": "delete applied",
    "ConfigSet default/gateway/default": "delete applied",
    "EnvironmentRules staging": "delete applied",
  });
  expect((await posthouse("route ls -o json")).out).toBe("[]\n");
  expect((await posthouse("tokens ls -o json")).out).not.toContain('"ci"');
});

test("keys of others stay, and a key that the document no longer has is removed by --prune", async () => {
  await posthouse("config put web other.txt DIR/note.txt");
  const set = (keys: string) => `kind: ConfigSet\nmetadata: { name: web }\nspec: { keys: ${keys} }\n`;
  await save("web.yaml", set("{ a.txt: one, b.txt: two }"));
  expect((await posthouse("apply -f DIR/web.yaml --owner web")).code).toBe(0);
  await save("web.yaml", set("{ a.txt: one }"));
  expect(outcomes((await posthouse("apply -f DIR/web.yaml --owner web")).out)).toEqual({
    "ConfigSet default/web/default": "unchanged unchanged",
  });
  await save("web.yaml", set("{ a.txt: one, b.txt: two }"));
  await posthouse("apply -f DIR/web.yaml --owner web");
  await save("web.yaml", set("{ a.txt: one }"));
  expect((await posthouse("apply -f DIR/web.yaml --owner web --prune")).code).toBe(0);
  expect((await posthouse("config get web -o name")).out).toBe("a.txt\nother.txt\n");
});

test.each([
  ["kind: Nothing\nmetadata: { name: a }\nspec: {}\n", '"Nothing" is not a kind'],
  [
    "\n\nkind: ServicePolicy\nmetadata: { name: a }\nspec: { minHealthyPercent: 400 }\n",
    "bad.yaml:3: /spec/minHealthyPercent",
  ],
  ["kind: ServicePolicy\nmetadata: { nam: a }\nspec: {}\n", "bad.yaml:1: /metadata"],
  ["a: [\n", "bad.yaml:"],
  [
    "kind: ConfigSet\nmetadata: { name: a }\nspec: { keys: { k: { file: ../../etc/passwd } } }\n",
    "not inside the folder",
  ],
  ["kind: ConfigSet\nmetadata: { name: a }\nspec: { keys: { k: { env: POSTHOUSE_TOKEN } } }\n", "is not set"],
  [`${POLICY}---\n${POLICY}`, "is also in"],
])("a document that is not valid says where, before anything is written: %#", async (text, words) => {
  await save("bad.yaml", text);
  const { code, err } = await posthouse("apply -f DIR/bad.yaml");
  expect([code, err]).toEqual([2, expect.stringContaining(words)]);
});

test("a failure stops the apply, or only that resource with --keep-going; --dry-run writes nothing", async () => {
  const bad = "kind: ConfigSet\nmetadata: { name: bad }\nspec: { keys: { a.json: '{' } }\n";
  const good = "kind: ConfigSet\nmetadata: { name: good }\nspec: { keys: { a.json: '{}' } }\n";
  await save("two.yaml", `${bad}---\n${good}`);
  expect((await posthouse("apply -f DIR/two.yaml --dry-run")).err).toContain("2 to create");
  expect((await posthouse("config releases -o name")).out).not.toContain("good");
  const stopped = await posthouse("apply -f DIR/two.yaml");
  expect([stopped.code, Object.values(outcomes(stopped.out))]).toEqual([1, ["create failed", "create not-tried"]]);
  const going = await posthouse("apply -f DIR/two.yaml --keep-going");
  expect([going.code, Object.values(outcomes(going.out))]).toEqual([1, ["create failed", "create applied"]]);
});

test(
  "a server that is killed in the middle of an apply: a repeated one completes it",
  { timeout: 180_000 },
  async () => {
    await using data = await tempFolder();
    await using posthouse = await startPosthouse({ data: data.path, args: ["--roles", "registry", "config-server"] });
    const { api, token = "" } = posthouse;
    const many = join(folder.path, "many");
    await mkdir(many);
    const documents = Array.from(
      { length: 40 },
      (_, at) => `kind: ConfigSet\nmetadata: { name: app-${at} }\nspec: { keys: { a.txt: "${at}" } }\n`,
    );
    await writeFile(join(many, "all.yaml"), documents.join("---\n"));
    const environment = { POSTHOUSE_CONTROL_URLS: api, POSTHOUSE_TOKEN: token };
    const apply = () => run(["apply", "-f", many, "--owner", "many"], { environment });
    const first = apply();
    await eventually("some are applied", async () => {
      const { out } = await run(["config", "ls", "-o", "name"], { environment });
      return out.includes("app-3/");
    });
    posthouse.kill("SIGKILL");
    expect([1, 6]).toContain((await first).code);
    await posthouse.exited;
    const port = new URL(api).port;
    await using again = await startPosthouse({
      data: data.path,
      args: ["--roles", "registry", "config-server", "--port", port],
    });
    expect(again.api).toBe(api);
    const second = await apply();
    expect(second.code, second.err).toBe(0);
    expect(Object.keys(outcomes(second.out))).toHaveLength(40);
    expect(new Set(Object.values(outcomes((await apply()).out)))).toEqual(new Set(["unchanged unchanged"]));
    await rm(many, { recursive: true });
  },
);

test("changed lines are those of the longest common subsequence", () => {
  expect(changedLines("a\nb\nc\n", "a\nx\nc\nd\n")).toEqual(["-b", "+x", "+d"]);
  expect(changedLines("", "a\n")).toEqual(["+a"]);
  expect(changedLines("a\n", "")).toEqual(["-a"]);
  expect(changedLines("a\n", "a\n")).toEqual([]);
});

test("policies, bindings and tokens are applied in the order that they need each other, and removed in the opposite one", async () => {
  const allow = (action: string) => `rules: [{ effect: allow, actions: ["${action}"], on: { app: [orders] } }]`;
  const policy = (action: string) => `kind: Policy\nmetadata: { name: orders-team }\nspec: { ${allow(action)} }\n`;
  const binding = 'kind: Binding\nmetadata: { name: "group:orders" }\nspec: { policies: [orders-team] }\n';
  const token = (name: string, policies: string) =>
    `kind: Token\nmetadata: { name: ${name} }\nspec: { policies: [${policies}] }\n`;
  const documents = [token("orders-ci", "orders-team"), token("host", "agent"), binding];
  await save("access.yaml", [...documents, policy("config:read")].join("---\n"));
  const apply = "apply -f DIR/access.yaml --owner access --tokens-to DIR/tokens";
  const applied = await posthouse(apply);
  expect(applied.code, applied.err).toBe(0);
  expect(Object.keys(outcomes(applied.out))).toEqual([
    "Policy orders-team",
    "Binding group:orders",
    "Token orders-ci",
    "Token host",
  ]);
  expect(new Set(Object.values(outcomes((await posthouse(apply)).out)))).toEqual(new Set(["unchanged unchanged"]));
  await save("access.yaml", [...documents, policy("config:draft")].join("---\n"));
  const changed = await posthouse("diff -f DIR/access.yaml --owner access --exit-code");
  expect([changed.code, changed.out]).toEqual([1, expect.stringContaining("~ Policy orders-team: update")]);
  expect((await posthouse(apply)).code).toBe(0);
  expect((await posthouse("policy show orders-team -o yaml")).out).toContain("config:draft");
  await save("access.yaml", RULES);
  const pruned = await posthouse("apply -f DIR/access.yaml --owner access --prune --yes");
  expect(pruned.code, pruned.err).toBe(0);
  expect(outcomes(pruned.out)).toMatchObject({
    "Policy orders-team": "delete applied",
    "Token orders-ci": "delete applied",
  });
});
