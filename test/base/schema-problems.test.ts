/** Validation errors in words: every allowed value is named, with each validator. */
import { readFileSync, globSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { type TSchema, Type } from "typebox";
import { Errors } from "typebox/value";
import { expect, test } from "vitest";
import { type SchemaError, schemaProblems } from "#base";
import * as access from "#access/api";
import * as agent from "#agent/api";
import * as config from "#config-server/api";
import * as gateway from "#gateway/api";
import * as locks from "#locks/api";
import * as quotas from "#quotas/api";
import * as registry from "#registry/api";
import { Settings } from "#settings";
import { projectRoot } from "#test/kit";

const ajv = new Ajv({ strict: false, verbose: true, discriminator: true, validateFormats: false });
function byAjv(schema: object, value: unknown): readonly SchemaError[] {
  const validate = ajv.compile(schema);
  validate(value);
  return validate.errors ?? [];
}
const both = (schema: TSchema, value: unknown) => [
  schemaProblems(byAjv(schema, value)),
  schemaProblems(Errors(schema, value)),
];

const word = (...words: string[]) => Type.Union(words.map((one) => Type.Literal(one)));
const Shape = Type.Object(
  {
    role: Type.Optional(word("operator", "reader")),
    roles: Type.Optional(Type.Array(word("a", "b"))),
    fixed: Type.Optional(Type.Literal(true)),
    size: Type.Optional(Type.Integer({ minimum: 1 })),
    either: Type.Optional(Type.Union([Type.Literal("all"), Type.Object({ n: Type.Number() })])),
  },
  { additionalProperties: false },
);

test.each([
  ["a word that is not allowed", { role: "king" }, "/role", "must be one of operator, reader"],
  ["a value of another type", { role: 1 }, "/role", "must be one of operator, reader"],
  ["a word in a list", { roles: ["a", "c"] }, "/roles/1", "must be one of a, b"],
  ["a constant", { fixed: false }, "/fixed", "must be true"],
  ["a number out of range", { size: 0 }, "/size", "must be >= 1"],
  ["another type", { size: "x" }, "/size", "must be integer"],
])("%s", (_what, value, pointer, message) => {
  for (const problems of both(Shape, value)) expect(problems).toEqual([{ pointer, kind: "value", message }]);
});

test("a word or an object: both are named", () => {
  for (const [problem] of both(Shape, { either: "some" })) {
    expect(problem).toMatchObject({ pointer: "/either", message: "must be all, or must be object" });
  }
});

test("the problem of an unknown field points at the field and suggests the intended name", () => {
  expect(schemaProblems(byAjv(Shape, { rol: "reader" }))).toEqual([
    { pointer: "/rol", kind: "unknown", message: 'is not a known field (did you mean "role"?)' },
  ]);
  expect(schemaProblems(Errors(Shape, { rol: "reader" }))).toMatchObject([{ pointer: "/rol", kind: "unknown" }]);
});

test("of a union that a field tells apart, the side that was meant is judged", () => {
  const Side = Type.Union([
    Type.Object({ type: Type.Literal("http"), path: Type.String() }),
    Type.Object({ type: Type.Literal("tcp") }),
  ]);
  for (const problems of both(Side, { type: "http" })) {
    expect(problems).toEqual([{ pointer: "/path", kind: "missing", message: "is missing; add it" }]);
  }
  for (const problems of both(Side, { type: "htp", path: "/" })) {
    expect(problems).toContainEqual({ pointer: "/type", kind: "value", message: "must be one of http, tcp" });
  }
});

test("a discriminator names its values, too", () => {
  const schema = {
    type: "object",
    discriminator: { propertyName: "type" },
    required: ["type"],
    oneOf: [{ properties: { type: { const: "http" } } }, { properties: { type: { enum: ["tcp", "udp"] } } }],
  };
  expect(schemaProblems(byAjv(schema, { type: "htp" }))).toEqual([
    { pointer: "/type", kind: "value", message: "must be one of http, tcp, udp" },
  ]);
});

/** Every choice among words in a schema. */
function* choicesIn(schema: unknown): Generator<{ schema: TSchema; words: string[] }> {
  if (typeof schema !== "object" || schema === null) return;
  const { anyOf } = schema as { anyOf?: { const?: unknown }[] };
  const words = Array.isArray(anyOf) ? anyOf.map((side) => side.const) : undefined;
  if (words?.every((one) => typeof one === "string")) yield { schema: schema, words };
  for (const inner of Object.values(schema)) yield* choicesIn(inner);
}

test("every choice in every contract and in the settings names its words, by either validator", () => {
  const schemas = [access, agent, config, gateway, locks, quotas, registry].flatMap((contract) =>
    Object.values(contract as Record<string, unknown>),
  );
  const choices = [...schemas, Settings].flatMap((schema) => [...choicesIn(schema)]);
  expect(choices.length).toBeGreaterThan(50);
  for (const { schema, words } of new Map(choices.map((one) => [one.words.join(), one])).values()) {
    for (const problems of both(schema, "§")) {
      expect(problems).toEqual([{ pointer: "", kind: "value", message: expect.any(String) as string }]);
      for (const word of words) expect(problems[0]?.message).toContain(word);
    }
  }
});

test("no file reads a validator's own messages: they do not name what would be right", () => {
  const files = globSync("{base,settings,http,server,agent,config-server,flags,gateway,registry}/**/*.ts", {
    cwd: projectRoot,
  });
  const own = files.filter((path) => {
    const code = readFileSync(join(projectRoot, path), "utf8");
    const validates = /\bvalidate\.errors\b|(?<!define)(?<!\w)(Value\.)?Errors\(|\.validation\b/.test(code);
    return validates && !code.includes("schemaProblems") && path !== "kernel/base/schema-problems.ts";
  });
  expect(own).toEqual([]);
});
