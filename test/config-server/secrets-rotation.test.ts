/** Keys are changed while instances read, publishers release, members rewrap at the same time, and processes are killed. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Orphans, REWRAP_GRACE_MS } from "#config-server";
import {
  call,
  eventually,
  ManualClock,
  startPosthouse,
  tempFolder,
  type TestControl,
  testHost,
  withControl,
} from "#test/kit";
import { heldKeys, key, PATH, publish, secret, SET, tokensOf, valuesOf } from "./secrets-kit.ts";

const [K1, K2] = [key("k1", 1), key("k2", 2)];
const SECRETS = 1_500;

/** Calls within one process take no turn of the event loop, and would let nothing else have one. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

async function countsOf(control: TestControl): Promise<Record<string, number>> {
  const { json } = await control.call("GET", "/v1/config-secrets");
  return Object.fromEntries((json["keys"] as { id: string; values: number }[]).map(({ id, values }) => [id, values]));
}

test("a key is changed while a reader reads and a publisher releases, and no read fails or tells what never was", async () => {
  const keys = heldKeys(K1);
  await using control = await withControl({ secretKeys: keys });
  const { agent } = await tokensOf(control);
  await publish(control, { password: secret("v0"), token: secret("stays") });
  const before = (await control.call("GET", `${PATH}/releases/1`)).json;
  const stop = new AbortController();
  const bad: unknown[] = [];
  const published = new Set(["v0"]);
  let reads = 0;
  const reading = (async () => {
    while (!stop.signal.aborted) {
      const { status, json } = await control.call("GET", PATH, undefined, agent);
      const values = status === 200 ? valuesOf(json) : {};
      if (!published.has(values["password"] ?? "") || values["token"] !== "stays") bad.push([status, json]);
      reads++;
      await turn();
    }
  })();
  const publishing = (async () => {
    for (let i = 1; !stop.signal.aborted; i++) {
      published.add(`v${i}`);
      const items = { password: secret(`v${i}`), token: secret("••••••") };
      const { status, json } = await control.call("POST", `${PATH}/releases`, { items });
      if (status !== 201) bad.push(json);
      await turn();
    }
  })();
  keys.text = `${K2}\n${K1}`;
  await eventually("all is under the new key", async () => {
    await control.call("POST", "/v1/config-secrets/rewrap");
    const counts = await countsOf(control);
    return (counts["k2"] ?? 0) > 5 && counts["k1"] === 0;
  });
  keys.text = K2;
  await control.call("POST", "/v1/config-secrets/rewrap");
  const readsBefore = reads;
  await eventually("it goes on without the old key", () => reads > readsBefore + 20);
  stop.abort();
  await Promise.all([reading, publishing]);
  expect(bad).toEqual([]);
  expect((await control.call("GET", `${PATH}/releases/1`)).json, "a release never changes").toEqual(before);
  const old = await control.call("POST", `${PATH}/reveal`, {
    key: "password",
    version: 1,
    reason: "the first release",
  });
  expect(old.json["value"], "and the history is read with the new key alone").toBe("v0");
});

test("members that rewrap at the same moment while others release leave all stored secrets readable", async () => {
  await using first = await withControl({ secretKeys: heldKeys(`${K1}\n${K2}`) });
  const apps = Array.from({ length: 12 }, (_, i) => `/v1/config/default/app-${i}/default`);
  const items = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key-${i}`, secret(`value ${i}`)]));
  await Promise.all(apps.map((path) => publish(first, items, path)));
  const both = `${K2}\n${K1}`;
  await using second = await withControl({
    host: testHost({ seed: 2 }),
    store: first.store,
    secretKeys: heldKeys(both),
  });
  await using third = await withControl({
    host: testHost({ seed: 3 }),
    store: first.store,
    secretKeys: heldKeys(both),
  });
  await Promise.all([
    ...[second, third, second, third].map((one) => one.call("POST", "/v1/config-secrets/rewrap")),
    ...apps.map((path) => first.call("POST", `${path}/releases`, { items: { ...items, extra: secret("late") } })),
  ]);
  await second.call("POST", "/v1/config-secrets/rewrap");
  expect(await countsOf(second)).toEqual({ k2: 12 * 21, k1: 0 });
  await using last = await withControl({ host: testHost({ seed: 4 }), store: first.store, secretKeys: heldKeys(K2) });
  const { agent } = await tokensOf(last);
  for (const path of apps) {
    const values = valuesOf((await last.call("GET", path, undefined, agent)).json);
    expect([Object.keys(values).length, values["key-7"], values["extra"]]).toEqual([21, "value 7", "late"]);
  }
});

test("stored secrets move to a new key automatically, once other members have had time to load it", async () => {
  const keys = heldKeys(K1, 1_000);
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }), secretKeys: keys });
  const { json } = await control.call("POST", `${PATH}/releases`, { items: { a: secret("1") } });
  expect(json["version"]).toBe(1);
  await clock.advance(REWRAP_GRACE_MS);
  keys.text = `${K2}\n${K1}`;
  await clock.advance(1_000);
  expect(await countsOf(control)).toEqual({ k2: 0, k1: 1 });
  await clock.advance(REWRAP_GRACE_MS + 1_000);
  await eventually("it is", async () => (await countsOf(control))["k2"] === 1);
});

test("metrics tell how many values need which key, and forget a key that is gone", async () => {
  const keys = heldKeys(K1);
  await using control = await withControl({ secretKeys: keys });
  await publish(control, { a: secret("1"), b: secret("2") });
  const metric = async () => {
    await countsOf(control);
    const { payload } = await control.app.inject({ url: "/metrics" });
    return [...payload.matchAll(/^posthouse_config_secrets\{key="(\w+)"\} (\d+)$/gm)].map(([, id, n]) => `${id} ${n}`);
  };
  expect(await metric()).toEqual(["k1 2"]);
  keys.text = `${K2}\n${K1}`;
  await control.call("POST", "/v1/config-secrets/rewrap");
  expect((await metric()).toSorted()).toEqual(["k1 0", "k2 2"]);
  keys.text = K2;
  await control.call("POST", "/v1/config-secrets/rewrap");
  expect(await metric()).toEqual(["k2 2"]);
});

test("a process killed while it rewraps leaves some secrets under each key, and continues after a restart", async () => {
  await using folder = await tempFolder();
  const file = join(folder.path, "keys");
  const write = (...lines: string[]) => writeFile(file, lines.join("\n"), { mode: 0o600 });
  await write(K1);
  const options = {
    data: join(folder.path, "data"),
    args: ["--secret-key-file", file, "--roles", "registry,config-server", "--dns", "off"],
  };
  const expected = Object.fromEntries(Array.from({ length: SECRETS }, (_, i) => [`key-${i}`, `value ${i}`]));
  let token: string | undefined;
  let agent: string | undefined;
  const counts = async (api: string) => {
    const { json } = await call(`${api}/v1/config-secrets`, { token });
    const found = json["keys"] as { id: string; values: number }[];
    return (id: string) => found.find((one) => one.id === id)?.values ?? 0;
  };
  {
    await using process = await startPosthouse(options);
    ({ token } = process);
    const made = await call(`${process.api}/v1/tokens`, {
      method: "POST",
      token,
      body: { name: "a", policies: ["agent"], apps: ["*"] },
    });
    agent = String(made.json["token"]);
    const items = Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, secret(value)]));
    const done = await call(`${process.api}${PATH}/releases`, { method: "POST", token, body: { items } });
    expect(done.status).toBe(201);
  }
  let half = false;
  for (let round = 0; round < 8 && !half; round++) {
    const [to, from, id, old] = round % 2 === 0 ? [K2, K1, "k2", "k1"] : [K1, K2, "k1", "k2"];
    await using process = await startPosthouse(options);
    await write(to, from);
    const wrapping = call(`${process.api}/v1/config-secrets/rewrap`, { method: "POST", token }).catch(() => {});
    await eventually("it has begun", async () => (await counts(process.api))(id) > 0);
    process.kill("SIGKILL");
    await Promise.all([process.exited, wrapping]);
    // The rest is counted before anything is rewrapped, by a process that first learns of a third key.
    await write(key("k3", 3));
    await using after = await startPosthouse(options);
    const of = await counts(after.api);
    half = of(id) > 0 && of(old) > 0;
    expect(of(id) + of(old)).toBe(SECRETS);
    after.kill("SIGKILL");
    await after.exited;
    await write(to, from);
  }
  expect(half, "it was killed half way").toBe(true);
  await write(K2, K1);
  await using process = await startPosthouse(options);
  const { json } = await call(`${process.api}${PATH}`, { token: agent });
  expect(valuesOf(json)).toEqual(expected);
  await call(`${process.api}/v1/config-secrets/rewrap`, { method: "POST", token });
  expect((await counts(process.api))("k2")).toBe(SECRETS);
  await write(K2);
  await call(`${process.api}/v1/config-secrets/rewrap`, { method: "POST", token });
  await process.stop();
  await using last = await startPosthouse(options);
  expect(valuesOf((await call(`${last.api}${PATH}`, { token: agent })).json)).toEqual(expected);
}, 300_000);

test("an operator's client reveals a secret", async () => {
  await using control = await withControl({ secretKeys: heldKeys(K1) });
  await publish(control, { password: secret("v") });
  const revealed = await control.client.config.reveal(SET, { key: "password", reason: "to look" });
  expect(revealed).toEqual({ key: "password", version: 1, format: "text", value: "v" });
});

test("data keys that nothing needs are swept at the second look, and all others stay", async () => {
  await using control = await withControl({ secretKeys: heldKeys(K1) });
  const { agent, editor } = await tokensOf(control);
  const draft = (name: string, value: string) =>
    control.call("PUT", `${PATH}/drafts/${name}`, { value, format: "text", secret: true }, editor);
  await publish(control, { password: secret("1"), token: secret("t") });
  await publish(control, { password: secret("2"), token: secret("••••••") });
  await draft("kept", "d");
  await draft("proposed", "p");
  const proposal = await control.call("POST", `${PATH}/proposals`, { keys: ["proposed"] }, editor);
  await draft("gone", "replaced");
  await draft("gone", "discarded");
  await control.call("DELETE", `${PATH}/drafts/gone`, undefined, editor);
  const refused = { items: { password: secret("refused") }, expectedVersion: 1 };
  expect((await control.call("POST", `${PATH}/releases`, refused)).json["code"]).toBe("CONFIG_VERSION_CONFLICT");
  const counts: number[] = [];
  const orphans = new Orphans(control.host, control.store);
  let seen: ReadonlySet<string> = new Set();
  for (let look = 0; look < 3; look++) {
    counts.push((await countsOf(control))["k1"] ?? 0);
    seen = await orphans.sweep(seen);
  }
  expect(counts).toEqual([8, 8, 5]);
  await control.client.config.rollback(SET, { toVersion: 1 });
  await control.call("POST", `${PATH}/proposals/${String(proposal.json["id"])}/publish`, {});
  const told = async () => valuesOf((await control.call("GET", PATH, undefined, agent)).json);
  await eventually("the proposed value is live", async () => (await told())["proposed"] === "p");
  expect(await told()).toEqual({ password: "1", token: "t", proposed: "p" });
});
