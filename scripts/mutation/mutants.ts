/**
 * Mutants of a source text: small changes of behavior, one at a time, that a test should detect. Types, comments, texts and messages are
 * not changed, because they do not affect behavior.
 */
import { parseAst } from "vitest/node";

export type MutantKind = "comparison" | "logic" | "negation" | "arithmetic" | "constant" | "dropped line";

export interface Mutant {
  readonly kind: MutantKind;
  /** Characters of the text that are replaced. */
  readonly start: number;
  readonly end: number;
  readonly before: string;
  readonly after: string;
  /** Counted from 1. */
  readonly line: number;
}

const SWAPPED: Readonly<Record<string, readonly [MutantKind, string]>> = {
  "<": ["comparison", "<="],
  "<=": ["comparison", "<"],
  ">": ["comparison", ">="],
  ">=": ["comparison", ">"],
  "===": ["comparison", "!=="],
  "!==": ["comparison", "==="],
  "&&": ["logic", "||"],
  "||": ["logic", "&&"],
  "+": ["arithmetic", "-"],
  "-": ["arithmetic", "+"],
  "*": ["arithmetic", "/"],
  "/": ["arithmetic", "*"],
  "%": ["arithmetic", "*"],
  "+=": ["arithmetic", "-="],
  "-=": ["arithmetic", "+="],
  "++": ["arithmetic", "--"],
  "--": ["arithmetic", "++"],
};

/** A node of the tree, as ESTree has it. */
interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

type Add = (kind: MutantKind, place: { start: number; end: number }, after: string) => void;

/** All mutants of a text, in its order. The same text always has the same mutants. */
export function mutantsOf(text: string): Mutant[] {
  const found: Mutant[] = [];
  const starts = lineStarts(text);
  const add: Add = (kind, { start, end }, after) => {
    const line = starts.findLastIndex((at) => at <= start) + 1;
    found.push({ kind, start, end, before: text.slice(start, end), after, line });
  };
  visit(parseAst(text, { lang: "ts" }) as unknown as Node, text, add);
  return found.sort((a, b) => a.start - b.start || a.end - b.end);
}

/** The text with one mutant in it. */
export function mutated(text: string, { start, end, after }: Mutant): string {
  return text.slice(0, start) + after + text.slice(end);
}

/** Nodes that do not affect behavior: types do not exist at run time; templates and thrown errors are for people. */
function isSilent({ type }: Node): boolean {
  return (
    /^TS(?!NonNull|As|Satisfies|TypeAssertion)/.test(type) ||
    type === "ImportDeclaration" ||
    type === "ExportAllDeclaration" ||
    type === "TemplateLiteral" ||
    type === "ThrowStatement"
  );
}

/** Names of properties whose value is for people only. */
const FOR_PEOPLE = new Set(["message", "description", "detail", "reason", "title"]);

function visit(node: Node, text: string, add: Add): void {
  if (node.type === "ThrowStatement") add("dropped line", node, ";");
  if (isSilent(node)) return;
  mutate(node, text, add);
  if (node.type === "Property" && FOR_PEOPLE.has(nameOf(node["key"] as Node))) return;
  for (const [field, value] of Object.entries(node)) {
    // A numeric key names a member. A type argument is a type.
    if ((field === "key" && node["computed"] !== true) || /^type(Annotation|Parameters|Arguments)$/.test(field))
      continue;
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value])
      if (isNode(child)) visit(child, text, add);
  }
}

function mutate(node: Node, text: string, add: Add): void {
  switch (node.type) {
    case "BinaryExpression":
    case "LogicalExpression":
      return swapOperator(node, text, add);
    case "AssignmentExpression":
      if (!isText(node["right"] as Node)) swapOperator(node, text, add);
      return;
    case "UpdateExpression": {
      const [, after] = SWAPPED[node["operator"] as string] as readonly [MutantKind, string];
      const start = node["prefix"] === true ? node.start : node.end - 2;
      return add("arithmetic", { start, end: start + 2 }, after);
    }
    case "UnaryExpression":
      if (node["operator"] === "!") add("negation", { start: node.start, end: node.start + 1 }, "!!");
      return;
    case "IfStatement":
    case "ConditionalExpression":
    case "WhileStatement":
      return negate(node["test"] as Node, text, add);
    case "Literal":
      if (typeof node["value"] === "number") add("constant", node, otherNumber(node["value"], node["raw"] as string));
      if (typeof node["value"] === "boolean") add("constant", node, String(!node["value"]));
      return;
    case "ExpressionStatement":
      // Directives such as `"use strict"` have no effect here.
      if (!node["directive"]) add("dropped line", node, ";");
      return;
    case "ContinueStatement":
    case "BreakStatement":
      return add("dropped line", node, ";");
    case "ReturnStatement":
      if (!node["argument"]) add("dropped line", node, ";");
      return;
    default:
  }
}

function swapOperator(node: Node, text: string, add: Add): void {
  const operator = node["operator"] as string;
  const swap = SWAPPED[operator];
  const [left, right] = [node["left"] as Node, node["right"] as Node];
  if (!swap || (operator === "+" && (isText(left) || isText(right)))) return;
  // Only the operator, spaces, brackets and comments are between the operands.
  const between = text
    .slice(left.end, right.start)
    .replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, (comment) => " ".repeat(comment.length));
  const start = left.end + between.indexOf(operator);
  add(swap[0], { start, end: start + operator.length }, swap[1]);
}

/** A whole condition, unless a swapped operator is equivalent. */
function negate(test: Node, text: string, add: Add): void {
  const operator = test["operator"] as string | undefined;
  if (operator === "===" || operator === "!==" || operator === "!") return;
  add("negation", test, `!(${text.slice(test.start, test.end)})`);
}

/** A small integer, which may be an index or a count, plus one; any other number, which may be a limit, doubled. */
function otherNumber(value: number, raw: string): string {
  return Number.isInteger(value) && value <= 2 ? String(value + 1) : `(2 * ${raw})`;
}

function isText(node: Node): boolean {
  if (node.type === "TemplateLiteral" || (node.type === "Literal" && typeof node["value"] === "string")) return true;
  return (
    node.type === "BinaryExpression" &&
    node["operator"] === "+" &&
    [node["left"], node["right"]].some((side) => isText(side as Node))
  );
}

function nameOf(key: Node): string {
  return String(key["name"] ?? key["value"]);
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}
