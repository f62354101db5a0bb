/** The picture of ARCHITECTURE.md: the modules in layers, drawn from the imports between them. */
import { moduleOf, targetOf, type Aliases, type Source } from "./sources.ts";

/** Columns of the page. */
const WIDTH = 100;
const LABEL = 10;
export const PICTURE_MARKS = { begin: "<!-- modules: npm run generate -->", end: "<!-- /modules -->" } as const;

/**
 * The imports between modules, without contracts (`api.ts`, `contract/`) and the gateway's balancing core: pure, and importable by every
 * module.
 */
function moduleImports(sources: readonly Source[], aliases: Aliases): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const { path, imports } of sources) {
    const from = moduleOf(path);
    const known = graph.get(from) ?? new Set();
    graph.set(from, known);
    for (const { specifier } of imports) {
      const to = targetOf(aliases, path, specifier);
      if (to === undefined || /\/(api\.ts|contract\/)|^gateway\/core\/balancing\//.test(to)) continue;
      const module = moduleOf(to);
      if (module !== from) known.add(module);
    }
  }
  return graph;
}

/** Each module one layer above the highest that it imports. @throws Error when two modules import each other */
function layersOf(graph: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const heights = new Map<string, number>();
  const heightOf = (module: string, trail: readonly string[]): number => {
    if (trail.includes(module)) throw new Error(`modules import each other: ${[...trail, module].join(" → ")}`);
    const known = heights.get(module);
    if (known !== undefined) return known;
    const below = [...(graph.get(module) ?? [])].map((one) => heightOf(one, [...trail, module]));
    const height = below.length === 0 ? 0 : Math.max(...below) + 1;
    heights.set(module, height);
    return height;
  };
  for (const module of graph.keys()) heightOf(module, []);
  const layers: string[][] = [];
  for (const [module, height] of heights) (layers[height] ??= []).push(module);
  return layers.map((layer) => layer.sort());
}

export function modulesPicture(sources: readonly Source[], aliases: Aliases): string {
  const layers = layersOf(moduleImports(sources, aliases));
  const rule = `+${"-".repeat(WIDTH - 2)}+`;
  const lines = layers.toReversed().flatMap((layer, index) => {
    const label = `  ${layers.length - 1 - index}`.padEnd(LABEL - 4);
    const words = layer.map((module) => `[ ${module} ]`).join("  ");
    return [rule, `|${label}${words}`.padEnd(WIDTH - 1) + "|"];
  });
  return ["```text", ...lines, rule, "```"].join("\n");
}

/** A page with an updated picture. */
export function withPicture(page: string, picture: string): string {
  const { begin, end } = PICTURE_MARKS;
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`the page has no "${begin}" before "${end}"`);
  return `${page.slice(0, from + begin.length)}\n\n${picture}\n\n${page.slice(to)}`;
}
