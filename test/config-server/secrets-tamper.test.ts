/** A stored secret can neither be changed nor moved unnoticed, and a lost secret does not hold up any other. */
import { expect, test } from "vitest";
import { decodeJson, encodeJson } from "#base";
import { ConfigServer, SecretKeys } from "#config-server";
import { eventually, type TestControl, testHost, withControl } from "#test/kit";
import { CANARY, heldKeys, key, PATH, publish, secret, SET, tokensOf, valuesOf } from "./secrets-kit.ts";

const RELEASE = "/config/releases/default/orders/default/000000000001";
const DATA_KEYS = "/config/secrets/default/orders/default/";
interface Stored {
  items: Record<string, { format: string; expand?: true; secret: true; sealed: string }>;
}

async function valueAt({ store }: TestControl, at: string): Promise<Uint8Array> {
  const { entries } = await store.range({ prefix: at });
  return entries[0]?.value as Uint8Array;
}

/** Release 1 as a newly started member reads it. */
async function read(control: TestControl, keys = heldKeys(key("k1", 1)), name = SET) {
  const host = testHost();
  const known = new SecretKeys(host, keys);
  await known.load();
  const config = new ConfigServer(host, control.store, [], known);
  const { items } = await config.releases.read(name, 1);
  const open = await config.secrets.open(name, items);
  await config.hub[Symbol.asyncDispose]();
  return open;
}

test("each letter of what is stored of a value matters", async () => {
  await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  await publish(control, { password: secret(CANARY) });
  const stored = decodeJson<Stored>(await valueAt(control, RELEASE));
  const item = stored.items["password"] as Stored["items"][string];
  const put = (sealed: string) =>
    control.store.txn({
      then: [{ type: "put", key: RELEASE, value: encodeJson({ ...stored, items: { password: { ...item, sealed } } }) }],
    });
  const unnoticed: string[] = [];
  for (let at = 0; at < item.sealed.length; at++) {
    for (const letter of [item.sealed[at] === "A" ? "B" : "A", nextOf(item.sealed[at] as string), ""]) {
      const sealed = `${item.sealed.slice(0, at)}${letter}${item.sealed.slice(at + 1)}`;
      await put(sealed);
      if (!(await read(control))["password"]?.unreadable) unnoticed.push(sealed);
    }
  }
  expect(unnoticed).toEqual([]);
  await put(item.sealed);
  expect((await read(control))["password"]).toMatchObject({ value: CANARY });
});

test("each byte of a stored data key matters", async () => {
  await using control = await withControl({ secretKeys: heldKeys(`${key("k1", 1)}\n${key("k2", 2)}`) });
  const keys = heldKeys(`${key("k1", 1)}\n${key("k2", 2)}`);
  await publish(control, { password: secret(CANARY) });
  const { entries } = await control.store.range({ prefix: DATA_KEYS });
  const { key: at, value } = entries[0] as { key: string; value: Uint8Array };
  const unnoticed: number[] = [];
  for (let index = 0; index < value.length; index++) {
    const changed = Uint8Array.from(value);
    changed[index] = (changed[index] as number) ^ 1;
    await control.store.txn({ then: [{ type: "put", key: at, value: changed }] });
    if (!(await read(control, keys))["password"]?.unreadable) unnoticed.push(index);
  }
  expect(unnoticed).toEqual([]);
});

test.each([
  ["to another key of its set", SET, "other", {}],
  ["to another set, data key and all", { ...SET, app: "billing" }, "password", {}],
  ["to another format", SET, "password", { format: "yaml" }],
  ["to where placeholders are filled in", SET, "password", { expand: true as const }],
])("a value that is moved %s cannot be read", async (_what, name, toKey, change) => {
  await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  await publish(control, { password: secret(CANARY) });
  const stored = decodeJson<Stored>(await valueAt(control, RELEASE));
  const { entries } = await control.store.range({ prefix: DATA_KEYS });
  const items = { [toKey]: { ...stored.items["password"], ...change } };
  await control.store.txn({
    then: [
      { type: "put", key: RELEASE.replace("orders", name.app), value: encodeJson({ ...stored, items }) },
      ...(name === SET
        ? []
        : entries.map((one) => ({ type: "put" as const, key: one.key.replace("orders", name.app), value: one.value }))),
    ],
  });
  const found = await read(control, undefined, name);
  expect(found[toKey]?.unreadable?.message).toContain("its record in the store was changed");
  expect(JSON.stringify(found)).not.toContain(CANARY);
});

