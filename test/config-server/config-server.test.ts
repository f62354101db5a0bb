/** The config server through its API, over a real store: releases, overlays, rollback, long poll and watch. */
import { expect, test } from "vitest";
import { eventually, withControl } from "#test/kit";
import type { EffectiveConfig } from "#config-server/api";

const SET = { namespace: "default", app: "orders", profile: "default" };
const PROD = { ...SET, profile: "prod" };
const yaml = (value: string) => ({ format: "yaml" as const, value });

test("releases are numbered from 1 without gaps and never change", async () => {
  await using control = await withControl();
  const first = await control.client.config.publish(SET, { items: { "app.yaml": yaml("a: 1\n") }, reason: "start" });
  const second = await control.client.config.publish(SET, { items: { "app.yaml": yaml("a: 2\n") } });
  expect([first.version, second.version]).toEqual([1, 2]);
  expect(first.author).toBe("operator");
  const old = await control.client.config.release(SET, 1);
  expect(old).toMatchObject({ version: 1, reason: "start", items: { "app.yaml": yaml("a: 1\n") } });
});

test("a profile lies over the default profile key by key, and each value says where it is from", async () => {
  await using control = await withControl();
  await control.client.config.publish(SET, { items: { "a.yaml": yaml("a: 1"), "b.yaml": yaml("b: 1") } });
  const { revision } = await control.client.config.publish(PROD, { items: { "b.yaml": yaml("b: 2") } });
  await eventually("it arrived", async () => (await control.client.config.effective(PROD)).revision === revision);
  const effective = await control.client.config.effective(PROD);
  expect(effective.items).toEqual({
    "a.yaml": { ...yaml("a: 1"), origin: { profile: "default", version: 1 } },
    "b.yaml": { ...yaml("b: 2"), origin: { profile: "prod", version: 1 } },
  });
});

test("a rollback is a new release with the old content, and removes what came since", async () => {
  await using control = await withControl();
  await control.client.config.publish(SET, { items: { a: yaml("1") } });
  await control.client.config.publish(SET, { items: { a: yaml("2"), b: yaml("new") } });
  const back = await control.client.config.rollback(SET, { toVersion: 1 });
  expect(back).toMatchObject({ version: 3, rollbackOf: 1 });
  const { items, hash } = await control.client.config.release(SET, 3);
  expect(items).toEqual({ a: yaml("1") });
  expect(hash).toBe((await control.client.config.release(SET, 1)).hash);
});

test("publishing on a version that is not live any more is refused, and ten at once make one release", async () => {
  await using control = await withControl();
  const tries = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) =>
      control.client.config.publish(SET, { items: { a: yaml(String(i)) }, expectedVersion: 0 }),
    ),
  );
  expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  await expect(control.client.config.publish(SET, { items: {}, expectedVersion: 0 })).rejects.toMatchObject({
    code: "CONFIG_VERSION_CONFLICT",
    extra: { version: 1 },
  });
});

test.each([
  ["yaml", "a: [1", "app.yaml"],
  ["yaml", "a: 1\na: 2\n", "app.yaml"],
  ["json", '{"a": }', "app.json"],
  ["toml", "a = ", "app.toml"],
  ["properties", "=x", "app.properties"],
] as const)("bad %s is refused with its place, and nothing is released: %j", async (format, value, key) => {
  await using control = await withControl();
  const failed = control.client.config.publish(SET, { items: { [key]: { format, value } } });
  await expect(failed).rejects.toMatchObject({
    code: "CONFIG_VALUE_INVALID",
    status: 422,
    extra: { problems: [{ key, line: expect.any(Number) as number }] },
  });
  await expect(control.client.config.releases(SET)).rejects.toMatchObject({ code: "CONFIG_SET_NOT_FOUND" });
});

