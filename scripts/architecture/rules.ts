/** The rules of imports and exports between the files. Each rule returns its violations as lines. */
import { moduleOf, targetOf, type Aliases, type Source, type SourceImport } from "./sources.ts";

export interface Rulebook {
  /** By module: the public faces of other modules that it may import. */
  readonly may: Readonly<Record<string, readonly string[]>>;
  /** Imports that a contract may have, beside other contracts of its module. */
  readonly contractMay: ReadonlySet<string>;
  /** Imports that a core may have, beside itself and its module's contract. */
  readonly coreMay: ReadonlySet<string>;
}

/** Uses of time, randomness and the outside world, which a core must not have. */
const IMPURE = new RegExp(
  [
    String.raw`\b(Date\.now|Math\.random|random(Bytes|Int|UUID)|set(Timeout|Interval|Immediate)|performance\.now)\b`,
    String.raw`\bnew Date\(\)|(?<!new )\bDate\(\)`,
    String.raw`\bprocess\.|\bfetch\(|\bconsole\.`,
  ].join("|"),
);

const isContract = (path: string) => /^(kernel\/)?[^/]+\/(api\.ts|contract\/)/.test(path);
const isCore = (path: string) => path.startsWith(`${moduleOf(path)}/core/`);

export function importViolations(sources: readonly Source[], aliases: Aliases, rules: Rulebook): string[] {
  const found: string[] = [];
  for (const { path, imports, code } of sources) {
    const module = moduleOf(path);
    if (!rules.may[module]) found.push(`${path}: its folder has no row in the table`);
    for (const one of imports) {
      const wrong = importProblem(path, one, aliases, rules);
      if (wrong !== undefined) found.push(`${path}: ${wrong}`);
    }
    const impure = isCore(path) ? IMPURE.exec(code) : null;
    if (impure) found.push(`${path}: a core may not use ${impure[0]}`);
  }
  return [...new Set(found)];
}

function importProblem(path: string, one: SourceImport, aliases: Aliases, rules: Rulebook): string | undefined {
  const { specifier } = one;
  const module = moduleOf(path);
  const to = targetOf(aliases, path, specifier);
  if (specifier.startsWith(".") && (to === undefined || moduleOf(to) !== module))
    return `${specifier} leaves its folder`;
  if (specifier.startsWith("#")) {
    if (to === undefined) return `${specifier} is not a public face`;
    if (!rules.may[module]?.includes(specifier)) return `may not import ${specifier}`;
  }
  const isOwnContract = to !== undefined && isContract(to) && moduleOf(to) === module;
  if (isContract(path) && !isOwnContract && !rules.contractMay.has(specifier))
    return `a contract may not import ${specifier}`;
  if (!isCore(path)) return undefined;
  if (one.kind === "dynamic") return `a core may not load ${specifier} at run time`;
  const isOwnCore = to !== undefined && to.startsWith(`${module}/core/`);
  return isOwnCore || isOwnContract || rules.coreMay.has(specifier) ? undefined : `a core may not import ${specifier}`;
}

/** Unused entries of the rulebook, and packages in it that are not dependencies. */
export function rulebookViolations(
  sources: readonly Source[],
  rules: Rulebook,
  dependencies: ReadonlySet<string>,
): string[] {
  const found: string[] = [];
  const importsOf = (belongs: (path: string) => boolean) =>
    new Set(sources.filter(({ path }) => belongs(path)).flatMap(({ imports }) => imports.map((one) => one.specifier)));
  for (const [module, faces] of Object.entries(rules.may)) {
    const used = importsOf((path) => moduleOf(path) === module);
    if (used.size === 0 && faces.length > 0) found.push(`the table has a row for ${module}, which does not exist`);
    for (const face of faces) if (!used.has(face)) found.push(`${module} does not import ${face}`);
  }
  for (const [who, allowed, belongs] of [
    ["contract", rules.contractMay, isContract],
    ["core", rules.coreMay, isCore],
  ] as const) {
    const used = importsOf(belongs);
    for (const specifier of allowed) {
      if (!used.has(specifier)) found.push(`no ${who} imports ${specifier}`);
      const isPackage = !/^(#|node:)/.test(specifier);
      if (isPackage && !dependencies.has(packageOf(specifier))) found.push(`${specifier} is not a dependency`);
    }
  }
  return found;
}

/** "@scope/name/sub" → "@scope/name". */
function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Import cycles, as "a → b → a". Types count, too, because a reader follows them in the same way. */
export function importCycles(sources: readonly Source[], aliases: Aliases): string[] {
  const graph = new Map<string, string[]>();
  for (const { path, imports } of sources)
    graph.set(
      path,
      imports.map(({ specifier }) => targetOf(aliases, path, specifier)).filter((to) => to !== undefined),
    );
  const cycles: string[] = [];
  const state = new Map<string, "open" | "done">();
  const walk = (path: string, trail: readonly string[]) => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      return;
    }
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of graph.keys()) walk(path, []);
  return cycles;
}

/** Files that cannot be reached from an entry. */
export function unreachedFiles(sources: readonly Source[], aliases: Aliases, entries: readonly string[]): string[] {
  const all = new Map(sources.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const walk = (path: string) => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { specifier } of all.get(path)?.imports ?? []) {
      const to = targetOf(aliases, path, specifier);
      if (to !== undefined) walk(to);
    }
  };
  for (const entry of entries) walk(entry);
  return sources.map(({ path }) => path).filter((path) => !reached.has(path));
}

/**
 * Exported values that no file imports. Types are excluded, because a type in an exported signature belongs to it. `users`: every file that
 * may import, including tests; `entries` are imported from outside.
 */
export function deadExports(
  sources: readonly Source[],
  users: readonly Source[],
  aliases: Aliases,
  entries: readonly string[],
): string[] {
  const used = new Map<string, Set<string>>();
  for (const { path, imports } of users) {
    for (const { specifier, names } of imports) {
      const to = targetOf(aliases, path, specifier);
      if (to === undefined) continue;
      const known = used.get(to) ?? new Set();
      for (const name of names) known.add(name);
      used.set(to, known);
    }
  }
  return sources
    .filter(({ path }) => !entries.includes(path) && !used.get(path)?.has("*"))
    .flatMap(({ path, exports }) =>
      exports.filter((name) => !used.get(path)?.has(name)).map((name) => `${path}: ${name} is never imported`),
    );
}
