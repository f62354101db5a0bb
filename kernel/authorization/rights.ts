/**
 * The rights of callers with the same policies, compiled: a rule that denies wins, and without a rule that allows there is no access.
 * Decisions are remembered by the fields that the rules of their action look at, so most cost one look-up, however many rules there are.
 */
import { ACTION_NAMES, actionRow, type Action, type Resource, RESOURCE_FIELDS, type ResourceField } from "./actions.ts";
import { actionsOfRule, type DecidingRule, type Policy, type PolicyRule } from "./api.ts";
import { type GlobTest, globTest } from "./glob.ts";

/** The app whose config every posthouse process reads for itself, such as its log level. */
export const OWN_APP = "posthouse";
/** Decisions remembered per action: the services and keys that the callers of a large installation ask for, in a few MiB. */
const MEMO_MAX = 10_000;
/** Characters of a remembered resource. Longer names are the caller's invention, and are decided without the memory. */
const MEMO_KEY_MAX = 1_024;

/** An absent field of a resource is every value, or at least one of them. */
export type Extent = "every" | "some";

export interface Decision {
  readonly allowed: boolean;
  /** The rule that decided. Absent: no rule allows it. */
  readonly rule?: DecidingRule;
  /** A clause that names the rule, or the policies that have none. */
  readonly why: string;
}

interface CompiledRule extends DecidingRule {
  readonly tests: readonly (readonly [ResourceField, GlobTest])[];
}

/** The rule that decided: the first that denies, or else the first that allows. */
type Verdict = CompiledRule | undefined;

/** Every rule about one action. */
class ActionRules {
  readonly #rules: readonly CompiledRule[];
  /** The fields that a rule looks at. */
  readonly #fields: readonly ResourceField[];
  readonly #memos: Readonly<Record<Extent, Map<string, Verdict>>> = { every: new Map(), some: new Map() };

  constructor(rules: readonly CompiledRule[]) {
    const withEffect = (effect: PolicyRule["effect"]) => rules.filter((rule) => rule.effect === effect);
    this.#rules = [...withEffect("deny"), ...withEffect("allow")];
    this.#fields = RESOURCE_FIELDS.filter((field) => rules.some(({ tests }) => tests.some(([name]) => name === field)));
  }

  looksAt(field: ResourceField): boolean {
    return this.#fields.includes(field);
  }

  verdict(resource: Resource, extent: Extent): Verdict {
    if (this.#fields.length === 0) return this.#rules[0];
    const memo = this.#memos[extent];
    const key = this.#keyOf(resource);
    const known = memo.get(key);
    if (known !== undefined || memo.has(key)) return known;
    const found = this.#rules.find((rule) => applies(rule, resource, extent));
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
}

/** A rule that denies also applies to a request that reaches beyond it. A rule that allows must cover all of the request. */
function applies({ effect, tests }: CompiledRule, resource: Resource, extent: Extent): boolean {
  const isMissingMet = (effect === "deny") === (extent === "every");
  return tests.every(([field, test]) => {
    const value = resource[field];
    return value === undefined ? isMissingMet : test(value);
  });
}

export class Rights {
  /** The policies that these rights come from. A name without a policy grants nothing. */
  readonly policies: readonly string[];
  readonly #actions: ReadonlyMap<Action, ActionRules>;

  constructor(names: readonly string[], policies: readonly Policy[]) {
    this.policies = names;
    const rules = new Map(ACTION_NAMES.map((name) => [name, [] as CompiledRule[]]));
    for (const { name, rules: given } of policies) {
      for (const [index, rule] of given.entries()) {
        const from = { policy: name, index: index + 1, effect: rule.effect };
        for (const action of actionsOfRule(rule)) rules.get(action)?.push(...compiled(rule, action, from));
      }
    }
    this.#actions = new Map([...rules].map(([action, found]) => [action, new ActionRules(found)]));
  }

  allows(action: Action, resource: Resource, extent: Extent = "every"): boolean {
    const verdict = this.#actions.get(action)?.verdict(resource, extent);
    return verdict?.effect === "allow";
  }

  decide(action: Action, resource: Resource, extent: Extent = "every"): Decision {
    const verdict = this.#actions.get(action)?.verdict(resource, extent);
    if (verdict === undefined) {
      return {
        allowed: false,
        why: `no rule of the policies ${this.policies.join(", ")} allows it`,
      };
    }
    const { policy, index, effect } = verdict;
    const does = effect === "deny" ? "denies" : "allows";
    return {
      allowed: effect === "allow",
      rule: { policy, index, effect },
      why: `rule ${index} of the policy ${policy} ${does} it`,
    };
  }

  /** Whether decisions about an action differ by a field: without it, callers share what was made for one of them. */
  looksAt(action: Action, field: ResourceField): boolean {
    return this.#actions.get(action)?.looksAt(field) ?? false;
  }

  /** The actions that are allowed on some resource. */
  actions(): Action[] {
    return ACTION_NAMES.filter((action) => this.allows(action, {}, "some"));
  }
}

function compiled({ on = {} }: PolicyRule, action: Action, from: DecidingRule): CompiledRule[] {
  const tests = Object.entries(on).flatMap(([field, globs]) => {
    const test = globTest(globs);
    return test === undefined ? [] : [[field as ResourceField, test] as const];
  });
  const rule = { ...from, tests };
  if (action !== "config:read" || from.effect === "deny" || tests.length === 0) return [rule];
  // A process that may read any config at all reads its own settings.
  const own: CompiledRule["tests"][number] = ["app", (app) => app === OWN_APP];
  return [rule, { ...rule, tests: [...tests.filter(([field]) => field === "namespace"), own] }];
}

/** A resource in words, with the fields that an action has. */
export function resourceText(action: Action, resource: Resource): string {
  const { fields } = actionRow(action);
  const named = fields.flatMap((field) => (resource[field] === undefined ? [] : [`${field} "${resource[field]}"`]));
  return named.length === 0 ? "everything" : named.join(", ");
}

/** The rule that would allow exactly this. */
export function missingRule(action: Action, resource: Resource): PolicyRule {
  const { fields } = actionRow(action);
  const named = fields.flatMap((field) => (resource[field] === undefined ? [] : [[field, [resource[field]]] as const]));
  return { effect: "allow", actions: [action], ...(named.length === 0 ? {} : { on: Object.fromEntries(named) }) };
}
