/** Where a cursor is in YAML, and what a JSON Schema allows there. */
import { expect, test } from "vitest";
import { fieldsAt, type JsonSchema, valuesAt } from "../../../console/components/code/schema-hints.ts";
import { yamlPlaceAt } from "../../../console/components/code/yaml-place.ts";

const at = (text: string) => yamlPlaceAt(text.split("\n"));

test.each([
  ["", { kind: "name", path: [], typed: "" }],
  ["po", { kind: "name", path: [], typed: "po" }],
  ["pool:\n  si", { kind: "name", path: ["pool"], typed: "si" }],
  ["pool:\n  size: 3\n\n# c\n  mo", { kind: "name", path: ["pool"], typed: "mo" }],
  ["pool:\n  size: 3\nti", { kind: "name", path: [], typed: "ti" }],
  ["pool:\n  mode: ea", { kind: "value", path: ["pool", "mode"], typed: "ea" }],
  ["routes:\n  - id: a\n    pa", { kind: "name", path: ["routes", "*"], typed: "pa" }],
  ["routes:\n  - id: a\n  - i", { kind: "name", path: ["routes", "*"], typed: "i" }],
  ["routes:\n- id: a\n  pa", { kind: "name", path: ["routes", "*"], typed: "pa" }],
  ['"my flags":\n  on: tr', { kind: "value", path: ["my flags", "on"], typed: "tr" }],
  ["a:\n  - - b", { kind: "name", path: ["a", "*", "*"], typed: "b" }],
] as const)("the place in %j", (text, place) => {
  expect(at(text)).toEqual(place);
});

test("inside of a text there is nothing to complete", () => {
  expect(at("note: two words")).toBeUndefined();
  expect(at("note: 'a # b")).toBeUndefined();
});

const SCHEMA: JsonSchema = {
  $defs: {
    Size: { type: "integer", description: "Connections." },
    Node: { properties: { next: { $ref: "#/$defs/Node" } } },
  },
  properties: {
    pool: {
      required: ["size"],
      anyOf: [
        { properties: { size: { $ref: "#/$defs/Size" } } },
        { properties: { mode: { enum: ["eager", "lazy"] } } },
      ],
    },
    routes: { items: { properties: { isOpen: { type: "boolean" } } } },
    flags: { additionalProperties: { properties: { state: { const: "enabled" } } } },
    limits: { patternProperties: { "^m": { properties: { per: {} } } } },
    tree: { $ref: "Node" },
  },
};

test("fields come from properties, references, combinations and elements", () => {
  expect(fieldsAt(SCHEMA, []).map(({ name }) => name)).toEqual(["pool", "routes", "flags", "limits", "tree"]);
  expect(fieldsAt(SCHEMA, ["pool"])).toEqual([
    { name: "size", type: "integer", description: "Connections.", isRequired: false },
    { name: "mode", type: "", description: "", isRequired: false },
  ]);
  expect(fieldsAt(SCHEMA, ["routes", "*"]).map(({ name }) => name)).toEqual(["isOpen"]);
  expect(fieldsAt(SCHEMA, ["flags", "any"]).map(({ name }) => name)).toEqual(["state"]);
  expect(fieldsAt(SCHEMA, ["limits", "memory"]).map(({ name }) => name)).toEqual(["per"]);
  expect(fieldsAt(SCHEMA, ["limits", "cpu"])).toEqual([]);
  expect(fieldsAt(SCHEMA, ["tree", "next", "next"]).map(({ name }) => name)).toEqual(["next"]);
  expect(fieldsAt(SCHEMA, ["missing", "x"])).toEqual([]);
});

test("a field beside the schema that requires it is required", () => {
  const schema = { required: ["a"], properties: { a: { type: ["string", "null"] }, b: {} } };
  expect(fieldsAt(schema, []).map(({ name, isRequired }) => [name, isRequired])).toEqual([
    ["a", true],
    ["b", false],
  ]);
});

test("values are those that the schema lists", () => {
  expect(valuesAt(SCHEMA, ["pool", "mode"])).toEqual(["eager", "lazy"]);
  expect(valuesAt(SCHEMA, ["routes", "*", "isOpen"])).toEqual(["true", "false"]);
  expect(valuesAt(SCHEMA, ["flags", "x", "state"])).toEqual(["enabled"]);
  expect(valuesAt(SCHEMA, ["pool", "size"])).toEqual([]);
});

test("a circular schema ends", () => {
  expect(fieldsAt({ $ref: "#" }, ["a"])).toEqual([]);
});