test("a secret whose key is lost is an error that names it, holds up no other app, and heals when the key is back", async () => {
  const host = testHost();
  await using first = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  await publish(first, { password: secret(CANARY), host: { format: "text", value: "db" } });
  await publish(first, { a: { format: "text", value: "fine" } }, "/v1/config/default/web/default");
  const keys = heldKeys(key("k2", 2));
  await using control = await withControl({ host, store: first.store, secretKeys: keys });
  const { agent } = await tokensOf(control);
  const lost = await control.call("GET", PATH, undefined, agent);
  expect(lost).toMatchObject({
    status: 503,
    json: { code: "CONFIG_SECRET_UNREADABLE", set: "default/orders/default", key: "password", keyId: "k1" },
  });
  expect((await control.call("GET", `/v1/watch/config?namespace=default&app=orders&profile=default`)).status).toBe(503);
  expect((await control.call("GET", "/v1/config/default/web/default", undefined, agent)).status).toBe(200);
  expect((await control.call("GET", "/readyz")).json).toMatchObject({
    status: "ready",
    degraded: [expect.stringContaining("1 live secrets")],
  });
  const status = (await control.call("GET", "/v1/config-secrets")).json;
  expect(status).toMatchObject({
    active: "k2",
    keys: [
      { id: "k2", values: 0, here: true },
      { id: "k1", values: 1, here: false },
    ],
    unreadable: [{ ...SET, key: "password" }],
  });
  const reveal = await control.call("POST", `${PATH}/reveal`, { key: "password", reason: "x" });
  expect(reveal.json["code"]).toBe("CONFIG_SECRET_UNREADABLE");
  expect((await control.call("GET", `${PATH}/releases/1`)).status, "what needs no key goes on").toBe(200);

  keys.text = `${key("k2", 2)}\n${key("k1", 1)}`;
  const told = await eventually("the secret is readable again", async () => {
    const answer = await control.call("GET", PATH, undefined, agent);
    return answer.status === 200 ? answer.json : undefined;
  });
  expect(valuesOf(told)).toEqual({ password: CANARY, host: "db" });
  expect((await control.call("GET", "/readyz")).json).toEqual({ status: "ready" });
});

test("followers keep their config while a newer secret cannot be read, and receive the new one once it can", async () => {
  await using first = await withControl({ secretKeys: heldKeys(`${key("k2", 2)}\n${key("k1", 1)}`) });
  const keys = heldKeys(key("k1", 1));
  await using control = await withControl({ store: first.store, secretKeys: keys });
  const { agent } = await tokensOf(control);
  // The first one is encrypted under what this member knows, too.
  await publish(control, { password: secret("first") });
  const address = await control.app.listen({ host: "127.0.0.1", port: 0 });
  const end = new AbortController();
  let seen = "";
  const url = `${address}/v1/watch/config?namespace=default&app=orders&profile=default`;
  const follow = (async () => {
    const { body } = await fetch(url, { headers: agent, signal: end.signal });
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) seen += Buffer.from(chunk).toString();
  })().catch(() => {});
  await eventually("it follows", () => seen.includes("event: synced"));
  await publish(first, { password: secret(CANARY) });
  await eventually(
    "it cannot be read here",
    async () => (await control.call("GET", PATH, undefined, agent)).status === 503,
  );
  await publish(control, { a: { format: "text", value: "x" } }, "/v1/config/default/web/default");
  expect(seen).not.toContain("event: delta");
  keys.text = `${key("k1", 1)}\n${key("k2", 2)}`;
  await eventually("the new secret has arrived", () => seen.includes(CANARY));
  end.abort();
  await follow;
});

test("a set with a lost secret is repaired by releasing the secret again, and not by a mask", async () => {
  await using first = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  await publish(first, { password: secret("gone") });
  await using control = await withControl({ store: first.store, secretKeys: heldKeys(key("k2", 2)) });
  const { agent } = await tokensOf(control);
  const release = (value: string) => control.call("POST", `${PATH}/releases`, { items: { password: secret(value) } });
  expect((await release("••••••")).json["code"]).toBe("CONFIG_SECRET_UNREADABLE");
  expect((await release(CANARY)).status).toBe(201);
  await eventually(
    "the set is readable",
    async () => (await control.call("GET", PATH, undefined, agent)).status === 200,
  );
  expect(valuesOf((await control.call("GET", PATH, undefined, agent)).json)).toEqual({ password: CANARY });
});

/** The letter that differs in the lowest bit of its six, where the last letter of base64 may have bits to spare. */
function nextOf(letter: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const at = alphabet.indexOf(letter);
  return at < 0 ? "x" : (alphabet[at ^ 1] as string);
}
