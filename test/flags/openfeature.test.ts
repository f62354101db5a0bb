/** The OpenFeature provider under the real SDK, over a socket to real servers. */
import { spawnSync } from "node:child_process";
import { OpenFeature, ProviderEvents, type Client as SdkClient, type EvaluationDetails } from "@openfeature/server-sdk";
import { expect, test } from "vitest";
import { PosthouseProvider, type PosthouseProviderOptions } from "../../client/openfeature.ts";
import {
  call,
  eventually,
  freePort,
  type Posthouse,
  projectRoot,
  startPosthouse,
  tempFolder,
  withControl,
  type TestControl,
} from "#test/kit";

const FLAGS = `flags:
  checkout:
    variants: { on: true, off: false }
    defaultVariant: off
    rules:
      - { name: staff, when: { attribute: email, endsWith: "@example.com" }, variant: on }
      - { when: { attribute: country, equals: CH }, split: { on: 50, off: 50 } }
  color: { variants: { warm: red }, defaultVariant: warm }
  limit: { variants: { low: 10 }, defaultVariant: low }
  plan: { variants: { free: { seats: [1, 2] } }, defaultVariant: free }
`;

interface Served extends AsyncDisposable {
  readonly control: TestControl;
  readonly url: string;
  release(value: string): Promise<void>;
}

async function served(value = FLAGS): Promise<Served> {
  const control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  const release = async (text: string) => {
    await control.client.config.publish(
      { namespace: "default", app: "orders", profile: "default" },
      { items: { "flags.yaml": { format: "yaml", value: text } } },
    );
  };
  await release(value);
  return { control, url, release, [Symbol.asyncDispose]: () => control[Symbol.asyncDispose]() };
}

interface Sdk extends AsyncDisposable {
  readonly client: SdkClient;
  readonly ready: Promise<void>;
  /** Events in order, as `EVENT flag,flag`. */
  readonly events: string[];
}

let domains = 0;

/** A provider under a domain of its own, so that tests do not share one. */
function sdk(options: PosthouseProviderOptions): Sdk {
  const domain = `test-${domains++}`;
  const client = OpenFeature.getClient(domain);
  const events: string[] = [];
  for (const event of Object.values(ProviderEvents)) {
    client.addHandler(event as ProviderEvents.ConfigurationChanged, (details) => {
      events.push([event, ...(details?.flagsChanged ?? [])].join(" "));
    });
  }
  const provider = new PosthouseProvider(options);
  const ready = OpenFeature.setProviderAndWait(domain, provider);
  return { client, ready, events, [Symbol.asyncDispose]: () => provider.onClose() };
}

const READER = "app";
async function readerOf(control: TestControl): Promise<string> {
  const { json } = await control.call("POST", "/v1/tokens", { name: READER, policies: ["viewer"] });
  return String(json["token"]);
}

test("the SDK gets values of all four types, with variant, reason and the release", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: await readerOf(server.control), app: "orders" });
  await it.ready;
  const { client } = it;
  expect(await client.getBooleanValue("checkout", true)).toBe(false);
  expect(await client.getStringValue("color", "blue")).toBe("red");
  expect(await client.getNumberValue("limit", 0)).toBe(10);
  expect(await client.getObjectValue("plan", {})).toEqual({ seats: [1, 2] });
  const { releaseKey } = await server.control.client.config.effective({
    namespace: "default",
    app: "orders",
    profile: "default",
  });
  expect(await client.getBooleanDetails("checkout", false, { email: "ann@example.com" })).toEqual({
    flagKey: "checkout",
    value: true,
    variant: "on",
    reason: "TARGETING_MATCH",
    flagMetadata: { profile: "default", version: 1, releaseKey, rule: "staff" },
  });
  const split = await client.getBooleanDetails("checkout", false, { country: "CH", targetingKey: "u1" });
  expect(split.reason).toBe("SPLIT");
});

test("the same user gets the same variant in process and over OFREP", async () => {
  await using server = await served();
  const token = await readerOf(server.control);
  await using it = sdk({ url: server.url, token, app: "orders" });
  await it.ready;
  for (let user = 0; user < 50; user++) {
    const context = { country: "CH", targetingKey: `u${user}` };
    const { json } = await call(`${server.url}/v1/flags/default/orders/default/ofrep/v1/evaluate/flags/checkout`, {
      method: "POST",
      token,
      body: { context },
    });
    expect(await it.client.getBooleanValue("checkout", false, context)).toBe(json["value"]);
  }
});

