/** The documentation site: built from the repository's pages by `npm run docs`, complete in both languages, searchable, self-contained. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectRoot } from "#test/kit";

let site = "";

beforeAll(() => {
  site = mkdtempSync(join(tmpdir(), "posthouse-docs-"));
  const vitepress = join(projectRoot, "node_modules", "vitepress", "bin", "vitepress.js");
  const built = spawnSync(process.execPath, [vitepress, "build", "docs", "--outDir", site], {
    cwd: projectRoot,
    encoding: "utf8",
  });
  // A link to a page or a file that does not exist fails the build.
  expect(built.status, built.stdout + built.stderr).toBe(0);
});
afterAll(() => rmSync(site, { recursive: true, force: true }));

const read = (path: string) => readFileSync(join(site, path), "utf8");

test("every guide, reference and decision has a page, and the READMEs are the first pages", () => {
  for (const folder of ["guides", "reference", "adr"]) {
    const pages = readdirSync(join(projectRoot, "docs", folder)).filter(
      (name) => name.endsWith(".md") && !name.startsWith("README"),
    );
    expect(pages.length).toBeGreaterThan(3);
    const built = readdirSync(join(site, folder));
    for (const page of pages) expect(built).toContain(page.replace(/\.md$/, ".html"));
  }
  expect(read("index.html")).toContain("npm ci");
  expect(read("zh/index.html")).toMatch(/<html lang="zh-CN"/);
  expect(read("guides/index.html")).toContain("gateway");
  expect(read("zh/guides/index.html")).toContain("指南总览");
});

test("double braces are shown as text", () => {
  expect(read("guides/agent.html")).toMatch(/\{\{|&#123;&#123;/);
});

test("no page requests anything from elsewhere", () => {
  const pages = readdirSync(site, { recursive: true, encoding: "utf8" }).filter((name) => /\.(html|css)$/.test(name));
  const outside = pages.filter((name) =>
    /(?:src|href)="https?:[^"]*\.(?:js|css|woff2?)"|url\(["']?https?:/.test(read(name)),
  );
  expect(outside).toEqual([]);
});

test("the search finds a Chinese word of the Chinese README, and an English one", () => {
  const chunks = readdirSync(join(site, "assets", "chunks"));
  const index = (language: string) =>
    read(join("assets", "chunks", chunks.find((name) => name.startsWith(`@localSearchIndex${language}.`)) ?? "none"));
  expect(index("zh")).toContain("网关");
  expect(index("root")).toContain("gateway");
});
