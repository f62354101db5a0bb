/** The rules of the console as functions from its sources to what violates them. */
import { normalize, dirname } from "node:path/posix";
import { parseAst } from "vitest/node";
import { type AstNode, readSource, type Source, visit } from "../../scripts/architecture/sources.ts";

/** Text by path, from the root of the project, such as `console/main.tsx`. */
export type Sources = ReadonlyMap<string, string>;

const isProgram = (path: string) => /\.tsx?$/.test(path);
const read = (sources: Sources): Source[] =>
  [...sources].filter(([path]) => isProgram(path)).map(([path, text]) => readSource(path, text));

/** Where a relative specifier points; undefined for a package or an alias. */
function targetOf({ path }: Source, specifier: string): string | undefined {
  return specifier.startsWith(".") ? normalize(`${dirname(path)}/${specifier}`) : undefined;
}

/** A folder of pages without a row in the table of pages, or a row without its folder. */
export function pageTableProblems(sources: Sources): string[] {
  const table = "console/pages/mod.ts";
  const rows = new Set(
    [...(sources.get(table) ?? "").matchAll(/import\("\.\/([\w-]+)\/page\.tsx"\)/g)].map(([, name]) => name),
  );
  const folders = new Set([...sources.keys()].flatMap((path) => /^console\/pages\/([\w-]+)\//.exec(path)?.[1] ?? []));
  const paged = (name: string) =>
    sources.has(`console/pages/${name}/page.tsx`) && sources.has(`console/pages/${name}/text.ts`);
  return [
    ...[...folders].filter((name) => !rows.has(name)).map((name) => `pages/${name} has no row in ${table}`),
    ...[...folders].filter((name) => !paged(name)).map((name) => `pages/${name} has no page.tsx or no text.ts`),
    ...[...rows]
      .filter((name) => name !== undefined && !folders.has(name))
      .map((name) => `${table}: pages/${name} does not exist`),
  ];
}

/** The shapes of flag sets are in a pure face, because clients evaluate flags. */
const FACES = new Set(["#flags/core"]);

/** From outside of the console, only types of contracts are imported: nothing else of the program comes into the browser. */
export function outsideImportProblems(sources: Sources): string[] {
  return read(sources).flatMap((source) =>
    source.imports.flatMap(({ specifier, kind }) => {
      const target = targetOf(source, specifier);
      if (target !== undefined) return target.startsWith("console/") ? [] : [`${source.path}: ${specifier} is outside`];
      if (!specifier.startsWith("#")) return [];
      if (!specifier.endsWith("/api") && !FACES.has(specifier))
        return [`${source.path}: ${specifier} is not a contract`];
      return kind === "type" ? [] : [`${source.path}: ${specifier} is imported as a value`];
    }),
  );
}

/** Parts that every page shares know no page. */
const SHARED = /^console\/(components|data|design|text)\//;

export function layerProblems(sources: Sources): string[] {
  return read(sources).flatMap((source) =>
    source.imports.flatMap(({ specifier }) => {
      const target = targetOf(source, specifier) ?? "";
      if (SHARED.test(source.path) && target.startsWith("console/pages/")) return [`${source.path}: imports ${target}`];
      const [own, other] = [source.path, target].map((path) => /^console\/pages\/([\w-]+)\//.exec(path)?.[1]);
      const isOther = own !== undefined && other !== undefined && own !== other;
      return isOther ? [`${source.path}: imports the page ${other}`] : [];
    }),
  );
}

const HEAVY = /^(uplot|@dagrejs\/dagre|codemirror|@codemirror\/|@lezer\/)/;

/** Components and pages, which are .tsx, reach a heavy library by a dynamic import only. */
export function heavyProblems(sources: Sources): string[] {
  const all = new Map(read(sources).map((source) => [source.path, source]));
  const heavyFrom = (path: string, seen: Set<string>): string | undefined => {
    if (seen.has(path)) return undefined;
    seen.add(path);
    const source = all.get(path);
    for (const { specifier, kind } of source?.imports ?? []) {
      if (kind !== "value" || source === undefined) continue;
      if (HEAVY.test(specifier)) return specifier;
      const found = heavyFrom(targetOf(source, specifier) ?? "", seen);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return [...all.keys()].flatMap((path) => {
    const found = path.endsWith(".tsx") ? heavyFrom(path, new Set()) : undefined;
    return found === undefined ? [] : [`${path}: reaches ${found}`];
  });
}

const TOKENS = "console/design/tokens.css";
/** Sizes of the elements that all others are relative to. */
const BASE = "console/design/base.css";
const COLOR = /#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|oklch|lab|lch)\(/i;
const COLOR_IN_CODE = /["'`](?:#[0-9a-fA-F]{3,8}|(?:rgba?|hsla?)\(\d[^"'`]*\))["'`]/;

/** Colors, sizes of type and shadows have names, and only the file of names has their values. */
export function tokenProblems(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    if (path === TOKENS) return [];
    const lines = text.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, "")).split("\n");
    return lines.flatMap((line, index) => {
      const where = `${path}:${index + 1}`;
      if (isProgram(path)) return COLOR_IN_CODE.test(line) ? [`${where}: raw color`] : [];
      if (!path.endsWith(".css")) return [];
      const [, name, value = ""] = /^\s*(font-size|font|box-shadow)\s*:\s*(.*)$/.exec(line) ?? [];
      const isNamed = /var\(--|^inherit|^none|^0\s*(;|$)/.test(value);
      if (COLOR.test(line)) return [`${where}: raw color`];
      return name === undefined || isNamed || path === BASE ? [] : [`${where}: raw ${name}`];
    });
  });
}

const CHINESE = /\p{Script=Han}/u;

/** Texts that are the same in both languages, or have no Chinese character, and are not allowed to. */
export function untranslatedTexts(sources: Sources, allowed: ReadonlySet<string>): string[] {
  return [...sources]
    .filter(([path]) => isProgram(path))
    .flatMap(([path, text]) => {
      const found: string[] = [];
      visit(parseAst(text, { lang: path.endsWith(".tsx") ? "tsx" : "ts" }), (node) => {
        const callee = node["callee"] as { readonly name?: string } | undefined;
        if (node.type !== "CallExpression" || callee?.name !== "defineText") return;
        const zh = (node["arguments"] as readonly AstNode[])[1];
        visit(zh, (inner) => {
          for (const words of wordsOf(inner)) {
            if (/[A-Za-z]{2}/.test(words) && !CHINESE.test(words) && !allowed.has(words))
              found.push(`${path}: ${words}`);
          }
        });
      });
      return found;
    });
}

/** The words of a property of a text: a literal, or the fixed parts of a template. */
function wordsOf(node: AstNode): string[] {
  if (node.type !== "Property") return [];
  const texts: string[] = [];
  const values: string[] = [];
  visit(node["value"], (inner) => {
    if (inner.type === "Literal" && typeof inner["value"] === "string") values.push(inner["value"]);
    if (inner.type !== "TemplateLiteral") return;
    const parts = inner["quasis"] as readonly { readonly value: { readonly cooked: string } }[];
    texts.push(parts.map(({ value }) => value.cooked).join("{}"));
  });
  return (node["value"] as AstNode).type === "ObjectExpression" ? [] : [...texts, ...(texts.length > 0 ? [] : values)];
}

/** Addresses in built files that are names and not places to load from, and those of the reader's own machine. */
const NAMES = /^https?:\/\/(www\.w3\.org|127\.0\.0\.1|localhost|[\w.-]*\.?example(\.com|\.org)?)([:/$]|$)/;

/** Parts of messages of libraries, which nothing loads. */
const IN_MESSAGES = new Set(["https://github.com/preactjs/preact-iso#locationprovider"]);

export function externalUrls(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([name, text]) =>
    [...text.matchAll(/\bhttps?:\/\/[\w.-]+(?::\d+)?[^\s"'`<>()\\]*/g)]
      .map(([url]) => url)
      .filter((url) => !NAMES.test(url) && !IN_MESSAGES.has(url))
      .map((url) => `${name}: ${url}`),
  );
}
