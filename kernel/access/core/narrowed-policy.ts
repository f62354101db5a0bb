/** A policy within limits, as a policy: for people, whose bindings may have a limit each. Pure. */
import {
  type Action,
  actionRow,
  actionsOfRule,
  matchesGlob,
  type Policy,
  type PolicyRule,
  type ResourceField,
} from "#authorization";

export interface GrantLimits {
  readonly namespaces?: readonly string[] | undefined;
  readonly apps?: readonly string[] | undefined;
  readonly services?: readonly string[] | undefined;
}

type LimitKind = keyof GrantLimits;
/** The limits that an action has. */
export type LimitsFor = (action: Action) => readonly LimitKind[];

export const FIELD_OF_LIMIT = { namespaces: "namespace", apps: "app", services: "service" } as const satisfies Record<
  LimitKind,
  ResourceField
>;

/** Each rule, split by the limits of its actions. Rules that cannot match anything within the limits are left out. */
export function narrowedPolicy(policy: Policy, limits: GrantLimits, limitsFor: LimitsFor): Policy {
  const rules = policy.rules.flatMap((rule) => {
    const groups = Map.groupBy(actionsOfRule(rule), (action) => limitsFor(action).join(" "));
    return [...groups.values()].flatMap((actions) => narrowedRule(rule, actions, { limits, limitsFor }));
  });
  return { ...policy, rules };
}

function narrowedRule(
  { effect, on = {} }: PolicyRule,
  actions: readonly Action[],
  { limits, limitsFor }: { readonly limits: GrantLimits; readonly limitsFor: LimitsFor },
): PolicyRule[] {
  const [first] = actions;
  if (first === undefined) return [];
  const narrowed: Record<string, string[]> = { ...on };
  for (const kind of limitsFor(first)) {
    const names = limits[kind];
    if (names === undefined || names.includes("*")) continue;
    const field = FIELD_OF_LIMIT[kind];
    // An action about everything is outside of every limit.
    if (!actions.every((action) => actionRow(action).fields.includes(field))) {
      const rest = actions.filter((action) => actionRow(action).fields.includes(field));
      return narrowedRule({ effect, actions: [...rest], on }, rest, { limits, limitsFor });
    }
    const globs = on[field];
    narrowed[field] = names.filter((name) => globs === undefined || globs.some((glob) => matchesGlob(glob, name)));
    if (narrowed[field].length === 0) return [];
  }
  return [{ effect, actions: [...actions], ...(Object.keys(narrowed).length === 0 ? {} : { on: narrowed }) }];
}
