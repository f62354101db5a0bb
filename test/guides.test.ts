/** Every block of every guide is run, or read by a test that this table names. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { guideBlocks, guideSteps, jsonValues, projectRoot } from "#test/kit";

/** Blocks that are not commands: by guide and marker (or language, where there is none) the test that reads them. */
const READ_BY: Record<string, Record<string, string>> = {
  "access.md": { settings: "test/settings/sign-in.test.ts", refusal: "test/authorization/guide.test.ts" },
  "agent.md": {
    definitions: "test/agent/guide.test.ts",
    "data app.yaml": "test/agent/guide.test.ts",
    log: "test/agent/guide.test.ts",
    settings: "test/agent/guide.test.ts",
  },
  "cli.md": { text: "test/cli/guide.test.ts" },
  "config.md": { text: "test/cli/guide.test.ts" },
  "config-transfer.md": { yaml: "test/config-server/transfer-guide.test.ts" },
  "deployment.md": {
    // Their tests check the names, the options and the settings in them; they need Docker or a running systemd.
    "needs docker": "test/deploy/guide.test.ts",
    "needs systemd": "test/deploy/guide.test.ts",
  },
  "flags.md": { "run js": "test/flags/guide.test.ts", json: "test/flags/guide.test.ts" },
  "gateway.md": { yaml: "test/gateway/guide.test.ts" },
  "health-checks.md": { json: "test/registry/checks-guide.test.ts" },
  "locks.md": { ts: "test/locks/guide.test.ts", sql: "test/locks/guide.test.ts" },
  "node-client.md": {
    "run: read.ts": "test/client/package.test.ts",
    "run: watch.ts": "test/client/package.test.ts",
    "run: register.ts": "test/client/package.test.ts",
    "run: services.ts": "test/client/package.test.ts",
    "run: call.ts": "test/client/package.test.ts",
    "run: lead.ts": "test/client/package.test.ts",
    text: "test/client/package.test.ts",
  },
  "observability.md": {
    prometheus: "test/registry/scrape-targets.test.ts",
    collector: "test/settings/settings.test.ts",
  },
  "sidecar.md": {
    picture: "test/sidecar/guide.test.ts",
    definition: "test/sidecar/guide.test.ts",
    rules: "test/sidecar/guide.test.ts",
    verbs: "test/sidecar/guide.test.ts",
  },
  "tls.md": {
    settings: "test/settings/tls-guide.test.ts",
    "needs a free port 8500": "test/settings/tls-guide.test.ts",
    "needs another machine": "test/settings/tls-guide.test.ts",
  },
  "security.md": {
    "needs a stopped server": "test/access/security-guide.test.ts",
    nginx: "test/access/security-guide.test.ts",
  },
};

const folder = join(projectRoot, "docs/guides");
const guides = readdirSync(folder).filter((name) => name.endsWith(".md"));

test.each(guides)("every block of %s is run, or read by a test", (name) => {
  const blocks = guideBlocks(readFileSync(join(folder, name), "utf8"));
  const steps = guideSteps(blocks);
  const printed = new Set(steps.map((step) => step.printed?.text));
  const rows = READ_BY[name] ?? {};
  const unused = new Set(Object.keys(rows));
  const loose = blocks.filter(({ language, marker, text }) => {
    if (language === "mermaid" || printed.has(text) || marker?.startsWith("file: ")) return false;
    if (language === "sh" && (marker === "run" || marker === "ask")) return false;
    const row = [marker, marker && `${marker} ${language}`, language].find((key) => key !== undefined && key in rows);
    if (row === undefined) return true;
    unused.delete(row);
    return !readFileSync(join(projectRoot, rows[row] as string), "utf8").includes(name);
  });
  expect(loose.map(({ line, language, marker }) => `${name}:${line} ${marker ?? ""} ${language}`)).toEqual([]);
  expect([...unused]).toEqual([]);
});

test.each(guides)("the commands of %s can be pasted as they are", (name) => {
  for (const { commands, line } of guideSteps(guideBlocks(readFileSync(join(folder, name), "utf8"))))
    expect(commands, `${name}:${line}`).not.toMatch(/^\$ |^> /m);
});

test("a block without a marker, a prompt in a block and output below it are seen", () => {
  const text = "a\n<!-- run -->\n```sh\necho 1\n```\n\n```text\n1\n```\nb\n```sh\n$ ls\n```\n";
  const blocks = guideBlocks(text);
  expect(blocks.map(({ language, marker, line }) => [language, marker, line])).toEqual([
    ["sh", "run", 2],
    ["text", undefined, 7],
    ["sh", undefined, 11],
  ]);
  expect(guideSteps(blocks)).toEqual([
    { commands: "echo 1\n", again: false, line: 2, printed: { language: "text", text: "1\n" } },
  ]);
});

test("JSON values that follow each other are separated", () => {
  expect(jsonValues('{"a":"}{"}[1,{}]\n{}')).toEqual([{ a: "}{" }, [1, {}], {}]);
  expect(() => jsonValues('{"a":1} curl: (7)')).toThrow("curl: (7)");
});
