/** The guide's examples are what is tried here: definitions are read, templates rendered, the command run, log levels parsed. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderTemplate } from "../../agent/core/template.ts";
import { readDefinitions } from "../../agent/definitions.ts";
import { parseLogLevels } from "../../server/log-level.ts";
import { formatOf, type EffectiveConfig } from "#config-server/api";
import { loadSettings } from "#settings";
import { followGuide, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const guide = await readFile(join(projectRoot, "docs/guides/agent.md"), "utf8");
const blocks = (mark: string) =>
  [...guide.matchAll(new RegExp(`<!-- ${mark} -->\\n\`\`\`\\w+\\n([^]*?)\`\`\``, "g"))].map(([, block = ""]) => block);

function config(app: string, items: Record<string, string>): EffectiveConfig {
  const origin = { profile: "default", version: 1 };
  return {
    namespace: "default",
    app,
    profile: "default",
    releaseKey: app,
    revision: 1,
    items: Object.fromEntries(
      Object.entries(items).map(([key, value]) => [key, { format: formatOf(key), value, origin }]),
    ),
  };
}

test("the guide's definition files are accepted as they are", async () => {
  await using folder = await tempFolder();
  const examples = blocks("definitions");
  expect(examples).toHaveLength(5);
  for (const [i, text] of examples.entries()) await writeFile(join(folder.path, `${i}.yaml`), text);
  const { services, files } = await readDefinitions(folder.path, { node: "host-a", address: "10.0.0.7" });
  expect(services.find(({ registration }) => registration.checks !== undefined)?.registration.checks).toHaveLength(2);
  expect(services.find(({ certificate }) => certificate !== undefined)?.certificate).toMatchObject({
    mode: "0640",
    group: "payments",
  });
  expect(services.flatMap(({ logs = [] }) => logs)).toHaveLength(2);
  expect(files).toHaveLength(3);
  expect(files[1]).toMatchObject({ check: { timeoutSeconds: 5 }, reload: { type: "signal", splaySeconds: 10 } });
  expect(files[2]).toMatchObject({ write: "in-place" });
});

test("each template of the guide's table is what the table says", () => {
  const [data = ""] = blocks("data app.yaml");
  const rows = [...guide.matchAll(/^\| `(\{\{.*?\}\})` \| `(.*?)` \|/gm)];
  expect(rows.length).toBeGreaterThan(8);
  const sets = new Map([["shared", config("shared", { "app.yaml": "region: eu" })]]);
  for (const [, template = "", text] of rows) {
    const rendered = renderTemplate({
      template,
      escape: "none",
      config: config("orders", { "app.yaml": data, motd: "hello" }),
      sets,
    });
    expect(rendered, template).toEqual({ text });
  }
});

test("the guide's command runs with the values of its sets", { timeout: 300_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  expect(await followGuide("agent.md", { posthouse, data: data.path })).toBe(2);
});

test("the guide's access rule is a valid setting", () => {
  const file = { path: "posthouse.yaml", text: blocks("settings").join("") };
  const { agentAccess } = loadSettings({ file, environment: {}, flags: {} }).values;
  expect(agentAccess).toEqual([{ name: "orders", apps: ["orders"], services: ["orders"] }]);
});

test("the guide's log levels are taken", () => {
  expect(blocks("log").map((text) => parseLogLevels(text))).toEqual([
    { levels: { level: "warn", components: { agent: "debug" } } },
  ]);
});
