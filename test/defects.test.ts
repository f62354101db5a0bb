/**
 * Forbidden in every file, checked with the compiler's own types: looking up a name from outside in a plain object,
 * which also finds `constructor`; and leaving a promise behind whose failure is not handled.
 */
import { join } from "node:path";
import { API, TypeFlags, type Checker, type Type } from "typescript/unstable/sync";
import { SyntaxKind, type Node, type SourceFile } from "typescript/unstable/ast";
import { afterAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
/** The two functions that everything else goes through. */
const HOME = "kernel/base/own.ts";

const api = new API({ cwd: root });
afterAll(() => api.close());
const [project] = api.updateSnapshot({ openProjects: [join(root, "tsconfig.json")] }).getProjects();

interface Found {
  readonly path: string;
  readonly file: SourceFile;
  readonly node: Node;
  /** Whose type decides. */
  readonly subject: Node;
}

/** Nodes of our own code, tests aside, that `subjectOf` finds something to ask about. */
function search(
  files: readonly (readonly [path: string, file: SourceFile])[],
  subjectOf: (node: Node) => Node | undefined,
) {
  const found: Found[] = [];
  for (const [path, file] of files) {
    const visit = (node: Node): void => {
      const subject = subjectOf(node);
      if (subject) found.push({ path, file, node, subject });
      node.forEachChild(visit);
    };
    file.forEachChild(visit);
  }
  return found;
}

function ours(): (readonly [string, SourceFile])[] {
  const { rootFiles, program } = project as NonNullable<typeof project>;
  return rootFiles.flatMap((name) => {
    const path = name.slice(root.length + 1);
    const file = /^(test|bench|scripts|node_modules|vitest)/.test(path) ? undefined : program.getSourceFile(name);
    return file ? [[path, file] as const] : [];
  });
}

function placeOf({ path, file, node }: Found): string {
  const text = file.text.slice(node.pos, node.end).trim();
  return `${path}:${file.text.slice(0, node.end).split("\n").length}: ${text.slice(0, 80)}`;
}

/** Whether a value may be any text at all: not one of a few literals, nor a number. */
function isAnyText(type: Type | undefined): boolean {
  if (!type) return false;
  const { String, TemplateLiteral, Any, Unknown, TypeParameter, Union } = TypeFlags;
  if ((type.flags & (String | TemplateLiteral | Any | Unknown | TypeParameter)) !== 0) return true;
  return (type.flags & Union) !== 0 && (type as Type & { getTypes(): readonly Type[] }).getTypes().some(isAnyText);
}

type Shape = Node & {
  argumentExpression?: Node;
  expression?: Node;
  operatorToken?: Node;
  left?: Node;
  propertyName?: Node;
};

/** The name in `object[name]`, `name in object` and `{ [name]: x } = object`. */
function nameLookedUp(node: Node): Node | undefined {
  const { argumentExpression, operatorToken, left, propertyName } = node as Shape;
  if (node.kind === SyntaxKind.ElementAccessExpression) {
    return node.parent.kind === SyntaxKind.DeleteExpression ? undefined : argumentExpression;
  }
  if (node.kind === SyntaxKind.BinaryExpression) {
    return operatorToken?.kind === SyntaxKind.InKeyword ? left : undefined;
  }
  if (node.kind !== SyntaxKind.BindingElement || propertyName?.kind !== SyntaxKind.ComputedPropertyName)
    return undefined;
  return (propertyName as Shape).expression;
}

function lookups(files: readonly (readonly [string, SourceFile])[], checker: Checker): string[] {
  const found = search(files, nameLookedUp);
  const types = checker.getTypeAtLocation(found.map(({ subject }) => subject));
  return found.filter((_one, at) => isAnyText(types[at])).map(placeOf);
}

test("a name from outside is looked up by own() and set by setOwn(), which see no inherited member", () => {
  const { checker } = project as NonNullable<typeof project>;
  const files = ours();
  expect(files.length).toBeGreaterThan(300);
  const found = lookups(files, checker);
  expect(found.filter((place) => !place.startsWith(HOME))).toEqual([]);
  // The scan does see such lookups: these are the ones that it allows.
  expect(found.filter((place) => place.startsWith(HOME)).length).toBe(2);
});
