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
  expect(read("index.html")).toContain("A microservice control plane in one program");
  expect(read("zh/index.html")).toMatch(/<html lang="zh-CN"/);
  expect(read("guides/index.html")).toContain("gateway");
  expect(read("zh/guides/index.html")).toContain("指南总览");
});

test("every link within the site leads to a file of the site", () => {
  const files = new Set(readdirSync(site, { recursive: true, encoding: "utf8" }));
  const broken: string[] = [];
  for (const page of [...files].filter((name) => name.endsWith(".html"))) {
    for (const [, target = ""] of read(page).matchAll(/href="\/([^"#?]*)/g)) {
      const name = decodeURIComponent(target);
      const found = [name, `${name}.html`, `${name}index.html`, `${name.replace(/\/$/, "")}/index.html`];
      if (!found.some((one) => files.has(one) && !one.endsWith("/"))) broken.push(`${page}: /${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test("links between guides, to pages of the root and to files of the reference are links in the site", () => {
  const links = (page: string) => [...read(page).matchAll(/href="([^"]+)"/g)].map(([, href]) => href);
  expect(links("guides/security.html")).toEqual(expect.arrayContaining(["/SECURITY", "/guides/secrets#keys"]));
  expect(links("zh/guides/index.html")).toEqual(expect.arrayContaining(["/guides/console", "/reference/errors"]));
  expect(links("zh/index.html")).toContain("/guides/agent");
  expect(links("guides/gateway.html")).toContain("/reference/gateway-config.schema.json");
  for (const name of ["openapi.json", "agent-openapi.json", "gateway-config.schema.json"])
    expect(JSON.parse(read(`reference/${name}`))).toBeTypeOf("object");
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

test("the search of both languages finds Chinese words and English ones", () => {
  const chunks = readdirSync(join(site, "assets", "chunks"));
  const chunk = (begin: string) =>
    read(join("assets", "chunks", chunks.find((name) => name.startsWith(begin)) ?? "none"));
  const index = chunk("@localSearchIndexroot.");
  // By words: an index of half a megabyte would hide any other failure of the run.
  for (const word of ["服务", "gateway"]) expect(index.includes(`["${word}",`), word).toBe(true);
  const box = chunk("VPLocalSearchBox.");
  for (const language of ["root", "zh"])
    expect(box).toMatch(new RegExp(`\\b${language}: ?\\(\\) ?=>.{0,60}localSearchIndexroot`));
});
