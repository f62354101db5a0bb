/** The built console as a graph of files with their compressed sizes. */
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { projectRoot } from "../kit/mod.ts";

export interface BuiltFile {
  readonly name: string;
  readonly text: string;
  /** Sources that this file was made of. */
  readonly sources: readonly string[];
  /** Files that are loaded together with this one: scripts and styles. */
  readonly imports: readonly string[];
}

export type Bundle = ReadonlyMap<string, BuiltFile>;

/** Builds the console in memory, as it is released: libraries leave out what only helps in development, unless they see a test. */
export async function builtBundle(): Promise<Bundle> {
  const before = process.env["NODE_ENV"];
  process.env["NODE_ENV"] = "production";
  try {
    return await built();
  } finally {
    if (before === undefined) delete process.env["NODE_ENV"];
    else process.env["NODE_ENV"] = before;
  }
}

async function built(): Promise<Bundle> {
  const { build } = await import("vite");
  const output = await build({
    configFile: join(projectRoot, "console", "vite.config.ts"),
    logLevel: "error",
    build: { write: false },
  });
  const outputs = Array.isArray(output) ? output : [output];
  const files = new Map<string, BuiltFile>();
  for (const one of outputs) {
    if (!("output" in one)) continue;
    for (const part of one.output) {
      const isScript = part.type === "chunk";
      const styles = isScript ? [...(part.viteMetadata?.importedCss ?? [])] : [];
      files.set(part.fileName, {
        name: part.fileName,
        text: isScript ? part.code : Buffer.from(part.source).toString("utf8"),
        sources: isScript ? part.moduleIds.map((id) => id.slice(projectRoot.length + 1)) : [],
        imports: isScript ? [...part.imports, ...styles] : [],
      });
    }
  }
  return files;
}

/** The file that a source became a part of. */
export function fileWith(bundle: Bundle, source: string): string {
  for (const { name, sources } of bundle.values()) if (sources.includes(source)) return name;
  throw new Error(`no built file has ${source}`);
}

/** These files and all that is loaded with them. */
export function loadedWith(bundle: Bundle, names: readonly string[], seen = new Set<string>()): ReadonlySet<string> {
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    loadedWith(bundle, bundle.get(name)?.imports ?? [], seen);
  }
  return seen;
}

/** Kilobytes of files as they are sent. */
export function kilobytes(bundle: Bundle, names: Iterable<string>): number {
  return [...names].reduce((sum, name) => sum + gzipSync(bundle.get(name)?.text ?? "", { level: 9 }).length, 0) / 1000;
}

/**
 * Kilobytes, gzip, that a part of the console may have; DESIGN.md names them. `all` grew from 360 by the pages of identity: certificates,
 * service rules, the six views of Access beside tokens, and the login of devices, each loaded only when it is opened.
 */
export const BUDGETS = { first: 45, charts: 25, graph: 20, editor: 125, page: 15, all: 383 } as const;
export type BudgetName = keyof typeof BUDGETS;

/** The first load is the page itself, its scripts and styles, and the overview; others count beyond it. `page` is the largest page. */
export function sizesOf(bundle: Bundle): Record<BudgetName, number> {
  const index = fileWith(bundle, "console/main.tsx");
  const overview = fileWith(bundle, "console/pages/overview/page.tsx");
  const linked = [...(bundle.get("index.html")?.text ?? "").matchAll(/(?:src|href)="\/ui\/([^"]+)"/g)].map(
    ([, name = ""]) => name,
  );
  const first = loadedWith(bundle, ["index.html", ...linked, index, overview]);
  const beyond = (sources: readonly string[]) => {
    const names = loadedWith(
      bundle,
      sources.map((source) => fileWith(bundle, source)),
    );
    return kilobytes(
      bundle,
      [...names].filter((name) => !first.has(name)),
    );
  };
  return {
    first: kilobytes(bundle, first),
    charts: beyond(["console/components/chart-plot.ts"]),
    graph: beyond(["console/components/graph-layout.ts"]),
    editor: beyond(editorSources(bundle)),
    page: Math.max(...pagesOf(bundle).map((source) => beyond([source, TABLE]) - beyond([TABLE]))),
    all: kilobytes(bundle, bundle.keys()),
  };
}

/** Most pages have a table; it counts once for all of them. */
const TABLE = "console/components/table.tsx";

function pagesOf(bundle: Bundle): string[] {
  const parts = [...bundle.values()].flatMap(({ sources }) => sources);
  return parts.filter((source) => /^console\/pages\/[\w-]+\/page\.tsx$/.test(source));
}

/** All of CodeMirror that the console can load: the editor, differences and languages. */
function editorSources(bundle: Bundle): string[] {
  const parts = [...bundle.values()].flatMap(({ sources }) => sources);
  return parts.filter((source) => /^console\/components\/code\/.*\.ts$/.test(source));
}

export function budgetProblems(sizes: Readonly<Record<BudgetName, number>>): string[] {
  return (Object.keys(BUDGETS) as BudgetName[]).flatMap((name) => {
    const over = sizes[name] > BUDGETS[name];
    return over ? [`${name}: ${sizes[name].toFixed(1)} kB of ${BUDGETS[name]}`] : [];
  });
}
