/** Large and binary values: stored in parts, read back whole, and nothing half done when a publisher dies on the way. */
import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { Contents } from "../../config-server/releases/contents.ts";
import { contentOf } from "../../config-server/core/release.ts";
import { Client, fetchTransport } from "#client";
import type { Item } from "#config-server/api";
import { openMemoryStore, type Store } from "#store";
import { eventually, testHost, withControl } from "#test/kit";

const SET = { namespace: "default", app: "orders", profile: "default" };
const MIB = 1024 * 1024;
const text = (value: string): Item => ({ format: "text", value });
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const large = (seed: string) => ({ a: text(seed.repeat(MIB / seed.length)), b: text(seed.repeat(MIB / seed.length)) });

async function keysUnder(store: Store, prefix: string): Promise<string[]> {
  return (await store.range({ prefix, keysOnly: true })).entries.map(({ key }) => key);
}

test("a release of 7 MiB is delivered as it was published, and its history stays small", async () => {
  await using control = await withControl();
  const items = Object.fromEntries(
    Array.from({ length: 7 }, (_, i) => [`k${i}`, text(randomBytes(MIB / 2 - 64).toString("hex"))]),
  );
  await control.client.config.publish(SET, { items });
  const told = await eventually("the release is live", async () => {
    const config = await control.client.config.effective(SET);
    return Object.keys(config.items).length === 7 ? config : undefined;
  });
  for (const [key, { value }] of Object.entries(items)) expect(told.items[key]?.value === value, key).toBe(true);
  expect((await control.client.config.release(SET, 1)).items["k6"]?.value).toBe(items["k6"]?.value);
  const record = await control.store.range({ prefix: "/config/releases/" });
  expect(record.entries[0]?.value.length).toBeLessThan(1000);
});

test("a watcher receives a frame larger than its backlog limit, and stays connected", async () => {
  await using control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  await using transport = fetchTransport({ urls: [url] });
  const client = new Client(control.host, { transport, token: control.token });
  const stop = new AbortController();
  const states: string[] = [];
  const sizes: number[] = [];
  const watch = client.config.watch(SET, { signal: stop.signal, onState: (state) => states.push(state) });
  const reading = (async () => {
    for await (const { data } of watch) if (data) sizes.push(JSON.stringify(data.items).length);
  })();
  await eventually("attached", () => sizes.length === 1);
  for (const [index, seed] of ["x", "y"].entries()) {
    await control.client.config.publish(SET, { items: large(seed) });
    await eventually("the large one", () => sizes.filter((size) => size > 2 * MIB).length === index + 1);
  }
  expect(states).toEqual(["connected"]);
  stop.abort();
  await reading;
});

test("a binary value of 1 MiB goes in by PUT and comes out byte by byte; one byte more is refused", async () => {
  await using control = await withControl();
  await control.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = control.app.server.address() as { port: number };
  const url = `http://127.0.0.1:${port}/v1/config/default/orders/default/keys/store.jks`;
  const headers = { authorization: `Bearer ${control.token}` };
  const bytes = randomBytes(MIB);
  const put = await fetch(url, { method: "PUT", headers, body: bytes });
  expect(put.status).toBe(201);
  const got = await eventually("the release is live", async () => {
    const answer = await fetch(url, { headers });
    return answer.status === 200 ? answer : undefined;
  });
  expect(got.headers.get("content-type")).toBe("application/octet-stream");
  expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true);
  const over = await fetch(url, { method: "PUT", headers, body: randomBytes(MIB + 1) });
  expect([over.status, ((await over.json()) as { code: string }).code]).toEqual([413, "HTTP_BODY_TOO_LARGE"]);
  const text = await fetch(`${url}?format=text`, { method: "PUT", headers, body: Buffer.from([0xff, 0xfe]) });
  expect(text.status).toBe(422);
});

test("invalid base64 and a value above 1 MiB are refused by key", async () => {
  await using control = await withControl();
  for (const item of [
    { format: "binary" as const, value: "not base64!" },
    { format: "binary" as const, value: "YQ" },
    text("é".repeat(MIB / 2 + 1)),
  ]) {
    await expect(control.client.config.publish(SET, { items: { a: item } })).rejects.toMatchObject({
      code: "CONFIG_VALUE_INVALID",
      extra: { problems: [{ key: "a" }] },
    });
  }
});

test("equal content is stored once, and a rollback does not write parts again", async () => {
  await using control = await withControl();
  for (const seed of ["x", "y", "x"]) await control.client.config.publish(SET, { items: large(seed) });
  await control.client.config.rollback(SET, { toVersion: 2 });
  const parts = await keysUnder(control.store, "/config/contents/");
  expect(new Set(parts.map((key) => key.split("/")[6])).size).toBe(2);
  const { entries } = await control.store.range({ prefix: "/config/contents/" });
  expect(entries.map(({ version }) => version)).toEqual(entries.map(() => 1));
  expect(await keysUnder(control.store, "/config/staged/")).toEqual([]);
});

test("a publisher that dies after any of its steps leaves the live release as it was, and what it left is swept", async () => {
  const content = contentOf(large("z"), sha256);
  const steps = content.parts + 1;
  for (let step = 1; step <= steps; step++) {
    await using store = openMemoryStore(testHost());
    await using control = await withControl({ store });
    await control.client.config.publish(SET, { items: { a: text("old") } });
    // A store that is gone after so many writes is what a publisher sees of its own death.
    let left = step;
    const dying = {
      ...store,
      range: (request: Parameters<Store["range"]>[0]) => store.range(request),
      txn: (request: Parameters<Store["txn"]>[0]) => {
        if (request.then?.some(({ type }) => type === "put") && left-- <= 0) throw new Error("killed");
        return store.txn(request);
      },
      watch: (request: Parameters<Store["watch"]>[0]) => store.watch(request),
      grant: (ttl: number) => store.grant(ttl),
      keepAlive: (lease: string) => store.keepAlive(lease),
      status: () => store.status(),
      compact: (through: number) => store.compact(through),
      [Symbol.asyncDispose]: async () => {},
    } as unknown as Store;
    {
      // The first write of a new member is its place among them.
      left = Infinity;
      await using doomed = await withControl({ store: dying });
      left = step - 1;
      const published = doomed.client.config.publish(SET, { items: large("z") });
      await expect(published, `step ${step}`).rejects.toThrow();
      left = Infinity;
    }
    expect((await control.client.config.effective(SET)).items["a"]?.value).toBe("old");
    expect((await control.client.config.releases(SET)).releases).toHaveLength(1);
    const contents = new Contents(testHost(), store);
    const seen = await contents.sweep(new Map());
    // Somebody who publishes the same between two sweeps keeps it.
    expect((await contents.sweep(seen)).size).toBe(seen.size);
    expect(await keysUnder(store, "/config/contents/")).toEqual([]);
    await control.client.config.publish(SET, { items: large("z") });
    await contents.sweep(await contents.sweep(new Map()));
    expect(await keysUnder(store, "/config/contents/")).toHaveLength(content.parts);
    expect((await control.client.config.release(SET, 2)).items["b"]?.value.length).toBe(MIB);
  }
});
