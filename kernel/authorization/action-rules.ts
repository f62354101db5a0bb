/**
 * Every rule about one action, of one combination of policies. Decisions are remembered by the fields that the rules look at, so most cost
 * one look-up. The first decision about a resource looks only at rules that name one of its values, and at those with globs.
 */
import { type Action, type Resource, RESOURCE_FIELDS, type ResourceField } from "./contract/actions.ts";
import type { DecidingRule, PolicyRule } from "./api.ts";
import { type GlobTest, globTest } from "./contract/glob.ts";

/** The app whose config every posthouse process reads for itself, such as its log level. */
export const OWN_APP = "posthouse";
/** Decisions remembered per action: the services and keys that the callers of a large installation ask for, in a few MiB. */
const MEMO_MAX = 10_000;
/** Characters of a remembered resource. Longer names are the caller's invention, and are decided without the memory. */
const MEMO_KEY_MAX = 1_024;
/** The fields that rules are found by, the one with the most different values first. */
const INDEXED: readonly ResourceField[] = ["service", "app", "lock", "route", "namespace"];

/** An absent field of a resource is every value, or at least one of them. */
export type Extent = "every" | "some";

interface FieldTest {
  readonly field: ResourceField;
  readonly test: GlobTest;
  /** The values, when none is a glob. */
  readonly values?: readonly string[];
}

export interface CompiledRule extends DecidingRule {
  readonly tests: readonly FieldTest[];
}

/** The rule that decided: the first that denies, or else the first that allows. */
type Verdict = CompiledRule | undefined;

interface PlacedRule {
  readonly rule: CompiledRule;
  /** Rules that deny come before those that allow. */
  readonly place: number;
}

export class ActionRules {
  readonly #rules: readonly PlacedRule[];
  /** Rules that are found by no value. */
  readonly #others: readonly PlacedRule[];
  readonly #byValue = new Map<ResourceField, Map<string, PlacedRule[]>>();
  /** The fields that a rule looks at. */
  readonly #fields: readonly ResourceField[];
  readonly #memos: Readonly<Record<Extent, Map<string, Verdict>>> = { every: new Map(), some: new Map() };

  constructor(rules: readonly CompiledRule[]) {
    const withEffect = (effect: PolicyRule["effect"]) => rules.filter((rule) => rule.effect === effect);
    this.#rules = [...withEffect("deny"), ...withEffect("allow")].map((rule, place) => ({ rule, place }));
    this.#fields = RESOURCE_FIELDS.filter((name) =>
      rules.some(({ tests }) => tests.some(({ field }) => field === name)),
    );
    this.#others = this.#rules.filter((placed) => !this.#index(placed));
  }

  looksAt(field: ResourceField): boolean {
    return this.#fields.includes(field);
  }

  verdict(resource: Resource, extent: Extent): Verdict {
    if (this.#fields.length === 0) return this.#rules[0]?.rule;
    const memo = this.#memos[extent];
    const key = this.#keyOf(resource);
    const known = memo.get(key);
    if (known !== undefined || memo.has(key)) return known;
    const found = this.#search(resource, extent);
    if (key.length > MEMO_KEY_MAX) return found;
    if (memo.size >= MEMO_MAX) memo.clear();
    memo.set(key, found);
    return found;
  }

  /** Each value follows its length, so that two resources never have the same key. */
  #keyOf(resource: Resource): string {
    let key = "";
    for (const field of this.#fields) {
      const value = resource[field];
      key += value === undefined ? "-" : `${value.length}:${value}`;
    }
    return key;
  }

  /** Whether the rule is found by the values of one of its fields. */
  #index(placed: PlacedRule): boolean {
    const { tests } = placed.rule;
    const by = INDEXED.map((name) => tests.find(({ field }) => field === name)).find((test) => test?.values);
    if (!by?.values) return false;
    let values = this.#byValue.get(by.field);
    if (!values) this.#byValue.set(by.field, (values = new Map()));
    for (const value of by.values) {
      const rules = values.get(value);
      if (rules) rules.push(placed);
      else values.set(value, [placed]);
    }
    return true;
  }

  #search(resource: Resource, extent: Extent): Verdict {
    const lists = [this.#others];
    for (const [field, values] of this.#byValue) {
      const value = resource[field];
      // Without the value, any of the rules may apply.
      if (value === undefined) return this.#rules.find(({ rule }) => applies(rule, resource, extent))?.rule;
      lists.push(values.get(value) ?? []);
    }
    const found = lists.flatMap((list) => list.find(({ rule }) => applies(rule, resource, extent)) ?? []);
    return found.toSorted((a, b) => a.place - b.place)[0]?.rule;
  }
}

/** A rule that denies also applies to a request that reaches beyond it. A rule that allows must cover all of the request. */
function applies({ effect, tests }: CompiledRule, resource: Resource, extent: Extent): boolean {
  const isMissingMet = (effect === "deny") === (extent === "every");
  return tests.every(({ field, test }) => {
    const value = resource[field];
    return value === undefined ? isMissingMet : test(value);
  });
}

/** A rule as it applies to one of its actions. */
export function compiledRules({ on = {} }: PolicyRule, action: Action, from: DecidingRule): CompiledRule[] {
  const tests = Object.entries(on).flatMap(([field, globs]): FieldTest[] => {
    const test = globTest(globs);
    if (test === undefined) return [];
    const hasGlob = globs.some((glob) => glob.includes("*"));
    return [{ field: field as ResourceField, test, ...(hasGlob ? {} : { values: globs }) }];
  });
  const rule = { ...from, tests };
  if (action !== "config:read" || from.effect === "deny" || tests.length === 0) return [rule];
  // A process that may read any config at all reads its own settings.
  const own: FieldTest = { field: "app", test: (app) => app === OWN_APP, values: [OWN_APP] };
  return [rule, { ...rule, tests: [...tests.filter(({ field }) => field === "namespace"), own] }];
}
