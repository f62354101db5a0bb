/** The imports and exports of each source file, read by a parser, for the rules of the architecture. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseAst } from "vitest/node";

export interface SourceImport {
  readonly specifier: string;
  /** "type" imports do not exist at run time, so they cannot close a run-time cycle. */
  readonly kind: "value" | "type" | "dynamic";
  /** Imported names; "*" for all of them. */
  readonly names: readonly string[];
}

export interface Source {
  /** From the root, with slashes. */
  readonly path: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly SourceImport[];
  /** Values that others can import, without re-exports of other files. */
  readonly exports: readonly string[];
}

export interface AstNode {
  readonly type: string;
  readonly [field: string]: unknown;
}

interface Specifier {
  readonly imported?: { readonly name?: string; readonly value?: string };
  readonly local: { readonly name?: string; readonly value?: string };
  readonly exported?: { readonly name?: string; readonly value?: string };
  readonly importKind?: string;
  readonly exportKind?: string;
  readonly type: string;
}

const nameOf = (word: { readonly name?: string; readonly value?: string } | undefined) =>
  word?.name ?? word?.value ?? "";

export function readSource(path: string, text: string): Source {
  const program = parseAst(text, { lang: path.endsWith(".tsx") ? "tsx" : "ts" }) as unknown as {
    readonly body: readonly AstNode[];
    readonly comments?: readonly { readonly start: number; readonly end: number }[];
  };
  const imports: SourceImport[] = [];
  const exports: string[] = [];
  for (const node of program.body) readStatement(node, imports, exports);
  visit(program, (node) => {
    const source = node.type === "ImportExpression" ? node["source"] : undefined;
    const literal = (source as { readonly value?: unknown } | undefined)?.value;
    if (typeof literal === "string") imports.push({ specifier: literal, kind: "dynamic", names: ["*"] });
    const type = node.type === "TSImportType" ? (node["source"] ?? node["argument"]) : undefined;
    const typeLiteral = (type as { readonly value?: unknown } | undefined)?.value;
    if (typeof typeLiteral === "string") imports.push({ specifier: typeLiteral, kind: "type", names: ["*"] });
  });
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
  return { path, code, imports, exports: [...new Set(exports)] };
}

function readStatement(node: AstNode, imports: SourceImport[], exports: string[]): void {
  const specifier = (node["source"] as { readonly value?: string } | null | undefined)?.value;
  const specifiers = (node["specifiers"] ?? []) as readonly Specifier[];
  if (node.type === "ImportDeclaration" && specifier !== undefined) {
    take(
      imports,
      specifier,
      node["importKind"] === "type",
      specifiers,
      (one) => nameOf(one.imported) || "*",
      "importKind",
    );
    if (specifiers.length === 0) imports.push({ specifier, kind: "value", names: [] });
  } else if (node.type === "ExportAllDeclaration" && specifier !== undefined) {
    imports.push({ specifier, kind: node["exportKind"] === "type" ? "type" : "value", names: ["*"] });
  } else if (node.type === "ExportNamedDeclaration" && specifier !== undefined) {
    take(imports, specifier, node["exportKind"] === "type", specifiers, (one) => nameOf(one.local), "exportKind");
  } else if (node.type === "ExportNamedDeclaration") {
    if (node["exportKind"] !== "type") exports.push(...specifiers.map((one) => nameOf(one.exported)));
    exports.push(...declaredNames(node["declaration"] as AstNode | null));
  } else if (node.type === "ExportDefaultDeclaration") exports.push("default");
}

/** One import for the types of a statement, and one for its values. */
function take(
  imports: SourceImport[],
  specifier: string,
  allTypes: boolean,
  specifiers: readonly Specifier[],
  nameIn: (one: Specifier) => string,
  kindField: "importKind" | "exportKind",
): void {
  const isType = (one: Specifier) => allTypes || one[kindField] === "type";
  for (const kind of ["type", "value"] as const) {
    const names = specifiers.filter((one) => isType(one) === (kind === "type")).map(nameIn);
    if (names.length > 0) imports.push({ specifier, kind, names });
  }
}

function declaredNames(declaration: AstNode | null): string[] {
  if (!declaration || declaration.type === "TSInterfaceDeclaration" || declaration.type === "TSTypeAliasDeclaration")
    return [];
  if (declaration.type !== "VariableDeclaration") {
    return [nameOf(declaration["id"] as { readonly name?: string } | undefined)].filter((name) => name !== "");
  }
  const found: string[] = [];
  for (const { id } of declaration["declarations"] as readonly { readonly id: AstNode }[]) {
    if (id.type === "Identifier") found.push(id["name"] as string);
    else visit(id, (node) => void (node.type === "Identifier" && found.push(node["name"] as string)));
  }
  return found;
}

/** Looks at every node of a syntax tree. */
export function visit(node: unknown, look: (node: AstNode) => void): void {
  if (Array.isArray(node)) {
    for (const one of node) visit(one, look);
  } else if (typeof node === "object" && node !== null) {
    if (typeof (node as { type?: unknown }).type === "string") look(node as AstNode);
    for (const value of Object.values(node)) visit(value, look);
  }
}

export function loadSources(root: string, patterns: readonly string[]): Source[] {
  return patterns
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .map((path) => path.replaceAll("\\", "/"))
    .sort()
    .map((path) => readSource(path, readFileSync(join(root, path), "utf8")));
}

/** Top-level folders that are not the program itself. The console runs in browsers and has rules of its own. */
const BESIDE = ["test", "scripts", "bench", "console", "examples", "docs", "node_modules", "dist", "dist-client"];

/** Every source of the program. */
export function programSources(root: string): Source[] {
  const paths = globSync("*/**/*.ts", { cwd: root, exclude: BESIDE }).map((path) => path.replaceAll("\\", "/"));
  return loadSources(
    root,
    [...new Set(paths.map((path) => path.split("/", 1)[0] as string))].map((folder) => `${folder}/**/*.ts`),
  );
}

/** package.json's "imports". */
export function readAliases(root: string): Aliases {
  return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly imports: Aliases }).imports;
}

export type Aliases = Readonly<Record<string, string>>;

/** The file of an import; undefined for packages and Node's own modules. */
export function targetOf(aliases: Aliases, from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return normalize(join(dirname(from), specifier));
  const aliased = specifier.startsWith("#") ? aliases[specifier] : undefined;
  return aliased === undefined ? undefined : normalize(aliased);
}

/** The module of a file: a folder of the kernel, or a top-level folder. */
export function moduleOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first === "kernel" ? `kernel/${second}` : first;
}
