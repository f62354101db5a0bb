/**
 * Effective configs: the order of layers, shared sets, placeholders, and the refusal of releases that could not be
 * resolved.
 */
import { array, assert, asyncProperty, constantFrom, dictionary, record } from "fast-check";
import { expect, test } from "vitest";
import { eventually, type TestControl, withControl } from "#test/kit";
import type { EffectiveConfig, Item } from "#config-server/api";

const text = (value: string, expand?: true): Item => ({ format: "text", value, ...(expand ? { expand } : {}) });
const yaml = (value: string, expand?: true): Item => ({ format: "yaml", value, ...(expand ? { expand } : {}) });
const set = (app: string, profile = "default", namespace = "default") => ({ namespace, app, profile });

async function release(control: TestControl, name: ReturnType<typeof set>, items: Record<string, Item>) {
  const { revision } = await control.client.config.publish(name, { items });
  await told(control, name, (config) => config.revision >= revision);
}

function told(control: TestControl, name: ReturnType<typeof set>, is: (config: EffectiveConfig) => boolean) {
  return eventually("the config is effective", async () => {
    const config = await control.client.config.effective(name);
    return is(config) ? config : undefined;
  });
}

async function value(control: TestControl, name: ReturnType<typeof set>, key: string) {
  return (await control.client.config.effective(name)).items[key]?.value;
}

function problems(control: TestControl, name: ReturnType<typeof set>, items: Record<string, Item>) {
  return control.client.config.publish(name, { items }).then(
    () => [],
    (error: unknown) => (error as { extra: { problems: { key: string; message: string }[] } }).extra.problems,
  );
}

test("shared sets are below the app's own, labels above profiles, and every value says whose it is", async () => {
  await using control = await withControl();
  const all = (name: string) => Object.fromEntries(name.split("").map((key) => [key, text(name)]));
  await release(control, set("shared"), all("abcdef"));
  await release(control, set("shared", "prod@blue"), all("bcdefg"));
  await release(control, set("orders"), { ...all("cdef"), "imports.yaml": yaml("- shared\n") });
  await release(control, set("orders", "prod"), all("def"));
  await release(control, set("orders", "default@blue"), all("ef"));
  await release(control, set("orders", "prod@blue"), all("f"));
  const { items } = await control.client.config.effective(set("orders", "prod@blue"));
  expect(items).toMatchObject({
    a: { value: "abcdef", origin: { namespace: "default", app: "shared", profile: "default" } },
    b: { value: "bcdefg", origin: { app: "shared", profile: "prod@blue" } },
    c: { value: "cdef", origin: { profile: "default" } },
    d: { value: "def", origin: { profile: "prod" } },
    e: { value: "ef", origin: { profile: "default@blue" } },
    f: { value: "f", origin: { profile: "prod@blue" } },
  });
  expect(items["c"]?.origin).not.toHaveProperty("app");
  expect(await value(control, set("orders", "prod"), "b")).toBe("abcdef");
});

test("an import of an import is followed, the later import lies over the earlier, and a circle is refused", async () => {
  await using control = await withControl();
  await release(control, set("base"), { a: text("base"), b: text("base"), c: text("base") });
  await release(control, set("one", "default", "common"), {
    b: text("one"),
    c: text("one"),
    "imports.yaml": yaml("- default/base"),
  });
  await release(control, set("two"), { c: text("two") });
  await release(control, set("orders"), { "imports.yaml": yaml("- common/one\n- two\n") });
  const { items } = await control.client.config.effective(set("orders"));
  expect(["a", "b", "c"].map((key) => items[key]?.value)).toEqual(["base", "one", "two"]);
  const circle = await problems(control, set("base"), { a: text("base"), "imports.yaml": yaml("- orders") });
  expect(circle[0]).toMatchObject({ key: "imports.yaml", message: expect.stringContaining("circular") as string });
});

test.each([
  ["a: b", "imports.yaml"],
  ["- Orders", "imports.yaml"],
  ["- a/b/c", "imports.yaml"],
])("imports that are not a list of apps are refused: %j", async (list, key) => {
  await using control = await withControl();
  expect(await problems(control, set("orders"), { "imports.yaml": yaml(list) })).toMatchObject([{ key }]);
});

