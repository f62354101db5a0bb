/**
 * The rights of callers with the same policies, compiled: a rule that denies wins, and access needs a rule that allows it.
 */
import { ActionRules, type CompiledRule, compiledRules, type Extent } from "./action-rules.ts";
import { ACTION_NAMES, actionRow, type Action, type Resource, type ResourceField } from "./contract/actions.ts";
import { actionsOfRule, type DecidingRule, type Policy, type PolicyRule } from "./api.ts";

export interface Decision {
  readonly allowed: boolean;
  /** The rule that decided. Absent: no rule allows it. */
  readonly rule?: DecidingRule;
  /** A clause that names the rule, or the policies that have none. */
  readonly why: string;
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
        for (const action of actionsOfRule(rule)) rules.get(action)?.push(...compiledRules(rule, action, from));
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
    const rule = { policy, index, effect };
    return { allowed: effect === "allow", rule, why: `${ruleText(rule)} it` };
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

/** A rule in words: the start of a sentence about what it allows or denies. */
export function ruleText({ policy, index, effect }: DecidingRule): string {
  return `rule ${index} of the policy ${policy} ${effect === "deny" ? "denies" : "allows"}`;
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