test("an unknown flag, another type and a missing key give the caller's value and the SDK's code", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: server.control.token, app: "orders" });
  await it.ready;
  const code = ({ errorCode, value, reason }: EvaluationDetails<never>) => [errorCode, value, reason];
  const { client } = it;
  expect(code((await client.getBooleanDetails("nope", true)) as never)).toEqual(["FLAG_NOT_FOUND", true, "ERROR"]);
  expect(code((await client.getStringDetails("checkout", "x")) as never)).toEqual(["TYPE_MISMATCH", "x", "ERROR"]);
  expect(code((await client.getNumberDetails("plan", 7)) as never)).toEqual(["TYPE_MISMATCH", 7, "ERROR"]);
  expect(code((await client.getBooleanDetails("checkout", true, { country: "CH" })) as never)).toEqual([
    "TARGETING_KEY_MISSING",
    true,
    "ERROR",
  ]);
});

test("hooks see the variant, the metadata, and errors", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: server.control.token, app: "orders" });
  await it.ready;
  const seen: unknown[] = [];
  it.client.addHooks({
    after: ({ flagKey }, { variant, flagMetadata }) => void seen.push([flagKey, variant, flagMetadata["version"]]),
    error: ({ flagKey }, error) => void seen.push([flagKey, (error as { code?: string }).code]),
  });
  await it.client.getStringValue("color", "blue");
  await it.client.getStringValue("nope", "blue");
  expect(seen).toEqual([
    ["color", "warm", 1],
    ["nope", "FLAG_NOT_FOUND"],
  ]);
});

test("a release reaches the SDK as a change of the flags that are other, and a rollback turns it back", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: server.control.token, app: "orders" });
  await it.ready;
  await server.release(
    FLAGS.replace("red", "orange").replace("  limit: { variants: { low: 10 }, defaultVariant: low }\n", ""),
  );
  await eventually("the change is reported", () => it.events.includes("PROVIDER_CONFIGURATION_CHANGED color limit"));
  expect(await it.client.getStringValue("color", "blue")).toBe("orange");
  expect(await it.client.getNumberValue("limit", 0)).toBe(0);
  await server.control.client.config.rollback(
    { namespace: "default", app: "orders", profile: "default" },
    { toVersion: 1 },
  );
  await eventually("it is red again", async () => (await it.client.getStringValue("color", "blue")) === "red");
  expect(it.events).toEqual([
    "PROVIDER_READY",
    "PROVIDER_CONFIGURATION_CHANGED color limit",
    "PROVIDER_CONFIGURATION_CHANGED color limit",
  ]);
});

test("a release that changes no flag does not report a change, though answers name the release", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: server.control.token, app: "orders" });
  await it.ready;
  await server.release(`${FLAGS}# a remark\n`);
  await eventually("the release is named", async () => {
    const { flagMetadata } = await it.client.getStringDetails("color", "blue");
    return flagMetadata["version"] === 2;
  });
  expect(it.events).toEqual(["PROVIDER_READY"]);
});

test("without a release the provider is ready and has no flags, until there are some", async () => {
  await using server = await served("");
  await using it = sdk({ url: server.url, token: server.control.token, app: "later" });
  await it.ready;
  expect((await it.client.getBooleanDetails("checkout", true)).errorCode).toBe("FLAG_NOT_FOUND");
  await server.control.client.config.publish(
    { namespace: "default", app: "later", profile: "default" },
    { items: { "flags.yaml": { format: "yaml", value: FLAGS } } },
  );
  await eventually("they are there", async () => (await it.client.getStringValue("color", "blue")) === "red");
});

test("flags that cannot be read are an error, and those before them are served on", async () => {
  // This server does not check flags, like one of an older version.
  await using server = await served();
  await using it = sdk({ url: server.url, token: server.control.token, app: "orders" });
  await it.ready;
  await server.release("flags: { color: {} }");
  await eventually("the error is reported", () => it.events.at(-1) === "PROVIDER_ERROR");
  expect(await it.client.getStringValue("color", "blue")).toBe("red");
  await server.release(FLAGS.replace("red", "orange"));
  await eventually("it is ready again", () => it.events.at(-1) === "PROVIDER_READY");
  expect(await it.client.getStringValue("color", "blue")).toBe("orange");
});

test("a token that is refused is fatal at once, and no flags are made up", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: "ph_wrong", app: "orders" });
  await expect(it.ready).rejects.toMatchObject({ code: "PROVIDER_FATAL" });
  expect(await it.client.getBooleanDetails("checkout", true)).toMatchObject({
    value: true,
    errorCode: "PROVIDER_FATAL",
  });
});