test("a YAML bomb is refused without being unfolded", async () => {
  await using control = await withControl();
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 12; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    );
  const bomb = control.client.config.publish(SET, { items: { "bomb.yaml": yaml(lines.join("\n")) } });
  await expect(bomb).rejects.toMatchObject({ code: "CONFIG_VALUE_INVALID" });
});

test("a release above the most there may be is refused", async () => {
  await using control = await withControl();
  const value = "x".repeat(1024 * 1024);
  const items = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, { format: "text" as const, value }]));
  await expect(control.client.config.publish(SET, { items })).rejects.toMatchObject({
    code: "CONFIG_RELEASE_TOO_LARGE",
  });
});

test("history is paged, newest first, and complete", async () => {
  await using control = await withControl();
  for (let i = 1; i <= 25; i++) await control.client.config.publish(SET, { items: { a: yaml(String(i)) } });
  const versions: number[] = [];
  let before: number | undefined;
  do {
    const page = await control.client.config.releases(SET, { limit: 10, ...(before === undefined ? {} : { before }) });
    versions.push(...page.releases.map(({ version }) => version));
    before = page.before;
  } while (before !== undefined);
  expect(versions).toEqual(Array.from({ length: 25 }, (_, i) => 25 - i));
});

test("an equal ETag answers 304, another content 200, and nothing released 404", async () => {
  await using control = await withControl();
  const url = "/v1/config/default/orders/default";
  expect((await control.call("GET", url)).json).toMatchObject({ code: "CONFIG_SET_NOT_FOUND" });
  const { revision } = await control.client.config.publish(SET, { items: { a: yaml("1") } });
  const first = await eventually("released", async () => {
    const answer = await control.call("GET", url);
    return answer.json["revision"] === revision ? answer : undefined;
  });
  const headers = { authorization: `Bearer ${control.token}`, "if-none-match": String(first.headers["etag"]) };
  expect((await control.call("GET", url, undefined, headers)).status).toBe(304);
  await control.client.config.publish(SET, { items: { a: yaml("2") } });
  await eventually("changed", async () => (await control.call("GET", url, undefined, headers)).status === 200);
});

test("a long poll answers as soon as a release comes, and 304 when none does", async () => {
  await using control = await withControl();
  await control.client.config.publish(SET, { items: { a: yaml("1") } });
  const { releaseKey } = await eventually("released", () => control.client.config.effective(SET));
  const headers = { authorization: `Bearer ${control.token}`, "if-none-match": `"${releaseKey}"` };
  const poll = control.call("GET", "/v1/config/default/orders/default?wait=20", undefined, headers);
  await control.client.config.publish(SET, { items: { a: yaml("2") } });
  expect((await poll).json).toMatchObject({ items: { a: { value: "2" } } });
  const { releaseKey: next } = await control.client.config.effective(SET);
  const quiet = { ...headers, "if-none-match": `"${next}"` };
  expect((await control.call("GET", "/v1/config/default/orders/default?wait=0.05", undefined, quiet)).status).toBe(304);
});

test("a watch sees every release whole and in order, and a watch of a profile also receives releases of its default", async () => {
  await using control = await withControl();
  const stop = new AbortController();
  const seen: EffectiveConfig[] = [];
  const read = (async () => {
    for await (const frame of control.client.config.watch(PROD, { signal: stop.signal })) {
      if (frame.data) seen.push(frame.data);
    }
  })();
  await eventually("the empty state", () => seen.length === 1);
  for (let i = 1; i <= 30; i++) {
    await control.client.config.publish(i % 3 === 0 ? PROD : SET, {
      items: { x: yaml(String(i)), y: yaml(String(i)) },
    });
  }
  await eventually("the last release", () => seen.at(-1)?.items["x"]?.origin.version === 10 && seen.length >= 31);
  stop.abort();
  await read;
  for (const { items } of seen) expect(items["x"]?.value).toBe(items["y"]?.value);
  const revisions = seen.map(({ revision }) => revision);
  expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  expect(new Set(revisions).size).toBe(31);
});