test("a watch of an app receives releases of its imports and of the sets that its placeholders name", async () => {
  await using control = await withControl();
  await release(control, set("shared"), { a: text("1") });
  await release(control, set("other"), { b: text("1") });
  await release(control, set("orders"), {
    "imports.yaml": yaml("- shared"),
    c: text("c=${other:b}", true),
  });
  const stop = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { data } of control.client.config.watch(set("orders"), { signal: stop.signal })) {
      if (data) seen.push(`${data.items["a"]?.value} ${data.items["c"]?.value}`);
    }
  })();
  await eventually("the first", () => seen.length === 1);
  await release(control, set("shared"), { a: text("2") });
  await release(control, set("other"), { b: text("2") });
  await release(control, set("unrelated"), { b: text("3") });
  await eventually("both", () => seen.length === 3);
  expect(seen).toEqual(["1 c=1", "2 c=1", "2 c=2"]);
  stop.abort();
  await reading;
});

const DB = 'host: "db.example"\nport: 5432\nssl: true\nlist: [1, 2]\ntricky: "a\\": b # \\n- c"\n';

test.each<[string, Item, string]>([
  [
    "yaml keeps comments and types",
    yaml("# why\nurl: pg://${db.yaml#host}:${db.yaml#port}/x\nport: ${db.yaml#port}\n", true),
    "# why\nurl: pg://db.example:5432/x\nport: 5432\n",
  ],
  ["yaml cannot be broken out of", yaml("a: ${db.yaml#tricky}\nb: 1\n", true), 'a: "a\\": b # \\n- c"\nb: 1\n'],
  [
    "json keeps its layout",
    {
      format: "json",
      value: '{ "p": "${db.yaml#port}",  "u": "x${db.yaml#host}", "l": "${db.yaml#list}" }',
      expand: true,
    },
    '{ "p": 5432,  "u": "xdb.example", "l": [1,2] }',
  ],
  [
    "json cannot be broken out of",
    { format: "json", value: '{"a":"<${db.yaml#tricky}>"}', expand: true },
    '{"a":"<a\\": b # \\n- c>"}',
  ],
  ["toml", { format: "toml", value: 'port = "${db.yaml#port}"\n', expand: true }, "port = 5432\n"],
  ["properties", { format: "properties", value: "a=${db.yaml#tricky}\n", expand: true }, 'a=a": b # \\n- c\n'],
  [
    "a default, an escape and a list's item",
    text("${nothing|none} ${db.yaml#nothing|} $${literal} ${db.yaml#list.1}", true),
    "none  ${literal} 2",
  ],
  ["a text that does not ask for it", text("${db.yaml#host} ${"), "${db.yaml#host} ${"],
])("placeholders: %s", async (_what, item, expected) => {
  await using control = await withControl();
  await release(control, set("orders"), { "db.yaml": yaml(DB), x: item });
  expect(await value(control, set("orders"), "x")).toBe(expected);
});

test.each<[string, Record<string, Item>, string]>([
  ["a key that is not there", { x: text("${y}", true) }, 'no key "y"'],
  ["a path that is not there", { x: text("${db.yaml#nowhere}", true), "db.yaml": yaml(DB) }, "has nothing at nowhere"],
  ["a set that is not there", { x: text("${nobody:y}", true) }, 'nothing is released for "nobody"'],
  ["a circle", { x: text("${y}", true), y: text("${z}", true), z: text("${x}", true) }, "circular"],
  ["a circle within one document", { "x.yaml": yaml("a: ${x.yaml#b}\nb: ${x.yaml#a}\n", true) }, "circular"],
  ["a list inside a text", { x: text("<${db.yaml#list}>", true), "db.yaml": yaml(DB) }, "cannot be part of a text"],
  ["an ill-formed one", { x: text("${what is this}", true) }, "is not a valid placeholder"],
  ["one without an end", { x: text("${y", true) }, "has no end"],
  ["binary", { x: { format: "binary", value: "", expand: true } }, "is binary"],
  [
    "a few that would fill the memory",
    Object.fromEntries(
      Array.from({ length: 14 }, (_, i) => [
        `k${i}`,
        text(i === 0 ? "x".repeat(1000) : `\${k${i - 1}}`.repeat(10), true),
      ]),
    ),
    "filled in, it is more than",
  ],
])("a placeholder is refused with its reason: %s", async (_what, items, message) => {
  await using control = await withControl();
  const found = await problems(control, set("orders"), items);
  expect(found.map((problem) => problem.message).join()).toContain(message);
});