test("a server that is away makes initialize fail in time, and the provider ready once it comes", async () => {
  await using folder = await tempFolder();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const start = () => startPosthouse({ data: folder.path, args: ["--port", String(port)] });
  let token = "";
  {
    await using first = await start();
    token = first.token ?? "";
    await publish(first, token, FLAGS);
    await first.stop();
  }
  await using it = sdk({ url, token, app: "orders", initializeMs: 300 });
  await expect(it.ready).rejects.toThrow(/No flags from .* within 300 ms: .*No answer from/);
  expect(await it.client.getStringValue("color", "blue")).toBe("blue");
  await using _second = await start();
  await eventually("it is ready", () => it.events.at(-1) === "PROVIDER_READY");
  expect(await it.client.getStringValue("color", "blue")).toBe("red");
});

test("while the server is killed flags are stale and served, and after its return they are ready and new", async () => {
  await using folder = await tempFolder();
  const port = await freePort();
  const start = () => startPosthouse({ data: folder.path, args: ["--port", String(port)] });
  await using first = await start();
  const token = first.token ?? "";
  await publish(first, token, FLAGS);
  await using it = sdk({ url: first.api, token, app: "orders" });
  await it.ready;
  first.kill("SIGKILL");
  await first.exited;
  await eventually("it is stale", () => it.events.at(-1) === "PROVIDER_STALE");
  expect(await it.client.getStringValue("color", "blue")).toBe("red");
  await using second = await start();
  await eventually("it is ready", () => it.events.at(-1) === "PROVIDER_READY");
  await publish(second, token, FLAGS.replace("red", "orange"));
  await eventually("it is new", async () => (await it.client.getStringValue("color", "blue")) === "orange");
});

async function publish({ api }: Posthouse, token: string, value: string): Promise<void> {
  const { status, text } = await call(`${api}/v1/config/default/orders/default/releases`, {
    method: "POST",
    token,
    body: { items: { "flags.yaml": { format: "yaml", value } } },
  });
  expect(status, text).toBe(201);
}

test("a store that came back older does not take flags back, until it has passed what was known", async () => {
  const port = await freePort();
  await using folder = await tempFolder();
  const memory = () => startPosthouse({ data: folder.path, args: ["--store", "memory", "--port", String(port)] });
  await using first = await memory();
  let token = first.token ?? "";
  // Far more revisions than a start writes: the second store is then surely younger when its first answer arrives.
  for (let version = 1; version < 20; version++) await publish(first, token, FLAGS.replace("red", `red${version}`));
  await publish(first, token, FLAGS.replace("red", "orange"));
  await using it = sdk({ url: first.api, token: () => token, app: "orders" });
  await it.ready;
  first.kill("SIGKILL");
  await first.exited;
  await using second = await memory();
  token = second.token ?? "";
  await eventually("the older store is reported", () => it.events.includes("PROVIDER_ERROR"));
  const told = it.events.lastIndexOf("PROVIDER_ERROR");
  expect(await it.client.getStringValue("color", "blue")).toBe("orange");
  for (let version = 1; version < 40; version++) await publish(second, token, FLAGS.replace("red", `red${version}`));
  await eventually("it is taken over", async () => (await it.client.getStringValue("color", "blue")) === "red39");
  expect(it.events.slice(told)).toContain("PROVIDER_CONFIGURATION_CHANGED color");
});

test("a closed provider follows nothing any more", async () => {
  await using server = await served();
  await using it = sdk({ url: server.url, token: server.control.token, app: "orders" });
  await it.ready;
  const watches = async () => {
    const { text } = await server.control.host.metrics.expose();
    return Number(/^posthouse_watch_subscribers\{watch="config"\} (\d+)$/m.exec(text)?.[1]);
  };
  expect(await watches()).toBe(1);
  await it[Symbol.asyncDispose]();
  await eventually("the watch has ended", async () => (await watches()) === 0);
});

test("loading the provider loads neither the SDK nor the server", () => {
  const script = `
    import { registerHooks } from "node:module";
    const packages = new Set();
    registerHooks({ resolve(specifier, context, next) {
      const found = next(specifier, context);
      const name = /node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(found.url)?.[1];
      if (name) packages.add(name);
      return found;
    } });
    await import("./client/openfeature.ts");
    console.log(JSON.stringify([...packages]));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: projectRoot,
    encoding: "utf8",
  });
  const packages = JSON.parse(stdout || `"${stderr}"`) as string[];
  expect(packages).toContain("undici");
  expect(packages.filter((name) => /^@openfeature|fastify|^lmdb|grpc|etcd|^ajv/.test(name))).toEqual([]);
});
