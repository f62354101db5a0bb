/** The settings and commands of docs/guides/tls.md that need another machine or a free port: each name exists. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadSettings } from "#settings";
import { guideBlocks, projectRoot, startProgram } from "#test/kit";

const blocks = guideBlocks(await readFile(join(projectRoot, "docs/guides/tls.md"), "utf8"));
const textsOf = (marker: string) => blocks.filter((block) => block.marker === marker).map(({ text }) => text);

test("the files of settings can be loaded", () => {
  const examples = textsOf("settings");
  expect(examples).toHaveLength(2);
  for (const text of examples) {
    const { sources } = loadSettings({ file: { path: "posthouse.yaml", text }, environment: {}, flags: {} });
    expect(Object.values(sources).filter((source) => source === "file")).toHaveLength(text.trim().split("\n").length);
  }
});

test("each option of a command exists", async () => {
  const lines = ["needs a free port 8500", "needs another machine"]
    .flatMap(textsOf)
    .flatMap((text) => text.trim().split("\n"));
  expect(lines).toHaveLength(6);
  for (const line of lines) {
    const [, verb = ""] = /^posthouse ((?:[a-z][a-z-]*(?: |$))+)/.exec(line) ?? [];
    await using program = startProgram("bin/posthouse", [...verb.trim().split(" "), "--help"]);
    expect((await program.exited).code, line).toBe(0);
    for (const [option = ""] of line.matchAll(/--[a-z-]+/g)) expect(program.output(), line).toContain(option);
  }
});
