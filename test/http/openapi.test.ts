/** The documents of the APIs: what `redocly lint` (recommended) and Spectral's `spectral:oas` ask, held without either of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { expect, test } from "vitest";
import { projectRoot } from "#test/kit";
import { operationIdOf } from "../../kernel/http/openapi.ts";

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: object }[];
  readonly responses: Record<string, { description?: string; $ref?: string }>;
}
interface Document {
  readonly info: Record<string, unknown>;
  readonly servers: readonly { url: string }[];
  readonly tags: readonly { name: string; description: string }[];
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { schemas: Record<string, object>; responses: Record<string, object> };
}

const read = (name: string) => JSON.parse(readFileSync(join(projectRoot, "docs/reference", name), "utf8")) as Document;
const operations = ({ paths }: Document) =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );

test.each(["openapi.json", "agent-openapi.json"])("%s keeps the rules", (name) => {
  const document = read(name);
  const text = JSON.stringify(document);
  expect(document.info).toMatchObject({
    title: expect.any(String),
    description: expect.any(String),
    contact: { name: expect.any(String) },
    license: { name: expect.any(String), identifier: "Apache-2.0" },
  });
  expect(document.servers).toEqual([{ url: "/", description: expect.any(String) }]);

  const all = operations(document);
  expect(all.length).toBeGreaterThan(15);
  const ids = all.map(({ operationId }) => operationId);
  expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  for (const id of ids) expect(id).toMatch(/^[a-z][A-Za-z0-9]+$/);
  const tags = new Set(document.tags.map((tag) => tag.name));
  for (const { name, description } of document.tags) expect(description, name).not.toBe(name);
  for (const { path, method, summary, description, responses, parameters = [], ...operation } of all) {
    const where = `${method} ${path}`;
    expect([summary, description].every(Boolean), where).toBe(true);
    expect(operation.tags.length, where).toBeGreaterThan(0);
    for (const tag of operation.tags) expect(tags.has(tag), `${where}: ${tag}`).toBe(true);
    expect(
      Object.keys(responses).some((status) => /^2\d\d$/.test(status)),
      where,
    ).toBe(true);
    expect(responses["4XX"], where).toEqual({ $ref: "#/components/responses/Problem" });
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const taken = parameters.filter((one) => one.in === "path").map((one) => one.name);
    expect([taken.length, new Set(taken)], where).toEqual([named.length, new Set(named)]);
    for (const one of parameters.filter(({ in: place }) => place === "path")) expect(one.required).toBe(true);
  }

  const used = new Set([...text.matchAll(/"#\/components\/(\w+\/\w+)"/g)].map((match) => match[1]));
  const there = [
    ...Object.keys(document.components.schemas).map((schema) => `schemas/${schema}`),
    ...Object.keys(document.components.responses).map((response) => `responses/${response}`),
  ];
  expect(new Set(there)).toEqual(used);
  expect(text).not.toMatch(/"patternProperties"/);
});

test("each named type of the contract is in the document, once", () => {
  const { components } = read("openapi.json");
  for (const name of ["Instance", "Registration", "EffectiveConfig", "Release", "Lock", "TokenSummary", "Problem"]) {
    expect(Object.keys(components.schemas)).toContain(name);
  }
});

test("an operation is named by its method and path", () => {
  expect(operationIdOf("get", "/v1/services/:service/instances/:id")).toBe("getServicesInstancesById");
  expect(operationIdOf("post", "/v1/config-secrets/rewrap")).toBe("postConfigSecretsRewrap");
});

/** Validators are compiled by the first request of their route; so a schema that cannot be compiled must be found here. */
test.each(["openapi.json", "agent-openapi.json"])("every schema of %s can be compiled", (name) => {
  const document = read(name);
  const ajv = addFormats.default(new Ajv({ strict: false, discriminator: true, logger: false }));
  // Names of their own would be the base of references.
  const nameless = JSON.parse(JSON.stringify(document), (key, value: unknown) =>
    key === "$id" ? undefined : value,
  ) as Document;
  ajv.addSchema(nameless, "document");
  let compiled = 0;
  const visit = (value: unknown, pointer: string): void => {
    if (typeof value !== "object" || value === null) return;
    if (/\/(schema|schemas\/[^/]+)$/.test(pointer)) {
      expect(() => ajv.compile({ $ref: `document#${pointer}` }), pointer).not.toThrow();
      compiled++;
    }
    for (const [key, child] of Object.entries(value)) {
      visit(
        child,
        `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1").replaceAll("{", "%7B").replaceAll("}", "%7D")}`,
      );
    }
  };
  visit(document, "");
  expect(compiled).toBeGreaterThan(50);
});
