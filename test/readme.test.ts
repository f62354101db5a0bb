/** The two READMEs say the same: headings, commands, blocks and rows; and the Chinese one keeps "Agent" apart from a proxy. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "#test/kit";

const read = (file: string) => readFileSync(join(projectRoot, file), "utf8").split("\n");
const english = read("README.md");
const chinese = read("README.zh-CN.md");

/** The lines outside of blocks, and the blocks with their language. */
function partsOf(lines: readonly string[]) {
  const prose: string[] = [];
  const blocks: { language: string; text: string }[] = [];
  let block: { language: string; text: string } | undefined;
  for (const line of lines) {
    if (block !== undefined && line === "```") block = undefined;
    else if (block !== undefined) block.text += `${line}\n`;
    else if (line.startsWith("```")) blocks.push((block = { language: line.slice(3), text: "" }));
    else prose.push(line);
  }
  return { prose, blocks };
}

const en = partsOf(english);
const zh = partsOf(chinese);
const rowsOf = ({ prose }: typeof en) => prose.filter((line) => line.startsWith("| "));
const linksOf = (lines: readonly string[]) =>
  lines.flatMap((line) => [...line.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target));

test("both READMEs have the same headings, by level, and the same rows", () => {
  const levels = ({ prose }: typeof en) => prose.flatMap((line) => /^#+(?= )/.exec(line) ?? []);
  expect(levels(en).length).toBeGreaterThan(5);
  expect(levels(zh)).toEqual(levels(en));
  expect(rowsOf(zh)).toHaveLength(rowsOf(en).length);
});

test("both READMEs have the same blocks, and each has the pictures of its language", () => {
  expect(zh.blocks).toEqual(en.blocks);
  const pictures = ({ prose }: typeof en) =>
    prose.flatMap((line) => [...line.matchAll(/(?:src|srcset)="([^"]+)"/g)].map(([, path = ""]) => path));
  expect(pictures(en).length).toBeGreaterThan(0);
  for (const path of [...pictures(en), ...pictures(zh)]) expect(existsSync(join(projectRoot, path)), path).toBe(true);
  const shared = (path: string) => path.replace(/([.-])(en|zh-CN|zh)(?=[.-])/, "");
  expect(pictures(zh).map(shared)).toEqual(pictures(en).map(shared));
});

test("both READMEs have the same commands and names in code, row by row, and the same links", () => {
  const codes = (row: string) => [...row.matchAll(/`[^`]+`/g)].map(([code]) => code);
  expect(rowsOf(zh).map(codes)).toEqual(rowsOf(en).map(codes));
  expect(rowsOf(zh).map((row) => linksOf([row]))).toEqual(rowsOf(en).map((row) => linksOf([row])));
  const others = (lines: readonly string[]) => linksOf(lines).filter((target) => !target?.startsWith("README"));
  expect(others(zh.prose)).toEqual(others(en.prose));
});

test("代理 is said of a proxy only, and an agent is an Agent", () => {
  const proxies = new Set(rowsOf(zh).filter((_, index) => /prox(y|ied)/i.test(rowsOf(en)[index] ?? "")));
  expect(chinese.filter((line) => line.includes("代理") && !proxies.has(line))).toEqual([]);
  const agents = rowsOf(zh).filter((_, index) =>
    /\bagents?\b/.test(rowsOf(en)[index]?.replaceAll(/`[^`]*`|\([^)]*\)/g, "") ?? ""),
  );
  expect(agents.length).toBeGreaterThan(1);
  for (const row of agents) expect(row).toContain("Agent");
});

test("the Chinese README says which documents are in English only", () => {
  expect(zh.prose.find((line) => line.includes("`docs/guides`"))).toContain("只有英文版");
});
