/** The tables of built-in policies and of actions in the guide are those of the program. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Action, ACTIONS, BUILT_IN_POLICIES, builtInRights, missingRule, type Resource } from "#authorization";

const guide = readFileSync(join(import.meta.dirname, "../../docs/guides/access.md"), "utf8");

/** The rows of the table after a mark. */
function rowsAfter(mark: string): string[] {
  const [, after = ""] = guide.split(`<!-- ${mark} -->\n`);
  const lines = after.split("\n");
  return lines.slice(2, lines.indexOf(""));
}

test("the guide lists what each built-in policy allows", () => {
  const rows = BUILT_IN_POLICIES.map(({ name }) => {
    const actions = builtInRights([name]).actions();
    return `| \`${name}\` | ${actions.map((action) => `\`${action}\``).join(", ")} |`;
  });
  expect(rowsAfter("built-in policies")).toEqual(rows);
});

test("the refusal of the guide has the rule that is missing", () => {
  const [, block = ""] = /<!-- refusal -->\n```json\n([^]*?)```/.exec(guide) ?? [];
  const { action, resource, rule, detail } = JSON.parse(block) as {
    action: Action;
    resource: Resource;
    rule: unknown;
    detail: string;
  };
  expect(missingRule(action, resource)).toEqual(rule);
  expect(builtInRights(["editor"]).allows(action, resource)).toBe(false);
  expect(detail).toContain(builtInRights(["editor"]).decide(action, resource).why);
});

test("the guide lists every action with its fields", () => {
  const rows = Object.entries(ACTIONS).map(
    ([name, { text, fields }]) => `| \`${name}\` | ${text} | ${fields.join(", ") || "–"} |`,
  );
  expect(rowsAfter("actions")).toEqual(rows);
});
