/** Conditions of flags in one line, as short as they are written: `email endsWith "@example.com" and age gte 18`. */
import type { ConditionDefinition, RuleDefinition } from "#flags/core";

type Condition = ConditionDefinition;
const COMBINING = new Set(["attribute", "all", "any", "not", "segment"]);

export function conditionWords(condition: Condition): string {
  const { attribute, all, any, not, segment } = condition as {
    readonly attribute?: string;
    readonly all?: readonly Condition[];
    readonly any?: readonly Condition[];
    readonly not?: Condition;
    readonly segment?: string;
  };
  if (segment !== undefined) return `segment ${segment}`;
  if (all) return all.map(inner).join(" and ");
  if (any) return any.map(inner).join(" or ");
  if (not) return `not ${inner(not)}`;
  const operators = Object.entries(condition).filter(([name]) => !COMBINING.has(name));
  return operators.map(([name, value]) => `${attribute ?? ""} ${name} ${valueWords(value)}`).join(" and ");
}

/** A combination within another one has brackets. */
function inner(condition: Condition): string {
  const words = conditionWords(condition);
  return "all" in condition || "any" in condition ? `(${words})` : words;
}

/** `on`, or `on 10 %, off 90 % by targetingKey`. */
export function outcomeWords({ variant, split, by = "targetingKey" }: RuleDefinition): string {
  if (variant !== undefined) return variant;
  const shares = Object.entries(split ?? {}).map(([name, percent]) => `${name} ${percent} %`);
  return `${shares.join(", ")} by ${by}`;
}

export function valueWords(value: unknown): string {
  return JSON.stringify(value) ?? "";
}
