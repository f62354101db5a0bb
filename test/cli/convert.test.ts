/** Exports of other products, in their published forms, become config that a real control plane imports. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createHash } from "node:crypto";
import { zipSync } from "fflate";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { tempFolder } from "#test/kit";
import { type ListeningControl, run, withListeningControl } from "./kit.ts";

let control: ListeningControl;
let folder: Awaited<ReturnType<typeof tempFolder>>;
beforeAll(async () => {
  folder = await tempFolder();
  control = await withListeningControl();
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

let count = 0;

/** Converts an export: its path, or the files of a zip. */
async function convert(product: string, given: string | Record<string, string>, ...options: string[]) {
  const out = join(folder.path, `out-${count++}`);
  let path = given;
  if (typeof path !== "string") {
    const entries = Object.entries(path).map(([name, text]): [string, Uint8Array] => [name, Buffer.from(text)]);
    path = `${out}.zip`;
    await writeFile(path, zipSync(Object.fromEntries(entries)));
  }
  const { code, err, out: printed } = await run(["convert", product, path, "--out", out, ...options]);
  const names = (await readdir(out, { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(out.length + 1));
  const files: Record<string, string> = {};
  for (const name of names.toSorted()) files[name] = await readFile(join(out, name), "utf8");
  return { code, printed, notes: err.split("\n").filter(Boolean), files, out };
}

async function save(name: string, text: string): Promise<string> {
  const path = join(folder.path, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
}

/** The control plane accepts the result; a namespace of its own keeps the tests apart. */
async function expectImported(out: string, ...options: string[]): Promise<void> {
  const { code, err } = await control.posthouse(["config", "import", out, "--dry-run", ...options].join(" "));
  expect(code, err).toBe(0);
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

test("consul-kv: the first part below the prefix is the app and the profile, the rest is the key", async () => {
  const entries = [
    { key: "config/orders/", flags: 0, value: "" },
    { key: "config/orders/db/url", flags: 0, value: base64("pg://db") },
    { key: "config/orders,prod/data", flags: 0, value: base64("pool: 5\n") },
    { key: "config/Billing_Api/data", flags: 7, value: base64("pool=5\n") },
    { key: "config/lonely", flags: 0, value: base64("1") },
    { key: "other/x/y", flags: 0, value: base64("1") },
  ];
  const path = await save("consul.json", JSON.stringify(entries));
  const { code, files, notes, out } = await convert("consul-kv", path, "--prefix", "config/");
  expect(code).toBe(0);
  expect(files).toEqual({
    "default/billing-api/default/data.properties": "pool=5\n",
    "default/orders/default/db.url": "pg://db",
    "default/orders/prod/data.yaml": "pool: 5\n",
  });
  expect(notes.join("\n")).toMatch(/Billing_Api.*flags \(7\)/);
  expect(notes.join("\n")).toMatch(/"Billing_Api" is now "billing-api"/);
  expect(notes.join("\n")).toMatch(/config\/lonely: not converted/);
  expect(notes).toHaveLength(3);
  await expectImported(out);
});

test("consul-kv: the list of the HTTP API is read as well", async () => {
  const path = await save("kv.json", JSON.stringify([{ LockIndex: 0, Key: "a/b", Flags: 0, Value: base64("1") }]));
  expect((await convert("consul-kv", path, "--namespace", "prod")).files).toEqual({ "prod/a/default/b": "1" });
});

test("nacos: profiles are found by the other data ids or as given; types and apps come from the metadata", async () => {
  const metadata = `metadata:
- {appName: '', dataId: orders.yaml, desc: '', group: DEFAULT_GROUP, type: yaml}
- {appName: shop, dataId: cart, desc: cart, group: DEFAULT_GROUP, type: json}
`;
  const { files, notes, out } = await convert(
    "nacos",
    {
      "DEFAULT_GROUP/orders.yaml": "pool: 1\n",
      "DEFAULT_GROUP/orders-prod.yaml": "pool: 9\n",
      "DEFAULT_GROUP/user-service-test.properties": "a=1\n",
      "DEFAULT_GROUP/cart": "{}",
      "PAY/orders.yaml": "pool: 2\n",
      ".metadata.yml": metadata,
    },
    "--profiles",
    "test",
  );
  expect(files).toEqual({
    "default/orders/default/orders.yaml": "pool: 1\n",
    "default/orders/prod/orders-prod.yaml": "pool: 9\n",
    "default/shop/default/cart.json": "{}",
    "default/user-service/test/user-service-test.properties": "a=1\n",
  });
  expect(notes.join("\n")).toMatch(/PAY\/orders.yaml: the group "PAY"/);
  expect(notes.join("\n")).toMatch(/PAY\/orders.yaml: not converted, because .*already has another value/);
  await expectImported(out);
});

test("nacos: one group alone, and the metadata of earlier versions", async () => {
  const given = { "PAY/a.yaml": "x: 1\n", "DEFAULT_GROUP/b.yaml": "x: 2\n", ".meta.yml": "PAY.a~yaml.app=billing\r\n" };
  const { files } = await convert("nacos", given, "--prefix", "PAY", "--namespace", "prod");
  expect(files).toEqual({ "prod/billing/default/a.yaml": "x: 1\n" });
});

test("apollo: environments are namespaces, clusters are profiles, namespaces are keys", async () => {
  const given = {
    "apollo/100004458/app.metadata": "{}",
    "apollo/100004458/DEV/default.cluster.metadata": "{}",
    "apollo/100004458/DEV/100004458+default+application.properties": "timeout = 100\n",
    "apollo/100004458/DEV/100004458+shanghai+application.properties": "timeout = 200\n",
    "apollo/100004458/PRO/100004458+default+redis.yml": "host: a\n",
    "apollo/100004458/PRO/strange.txt": "x",
    "100004458+TEST1.redis.appnamespace.metadata": '{"name":"TEST1.redis","appId":"100004458","isPublic":true}',
  };
  const { files, notes, out } = await convert("apollo", given);
  expect(files).toEqual({
    "dev/100004458/default/application.properties": "timeout = 100\n",
    "dev/100004458/shanghai/application.properties": "timeout = 200\n",
    "pro/100004458/default/redis.yml": "host: a\n",
  });
  expect(notes.join("\n")).toMatch(/public.*"TEST1.redis" need "- 100004458" in their key imports.yaml/);
  expect(notes.join("\n")).toMatch(/strange.txt: not converted/);
  await expectImported(out);
});

test("spring-config: the shared files are an app that the others import", async () => {
  const root = join(folder.path, "config-repo");
  for (const [name, text] of Object.entries({
    "application.yml": "logging: info\n",
    "application-prod.yml": "logging: warn\n",
    "orders.yml": "pool: 1\n",
    "user-service-prod.properties": "password={cipher}AQB\n",
    "cart/application-dev.yml": "spring:\n  config:\n    activate:\n      on-profile: dev\n",
    "README.md": "# Config\n",
  })) {
    await save(`config-repo/${name}`, text);
  }
  const { files, notes, out } = await convert("spring-config", root, "--namespace", "shop");
  expect(files).toEqual({
    "shop/application/default/application.yml": "logging: info\n",
    "shop/application/prod/application-prod.yml": "logging: warn\n",
    "shop/cart/default/imports.yaml": "- application\n",
    "shop/cart/dev/application-dev.yml": expect.any(String),
    "shop/orders/default/imports.yaml": "- application\n",
    "shop/orders/default/orders.yml": "pool: 1\n",
    "shop/user-service/default/imports.yaml": "- application\n",
    "shop/user-service/prod/user-service-prod.properties": "password={cipher}AQB\n",
  });
  expect(notes.join("\n")).toMatch(/README.md: not converted/);
  expect(notes.join("\n")).toMatch(/user-service-prod.properties: has values that Spring encrypted/);
  expect(notes.join("\n")).toMatch(/cart.*single profiles/);
  await expectImported(out);
  const imported = await control.posthouse(`config import ${out} --reason converted`);
  expect(imported.code).toBe(0);
  const effective = await control.posthouse("config get orders/prod --namespace shop");
  for (const key of ["application.yml", "application-prod.yml", "orders.yml"]) expect(effective.out).toContain(key);
});

const KONG = `_format_version: "3.0"
plugins:
- name: prometheus
- name: cors
  config: { origins: [https://app.example], credentials: true, max_age: 100000 }
upstreams:
- name: orders.upstream
  algorithm: least-connections
  targets: [{ target: "10.0.0.1:4001", weight: 50 }, { target: "10.0.0.2:4001" }]
services:
- name: orders
  host: orders.upstream
  path: /v2
  retries: 9
  read_timeout: 5000
  plugins:
  - { name: rate-limiting, config: { second: 5, hour: 100, day: 1000, policy: redis } }
  routes:
  - { name: list, paths: [/orders, "~/o/\\\\d+$"], methods: [GET] }
  - { name: raw, paths: [/raw/], strip_path: false, preserve_host: true, headers: { x-team: [a, b] } }
- name: billing
  url: https://billing.example/
  routes:
  - name: pay
    hosts: [pay.example, "*.pay.example"]
    paths: [/pay]
    protocols: [https]
    https_redirect_status_code: 301
    plugins:
    - { name: key-auth, config: { key_names: [x-key] } }
    - { name: acl, config: { allow: [gold] } }
    - { name: rate-limiting, config: { minute: 60 } }
    - { name: request-transformer, config: { add: { headers: ["x-from:kong"], querystring: ["a:1"] }, remove: { headers: [cookie] } } }
    - { name: request-size-limiting, config: { allowed_payload_size: 2 } }
    - { name: bot-detection }
- { name: rows, host: 10.0.0.9, protocol: tcp, routes: [{ name: tcp, protocols: [tcp] }] }
- name: old
  host: 10.0.0.8
  routes: [{ name: gone, paths: [/gone] }]
  plugins: [{ name: request-termination, config: { status_code: 410, message: gone } }]
consumers:
- { username: acme, acls: [{ group: gold }], keyauth_credentials: [{ key: secret-1 }], basicauth_credentials: [{ username: a }] }
certificates: [{ cert: x, key: y }]
`;

interface Gateway {
  readonly consumers: readonly { readonly keys: readonly { readonly sha256: string }[] }[];
  readonly clusters: readonly Record<string, unknown>[];
  readonly routes: readonly Record<string, unknown>[];
}

test("kong: services, routes, consumers and plugins become a valid config of the gateway", async () => {
  const { code, files, notes, out } = await convert("kong", await save("kong.yaml", KONG));
  expect(code).toBe(0);
  expect(Object.keys(files)).toEqual(["default/gateway/default/gateway.yaml"]);
  const text = files["default/gateway/default/gateway.yaml"] as string;
  expect(text).not.toContain("secret-1");
  const config = parse(text) as Gateway;
  const valid = await run(["gateway", "validate", join(out, "default/gateway/default/gateway.yaml")]);
  expect([valid.err, valid.code]).toEqual(["", 0]);
  expect(config.consumers[0]?.keys[0]?.sha256).toBe(createHash("sha256").update("secret-1").digest("hex"));
  expect(config.clusters).toEqual([
    {
      name: "orders",
      endpoints: [
        { address: "10.0.0.1", port: 4001, weight: 50 },
        { address: "10.0.0.2", port: 4001 },
      ],
      timeouts: { headersMs: 5000, idleMs: 5000 },
    },
    { name: "billing", endpoints: [{ address: "billing.example", port: 443, protocol: "https" }] },
    { name: "old", endpoints: [{ address: "10.0.0.8", port: 80 }] },
  ]);
  const route = (name: string) => config.routes.find((one) => one["name"] === name);
  expect(config.routes.map(({ name }) => name)).toEqual(["list", "list-2", "raw", "pay", "pay-to-https", "gone"]);
  expect(route("list")).toMatchObject({
    match: { methods: ["GET"], path: { prefix: "/orders" } },
    cluster: "orders",
    rewrite: { prefix: "/v2" },
    retry: { attempts: 5 },
    cors: { origins: ["https://app.example"], credentials: true, maxAgeSeconds: 86400 },
    rateLimit: { requests: 5, perSeconds: 1, by: "ip", scope: "cluster" },
    quota: { requests: 1000, per: "day", by: "ip" },
  });
  expect(route("list-2")).toMatchObject({
    match: { path: { regex: "/o/\\d+" } },
    rewrite: { regex: { pattern: "^(?:/o/\\d+)/?", replacement: "/v2/" } },
  });
  expect(route("raw")).toMatchObject({ match: { path: { prefix: "/raw" } }, rewrite: { prefix: "/v2/raw" } });
  expect(route("raw")).toMatchObject({ match: { headers: [{ name: "x-team", regex: "a|b" }] } });
  expect(route("pay")).toMatchObject({
    match: { hosts: ["pay.example", "*.pay.example"], scheme: "https" },
    filters: [
      { name: "key-auth", config: { header: "x-key" } },
      { name: "consumer-acl", config: { allow: { groups: ["gold"] } } },
    ],
    rateLimit: { requests: 60, perSeconds: 60, by: "consumer" },
    requestHeaders: { set: { "x-from": "kong" }, remove: ["cookie"] },
    bodyBytesMax: 2_000_000,
  });
  expect(route("pay-to-https")).toMatchObject({
    match: { scheme: "http" },
    redirect: { scheme: "https", status: 301 },
  });
  expect(route("gone")).toMatchObject({ respond: { status: 410, body: '{"message":"gone"}' } });
  for (const expected of [
    "prometheus: dropped",
    "bot-detection: not converted",
    "add.querystring is not converted",
    "only the limit per second",
    'no protocol "tcp"',
    "preserve_host",
    'set `balance`; Kong has "least-connections"',
    "its basicauth_credentials are not converted",
    "certificates: not converted",
    "its certificate is verified now",
  ])
    expect(notes.join("\n")).toContain(expected);
  await expectImported(out);
});

test("an export of another form, an unknown product and a folder in use are rejected with the reason", async () => {
  const text = await save("text.txt", "hello");
  expect((await convert("consul-kv", text)).notes.join("\n")).toContain("CLI_EXPORT_INVALID");
  expect((await convert("kong", text)).notes.join("\n")).toContain("_format_version");
  expect((await convert("kong", await save("bad.yaml", "a: [\n"))).notes.join("\n")).toMatch(/bad\.yaml:\d+:\d+/);
  expect((await convert("etcd", text)).notes.join("\n")).toContain('"etcd" cannot be converted');
  expect((await convert("nacos", await save("bad.zip", "PK broken"))).notes.join("\n")).toContain("not a readable zip");
  expect((await convert("nacos", join(folder.path, "absent"))).notes.join("\n")).toContain("CLI_FILE_UNREADABLE");
  const used = await run(["convert", "consul-kv", text, "--out", folder.path]);
  expect(used.err).toContain("CLI_FOLDER_NOT_EMPTY");
});