test("values that other sets depend on cannot be removed, and the refusal names those sets", async () => {
  await using control = await withControl();
  await release(control, set("other"), { b: text("1"), c: text("1") });
  await release(control, set("orders", "prod"), { x: text("${other/default:b}", true) });
  expect(await problems(control, set("other"), { c: text("2") })).toMatchObject([
    { key: "x", message: expect.stringMatching(/^default\/orders\/prod: .*no key "b"/) as string },
  ]);
  expect(await problems(control, set("other"), { b: text("2") })).toEqual([]);
  await told(control, set("orders", "prod"), (config) => config.items["x"]?.value === "2");
});

test("of two concurrent releases on two members that do not fit together, one is refused or checked again", async () => {
  await using first = await withControl();
  await using second = await withControl({ store: first.store });
  for (let round = 0; round < 10; round++) {
    const [app, other] = [set(`app-${round}`), set(`other-${round}`)];
    await release(first, other, { b: text("1") });
    await release(second, app, { x: text("nothing yet") });
    await Promise.allSettled([
      second.client.config.publish(app, { items: { x: text(`\${other-${round}:b}`, true) } }),
      first.client.config.publish(other, { items: { c: text("2") } }),
    ]);
    const { revision } = await first.store.range({ key: "x" });
    await eventually(
      "both members are current",
      async () => (await first.client.config.effective(other)).revision <= revision,
    );
    // Whichever came first: the config resolves, or the other release did not become live.
    await eventually("the config resolves", () => second.client.config.effective(app));
    expect(await value(second, app, "x")).toMatch(/^(nothing yet|1)$/);
  }
});

test("schemas and checks see values with their placeholders filled in", async () => {
  await using control = await withControl();
  const schema: Item = { format: "json", value: '{"properties":{"port":{"type":"integer","maximum":1000}}}' };
  const items = (port: number) => ({
    "db.yaml": yaml(`port: ${port}`),
    "app.yaml": yaml("port: ${db.yaml#port}", true),
    "app.yaml.schema.json": schema,
  });
  expect(await problems(control, set("orders"), items(5432))).toMatchObject([{ key: "app.yaml", pointer: "/port" }]);
  expect(await problems(control, set("orders"), items(543))).toEqual([]);
});

test("schema.json holds for a release as a whole", async () => {
  await using control = await withControl();
  const schema: Item = { format: "json", value: '{"required":["app.yaml","log.yaml"]}' };
  const one = { "schema.json": schema, "app.yaml": yaml("a: 1") };
  expect(await problems(control, set("orders"), one)).toMatchObject([{ key: "schema.json" }]);
  expect(await problems(control, set("orders"), { ...one, "log.yaml": yaml("level: info") })).toEqual([]);
});

test("an environment's own limits are kept, and the refusal says which", async () => {
  await using control = await withControl();
  const limits = { keys: 2, valueBytes: 100, releaseBytes: 200 };
  await control.call("PUT", "/v1/config/default/rules", { review: "optional", limits });
  const refused = (items: Record<string, Item>) => control.client.config.publish(set("orders"), { items });
  await expect(refused({ a: text(""), b: text(""), c: text("") })).rejects.toMatchObject({
    code: "CONFIG_LIMIT_EXCEEDED",
  });
  await expect(refused({ a: text("é".repeat(51)) })).rejects.toThrow('key "a" is 102');
  await expect(refused({ a: text("x".repeat(99)), b: text("x".repeat(99)) })).rejects.toThrow("The size in bytes is");
  await refused({ a: text("x".repeat(50)) });
});

test("whatever is released, a watch by patches has the same config as a request", async () => {
  await assert(
    asyncProperty(
      array(
        record({
          app: constantFrom("orders", "shared"),
          profile: constantFrom("default", "prod"),
          keys: dictionary(constantFrom("a", "b", "c", "d"), constantFrom("1", "2", "3")),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      async (releases) => {
        await using control = await withControl();
        await release(control, set("orders", "default@x"), { "imports.yaml": yaml("- shared") });
        const stop = new AbortController();
        let held: EffectiveConfig | undefined;
        const name = set("orders", "prod@x");
        const reading = (async () => {
          for await (const { data } of control.client.config.watch(name, { signal: stop.signal })) held = data ?? held;
        })();
        await eventually("the first", () => held);
        for (const { app, profile, keys } of releases) {
          const items = Object.fromEntries(Object.entries(keys).map(([key, one]) => [key, text(one)]));
          await control.client.config.publish(set(app, profile), { items });
        }
        await eventually("both are one", async () => {
          const asked = await control.client.config.effective(name);
          return asked.releaseKey === held?.releaseKey ? asked : undefined;
        }).then((asked) => expect(held).toEqual(asked));
        stop.abort();
        await reading;
      },
    ),
    { numRuns: 20 },
  );
});
