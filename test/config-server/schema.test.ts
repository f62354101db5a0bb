/** Schemas: what does not keep its schema is not released, and the refusal says where. */
import { expect, test } from "vitest";
import { type TestControl, withControl } from "#test/kit";

const SET = "/v1/config/default/orders/default";
const SCHEMA = {
  type: "object",
  required: ["pool"],
  additionalProperties: false,
  properties: {
    pool: { type: "object", properties: { size: { type: "integer", minimum: 1 } } },
    mode: { enum: ["a", "b"] },
  },
};

function release(control: TestControl, items: Record<string, { format: string; value: string }>, set = SET) {
  return control.call("POST", `${set}/releases`, { items });
}

const schema = (value: object) => ({ format: "json", value: JSON.stringify(value) });
const yaml = (value: string) => ({ format: "yaml", value });

test("a value that does not keep its schema is refused with line, column and pointer, and nothing is released", async () => {
  await using control = await withControl();
  const items = { "app.yaml.schema.json": schema(SCHEMA), "app.yaml": yaml("pool:\n  size: 0\nmode: c\n") };
  const { status, json } = await release(control, items);
  expect([status, json["code"]]).toEqual([422, "CONFIG_VALUE_INVALID"]);
  expect(json["problems"]).toEqual([
    { key: "app.yaml", pointer: "/pool/size", message: "must be >= 1", line: 2, column: 9 },
    {
      key: "app.yaml",
      pointer: "/mode",
      message: expect.stringContaining("must be one of a, b") as string,
      line: 3,
      column: 7,
    },
  ]);
  expect((await control.call("GET", SET)).status).toBe(404);
});

test.each([
  ["json", '{ "pool": { "size": 5 } }', '{\n  "pool": { "size": "5" } }'],
  ["toml", "[pool]\nsize = 5", '[pool]\nsize = "5"'],
])("%s is held to it, too", async (format, good, bad) => {
  await using control = await withControl();
  const key = `app.${format}`;
  const items = (value: string) => ({ [`${key}.schema.json`]: schema(SCHEMA), [key]: { format, value } });
  expect((await release(control, items(good))).status).toBe(201);
  expect((await release(control, items(bad))).json["problems"]).toMatchObject([{ key, pointer: "/pool/size" }]);
});

test("properties are an object of texts", async () => {
  await using control = await withControl();
  const items = (value: string) => ({
    "app.properties.schema.json": schema({ properties: { "db.port": { pattern: "^[0-9]+$" } } }),
    "app.properties": { format: "properties", value },
  });
  expect((await release(control, items("# a comment\ndb.port = 5432\n"))).status).toBe(201);
  expect((await release(control, items("db.port: many"))).json["problems"]).toMatchObject([{ pointer: "/db.port" }]);
});

test("a schema holds in every profile, and a new one is held against what is live in the others", async () => {
  await using control = await withControl();
  const prod = "/v1/config/default/orders/prod";
  await release(control, { "app.yaml": yaml("pool: {}") });
  expect((await release(control, { "app.yaml": yaml("anything: 1") }, prod)).status).toBe(201);
  const stricter = { "app.yaml": yaml("pool: {}"), "app.yaml.schema.json": schema(SCHEMA) };
  const refused = await release(control, stricter);
  expect(refused.json["problems"]).toMatchObject([
    { message: expect.stringContaining('live in profile "prod"') as string },
    { message: expect.stringContaining('"anything" is not a known field') as string },
  ]);
  await release(control, { "app.yaml": yaml("pool: {}") }, prod);
  expect((await release(control, stricter)).status).toBe(201);
  expect((await release(control, { "app.yaml": yaml("other: 1") }, prod)).status).toBe(422);
});

test("an invalid schema is refused by name", async () => {
  await using control = await withControl();
  const items = { "app.yaml.schema.json": schema({ type: "objekt" }), "app.yaml": yaml("a: 1") };
  expect((await release(control, items)).json["problems"]).toMatchObject([{ key: "app.yaml.schema.json" }]);
});

test.each(["^(a+)+$", "^(a|a)*$", "^(a?){20}a{20}$", "(.*a){12}$"])("pattern %s takes linear time", async (pattern) => {
  await using control = await withControl();
  const items = {
    "app.yaml.schema.json": schema({ properties: { a: { pattern } } }),
    "app.yaml": yaml(`a: ${"a".repeat(5_000)}!`),
  };
  const { json } = await release(control, items);
  expect(json).toMatchObject({ code: "CONFIG_VALUE_INVALID", problems: [{ key: "app.yaml", pointer: "/a", line: 1 }] });
});

test("patterns are written as in JavaScript where RE2 can express them", async () => {
  await using control = await withControl();
  const pattern = String.raw`^\u00e9\/(?<year>\d{4})$`;
  const items = (value: string) => ({
    "app.yaml.schema.json": schema({ properties: { a: { pattern } } }),
    "app.yaml": yaml(`a: ${value}`),
  });
  expect((await release(control, items("é/2026"))).status).toBe(201);
  expect((await release(control, items("e/2026"))).json["problems"]).toMatchObject([{ pointer: "/a" }]);
});

test("a pattern that RE2 cannot express is refused with its line and pointer", async () => {
  await using control = await withControl();
  const value = `{
  "properties": {
    "a": { "pattern": "^(?=a)b" },
    "pattern": { "const": { "pattern": "^(?=a)b" } }
  },
  "patternProperties": {
    "(x)\\\\1": { "type": "string" }
  }
}`;
  const items = { "app.yaml.schema.json": { format: "json", value }, "app.yaml": yaml("a: b") };
  const { status, json } = await release(control, items);
  expect([status, json["code"]]).toEqual([422, "CONFIG_VALUE_INVALID"]);
  const message = expect.stringMatching(/is not an RE2 pattern .* without lookaround/) as string;
  const key = "app.yaml.schema.json";
  expect(json["problems"]).toEqual([
    { key, pointer: "/properties/a/pattern", message, line: 3, column: 23 },
    { key, pointer: "/patternProperties/(x)\\1", message, line: 7, column: 15 },
  ]);
});

test("a schema that takes too long is given up, and the server goes on meanwhile", async () => {
  await using control = await withControl();
  // Lists are compared item by item: their number squared.
  const lists = Array.from({ length: 80_000 }, (_, index) => `[${index}]`);
  const items = {
    "app.toml.schema.json": schema({ properties: { a: { uniqueItems: true } } }),
    "app.toml": { format: "toml", value: `a = [${lists.join(",")}]` },
  };
  const asked = release(control, items);
  expect((await control.call("GET", "/livez")).status).toBe(200);
  expect(await asked).toMatchObject({ status: 422, json: { code: "CONFIG_CHECK_TIMEOUT" } });
});
