/** The guide's configs are valid, its commands answer as it says, and its lists are whole. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { builtInFilters, GATEWAY_FLAGS, parseGatewayConfig } from "#gateway";
import { followGuide, projectRoot } from "#test/kit";
import { BALANCES } from "../../gateway/contract/clusters.ts";
import { parseText } from "../../gateway/core/rewriting/template.ts";

const guide = await readFile(join(projectRoot, "docs/guides/gateway.md"), "utf8");
const configs = [...guide.matchAll(/```yaml\n([^]*?)```/g)].map(([, text = ""]) => text);

test("a gateway accepts each config of the guide", () => {
  expect(configs.length).toBeGreaterThan(4);
  for (const text of configs) {
    const { problems, ...parsed } = parseGatewayConfig(text);
    expect([text, problems, "warnings" in parsed ? parsed.warnings : []]).toEqual([text, [], []]);
  }
});

test("the guide lists the filters that there are, and variables that are known", () => {
  const listed = [...guide.matchAll(/^\| `([a-z-]+)` \| (connection|authenticate|authorise|request) \|/gm)];
  expect(listed.map(([, name, phase]) => [name, phase])).toEqual(
    [...builtInFilters.values()].map(({ name, phase }) => [name, phase]),
  );
  const variables = [...guide.matchAll(/`(\{(?:client|request|route|consumer|claim)\.[A-Za-z.]+\})`/g)].map(
    ([, text = ""]) => text,
  );
  expect(variables.length).toBeGreaterThan(10);
  for (const text of variables) expect([text, "problem" in parseText(text)]).toEqual([text, false]);
});

test("the guide lists every load balancer", () => {
  const table = /^\| `balance` \|[^]*?\n\n/m.exec(guide)?.[0] ?? "";
  expect([...table.matchAll(/^\| `([a-z0-9-]+)`(?: \(default\))? \| (?!chosen)/gm)].map(([, name]) => name)).toEqual(
    Object.keys(BALANCES),
  );
});

test("the schema for editors knows the config of each filter, and takes those of an operator's own", async () => {
  const schema = JSON.parse(
    await readFile(join(projectRoot, "docs/reference/gateway-config.schema.json"), "utf8"),
  ) as object;
  const check = new Ajv2020({ strict: false }).compile(schema);
  const valid = (...filters: object[]) =>
    check({ routes: [{ name: "r", match: {}, service: "s", filters }] }) &&
    check({ hints: [{ service: "s", filters }] });
  expect(valid({ name: "key-auth" }, { name: "key-auth", config: { header: "x-key" } }, { name: "own" })).toBe(true);
  expect(valid({ name: "own", config: { any: 1 } })).toBe(true);
  expect(valid({ name: "ip-restriction", config: { allow: ["10.0.0.0/8"] } })).toBe(true);
  expect(valid({ name: "ip-restriction", config: { allow: "10.0.0.0/8" } })).toBe(false);
  expect(valid({ name: "ip-restriction" })).toBe(false);
  expect(valid({ name: "key-auth", config: { headr: "x" } })).toBe(false);
});

test("each field of a built-in filter says what it is", async () => {
  const page = await readFile(join(projectRoot, "docs/reference/filters.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  expect(rows.length).toBeGreaterThan(10);
  for (const row of rows) expect(row).toMatch(/\| [A-Za-z][^|]+\. \|$/);
});

test("the guide's commands answer as it says", { timeout: 300_000 }, async () => {
  expect(await followGuide("gateway.md")).toBe(2);
});

test("the guide has each flag once, and none that there is not", () => {
  const flags = [...guide.matchAll(/^\| `([A-Z]{2,3})` \|/gm)].map(([, flag]) => flag);
  expect(flags).toHaveLength(new Set(flags).size);
  expect(new Set(flags)).toEqual(new Set(Object.values(GATEWAY_FLAGS)));
});
