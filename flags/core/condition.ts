/**
 * Conditions are compiled to functions of an evaluation context, once per release. A context may contain anything: only its
 * own members count, a value of a type that the operator does not support never matches, and no pattern backtracks.
 */
import { RE2JS } from "re2js";
import { messageOf, ownMember } from "#base";
import {
  MATCHED_CHARS_MAX,
  PATTERNS_MAX,
  OPERATORS,
  type ConditionDefinition,
  type EvaluationContext,
  type Operator,
} from "../api.ts";
import { parseRange, parseVersion } from "./semver.ts";

export type Condition = (context: EvaluationContext) => boolean;
export type Pattern = (text: string) => boolean;
/** Takes a problem and its place, a JSON pointer into the document. */
export type Report = (pointer: string, message: string) => void;

export interface Scope {
  /** The segment's condition. Reports at `pointer` a segment that does not exist or refers to itself. */
  readonly segment: (name: string, pointer: string) => Condition;
  /** The compiled pattern. Reports at `pointer` an invalid pattern, or one too many. */
  readonly pattern: (text: string, pointer: string) => Pattern;
  readonly report: Report;
}

/** Replaces a condition whose problem was reported: a set with a problem is never evaluated. */
export const never = (): boolean => false;

/** Reports every problem. After a report the returned condition must not be used. */
export function compileCondition(definition: ConditionDefinition, pointer: string, scope: Scope): Condition {
  const { attribute, all, any, not, segment } = definition;
  const asked = OPERATORS.filter((operator) => definition[operator] !== undefined);
  const kinds = [attribute, all, any, not, segment].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) {
    scope.report(pointer, "A condition must have exactly one of attribute, all, any, not and segment.");
    return never;
  }
  if (attribute === undefined && asked.length > 0) {
    scope.report(`${pointer}/${asked[0]}`, `"${asked[0]}" needs an attribute; add "attribute" to this condition.`);
    return never;
  }
  if (all) return every(all.map((inner, at) => compileCondition(inner, `${pointer}/all/${at}`, scope)));
  if (any) {
    const conditions = any.map((inner, at) => compileCondition(inner, `${pointer}/any/${at}`, scope));
    return (context) => conditions.some((holds) => holds(context));
  }
  if (not) {
    const holds = compileCondition(not, `${pointer}/not`, scope);
    return (context) => !holds(context);
  }
  if (segment !== undefined) return scope.segment(segment, `${pointer}/segment`);
  if (asked.length === 0) {
    scope.report(pointer, `The condition on "${attribute}" has no operator; add one of ${OPERATORS.join(", ")}.`);
    return never;
  }
  const attributeOf = attributeReader(attribute ?? "");
  const tests = asked.map((operator) =>
    COMPILE[operator](definition[operator] as never, { scope, pointer: `${pointer}/${operator}` }),
  );
  return (context) => {
    const value = attributeOf(context);
    return tests.every((holds) => holds(value));
  };
}

function every(conditions: readonly Condition[]): Condition {
  return (context) => conditions.every((holds) => holds(context));
}

/** Reads an attribute by its whole name, or else along its dots. A date is read as its ISO text. */
export function attributeReader(name: string): (context: EvaluationContext) => unknown {
  const parts = name.split(".");
  return (context) => {
    let value: unknown = ownMember(context, name);
    if (value === undefined) value = parts.reduce<unknown>(ownMember, context);
    return value instanceof Date ? (Number.isNaN(value.getTime()) ? undefined : value.toISOString()) : value;
  };
}

/** Compiles each pattern once, however often it occurs in the set. */
export class Patterns {
  readonly #report: Report;
  readonly #compiled = new Map<string, Pattern>();

  constructor(report: Report) {
    this.#report = report;
  }

  compile(text: string, pointer: string): Pattern {
    const known = this.#compiled.get(text);
    if (known) return known;
    if (this.#compiled.size === PATTERNS_MAX) {
      this.#report(
        pointer,
        `The set has more than ${PATTERNS_MAX} different patterns; use equals, in, startsWith or endsWith instead.`,
      );
      return never;
    }
    let matches: Pattern = never;
    try {
      const pattern = RE2JS.compile(text);
      matches = (value) => pattern.test(value);
    } catch (error) {
      this.#report(pointer, `Invalid pattern in RE2's syntax: ${messageOf(error)}.`);
    }
    this.#compiled.set(text, matches);
    return matches;
  }
}

type Holds = (value: unknown) => boolean;
type Operand<Name extends Operator> = NonNullable<ConditionDefinition[Name]>;

const COMPILE: {
  readonly [Name in Operator]: (operand: Operand<Name>, at: { scope: Scope; pointer: string }) => Holds;
} = {
  equals: (operand) => (value) => value === operand,
  in: (operand) => {
    const values = new Set<unknown>(operand);
    return (value) => values.has(value);
  },
  startsWith: (operand) => (value) => typeof value === "string" && value.startsWith(operand),
  endsWith: (operand) => (value) => typeof value === "string" && value.endsWith(operand),
  contains: (operand) => (value) =>
    Array.isArray(value) ? value.includes(operand) : typeof value === "string" && value.includes(String(operand)),
  matches: (operand, { scope, pointer }) => {
    const matches = scope.pattern(operand, pointer);
    return (value) => typeof value === "string" && value.length <= MATCHED_CHARS_MAX && matches(value);
  },
  gt: (operand) => (value) => typeof value === "number" && value > operand,
  gte: (operand) => (value) => typeof value === "number" && value >= operand,
  lt: (operand) => (value) => typeof value === "number" && value < operand,
  lte: (operand) => (value) => typeof value === "number" && value <= operand,
  semver: (operand, { scope, pointer }) => {
    const range = parseRange(operand);
    if (typeof range !== "function") {
      scope.report(pointer, range.problem);
      return never;
    }
    return (value) => {
      const version = typeof value === "string" ? parseVersion(value, { loose: true }) : undefined;
      return version !== undefined && range(version);
    };
  },
  exists: (operand) => (value) => (value !== undefined && value !== null) === operand,
};
