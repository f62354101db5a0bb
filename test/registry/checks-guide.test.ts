/** The guide to health checks shows every kind, and each of its examples is a check that is taken. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CHECK_KINDS, checkProblem, type Check } from "#registry/api";
import { Errors } from "typebox/value";
import { LINK_LOCAL_NETWORKS } from "#health";
import { settingRow } from "#settings";

const guide = readFileSync(join(import.meta.dirname, "../../docs/guides/health-checks.md"), "utf8");
const examples = [...guide.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => JSON.parse(match[1] ?? "") as Check);

test("every kind of check has an example", () => {
  expect([...new Set(examples.map(({ type }) => type))].toSorted()).toEqual(Object.keys(CHECK_KINDS).toSorted());
});

test.each(examples.map((check) => [check.id, check] as const))("the example %s is taken", (_id, check) => {
  expect([...Errors(CHECK_KINDS[check.type], check)]).toEqual([]);
  expect(checkProblem(check, "agent")).toBeUndefined();
});

test("servers do not probe the link-local networks by default", () => {
  expect(settingRow("probeRefuse").default).toEqual(LINK_LOCAL_NETWORKS);
});
