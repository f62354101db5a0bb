/**
 * Whether a caller has every right that it hands out. Compared are rules, not decisions, because there are more resources than anybody can
 * try. The comparison is strict: rights that it cannot show to be covered count as missing. Pure.
 */
import {
  type Action,
  actionsOfRule,
  matchesGlob,
  type Policy,
  type PolicyRule,
  type ResourceField,
} from "#authorization";
import { FIELD_OF_LIMIT, type GrantLimits, type LimitsFor } from "./narrowed-policy.ts";

/** Rules with the limits that narrow them: of a caller, or of a token that it issues. */
export interface Grant {
  readonly policies: readonly Policy[];
  readonly limits?: GrantLimits | undefined;
}

/** A right that the caller would hand out and does not have. */
export interface MissingRight {
  readonly action: Action;
  readonly policy: string;
  /** Number of the rule in its policy, from 1. */
  readonly index: number;
}

/** Patterns by field; an absent field is every value. */
type Region = Readonly<Partial<Record<ResourceField, readonly string[]>>>;

/** One of the regions must hold for each field: the globs of a rule, and the names of the limits. */
interface Narrowed {
  readonly rule: Region;
  readonly limits: Region;
}

/** A caller that may see a secret in the clear may also hand out that an instance receives it. */
const COVERED_BY: Readonly<Partial<Record<Action, Action>>> = { "config:secrets": "config:reveal" };

/** The first right of `given` that `own` lacks. `limitsFor`: the limits that an action has. */
export function missingRight(own: Grant, given: Grant, limitsFor: LimitsFor): MissingRight | undefined {
  const denies = rulesOf(given).filter(({ rule }) => rule.effect === "deny");
  for (const { rule, policy, index } of rulesOf(given)) {
    if (rule.effect === "deny") continue;
    for (const action of actionsOfRule(rule)) {
      const region: Narrowed = { rule: regionOf(rule), limits: limitsOf(given.limits, limitsFor(action)) };
      if (isEmpty(region) || isCovered(own, { action, region, denies, limitsFor })) continue;
      return { action, policy, index };
    }
  }
  return undefined;
}

interface AskedRight {
  readonly action: Action;
  readonly region: Narrowed;
  /** Denying rules of what is handed out. */
  readonly denies: readonly { readonly rule: PolicyRule }[];
  readonly limitsFor: LimitsFor;
}

function isCovered(own: Grant, asked: AskedRight): boolean {
  const other = COVERED_BY[asked.action];
  return isCoveredAs(own, asked.action, asked) || (other !== undefined && isCoveredAs(own, other, asked));
}

/** Whether an own rule about `as` allows all of the region, and no own rule denies a part of it that remains allowed. */
function isCoveredAs(own: Grant, as: Action, { action, region, denies, limitsFor }: AskedRight): boolean {
  const rules = rulesOf(own).filter(({ rule }) => actionsOfRule(rule).includes(as));
  const limits = limitsOf(own.limits, limitsFor(as));
  const isAllowed = rules.some(({ rule }) => rule.effect === "allow" && isWithin(region, regionOf(rule)));
  if (!isAllowed || !isWithin(region, limits)) return false;
  return rules
    .filter(({ rule }) => rule.effect === "deny" && overlaps(region, regionOf(rule)))
    .every(({ rule }) =>
      denies.some(
        (kept) =>
          actionsOfRule(kept.rule).includes(action) &&
          isWithin({ rule: regionOf(rule), limits: {} }, regionOf(kept.rule)),
      ),
    );
}

function rulesOf({ policies }: Grant) {
  return policies.flatMap(({ name, rules }) => rules.map((rule, index) => ({ rule, policy: name, index: index + 1 })));
}

function regionOf({ on = {} }: PolicyRule): Region {
  return Object.fromEntries(Object.entries(on).filter(([, globs]) => !globs.some((glob) => /^\*+$/.test(glob))));
}

function limitsOf(limits: GrantLimits | undefined, kinds: ReturnType<LimitsFor>): Region {
  return Object.fromEntries(
    kinds.flatMap((kind) => {
      const names = limits?.[kind];
      return names === undefined || names.includes("*") ? [] : [[FIELD_OF_LIMIT[kind], names]];
    }),
  );
}

/** Limits without a name leave nothing. */
function isEmpty({ limits }: Narrowed): boolean {
  return Object.values(limits).some((names) => names.length === 0);
}

/** Whether everything in a narrowed region is in another one. */
function isWithin({ rule, limits }: Narrowed, outer: Region): boolean {
  return (Object.entries(outer) as [ResourceField, readonly string[]][]).every(([field, globs]) => {
    const isInside = (inner: readonly string[] | undefined) =>
      // A literal matches only itself, and the `*` of an inner glob only a `*`, so this is inclusion.
      inner !== undefined && inner.every((one) => globs.some((glob) => matchesGlob(glob, one)));
    return isInside(rule[field]) || isInside(limits[field]);
  });
}

/** Whether a narrowed region and another one may have a resource in common. */
function overlaps({ rule, limits }: Narrowed, other: Region): boolean {
  return (Object.entries(other) as [ResourceField, readonly string[]][]).every(([field, globs]) =>
    [rule[field], limits[field]].every(
      (inner) => inner === undefined || inner.some((one) => globs.some((glob) => globsMeet(one, glob))),
    ),
  );
}

/** Whether a text exists that both globs match. */
export function globsMeet(a: string, b: string): boolean {
  const starsOf = (glob: string, length: number) => glob.slice(0, length).replaceAll("*", "") === "";
  // row[j]: whether a prefix of `a` and the first j signs of `b` can match the same text.
  let row = Array.from({ length: b.length + 1 }, (_, j) => starsOf(b, j));
  for (let i = 1; i <= a.length; i++) {
    const next = [starsOf(a, i)];
    for (let j = 1; j <= b.length; j++) {
      const isStar = a[i - 1] === "*" || b[j - 1] === "*";
      next.push(isStar ? (next[j - 1] ?? false) || (row[j] ?? false) : a[i - 1] === b[j - 1] && (row[j - 1] ?? false));
    }
    row = next;
  }
  return row[b.length] ?? false;
}
