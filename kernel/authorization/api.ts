/** Policies: their shapes and limits. */
import { Type, type Static } from "typebox";
import { ACTION_NAMES, actionRow, RESOURCE_FIELDS, type ResourceField } from "./contract/actions.ts";
import { matchesGlob } from "./contract/glob.ts";

export * from "./contract/denial.ts";

/** Rules of one policy: more are several policies, each with its name. */
export const POLICY_RULES_MAX = 64;
/** Values of one field of a rule, and a bound on the comparisons of a decision. */
export const RULE_VALUES_MAX = 64;
/** Characters of a glob: as long as the longest key. */
export const GLOB_LENGTH_MAX = 512;
/** Policies of one caller: enough for every team of a person, and a bound on the size of a token. */
export const CALLER_POLICIES_MAX = 16;

export const PolicyName = Type.String({
  pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
  description: "Name of a policy: lowercase letters, digits and hyphens.",
});

export const PolicyNames = Type.Array(PolicyName, {
  minItems: 1,
  maxItems: CALLER_POLICIES_MAX,
  uniqueItems: true,
  description:
    "Policies, which grant together. Built in: operator, publisher, editor, viewer, gateway, agent, service.",
});

const Globs = Type.Array(Type.String({ minLength: 1, maxLength: GLOB_LENGTH_MAX, pattern: "^[^\\u0000-\\u001f]+$" }), {
  minItems: 1,
  maxItems: RULE_VALUES_MAX,
  uniqueItems: true,
  description: "Names or globs: `*` matches any characters.",
});

export const RuleResources = Type.Object(
  Object.fromEntries(RESOURCE_FIELDS.map((field) => [field, Type.Optional(Globs)])) as {
    [Field in ResourceField]: ReturnType<typeof Type.Optional<typeof Globs>>;
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description:
      "The resources of the rule. An absent field: every value. The rule concerns only actions that have all of its fields.",
  },
);

const Effect = Type.Enum(["allow", "deny"], { description: "A rule that denies wins over every rule that allows." });

export const PolicyRule = Type.Object(
  {
    effect: Effect,
    actions: Type.Array(Type.String({ minLength: 1, maxLength: 64, pattern: "^[a-z*]+(:[a-z*]+)?$" }), {
      minItems: 1,
      maxItems: RULE_VALUES_MAX,
      uniqueItems: true,
      description: "Names or globs of actions, such as `config:read` or `registry:*`.",
    }),
    on: Type.Optional(RuleResources),
  },
  { additionalProperties: false },
);
export type PolicyRule = Static<typeof PolicyRule>;

export const Policy = Type.Object(
  {
    name: PolicyName,
    description: Type.Optional(Type.String({ maxLength: 512 })),
    rules: Type.Array(PolicyRule, { minItems: 1, maxItems: POLICY_RULES_MAX }),
  },
  { additionalProperties: false },
);
export type Policy = Static<typeof Policy>;

/** A rule of a policy that decided. */
export const DecidingRule = Type.Object({
  policy: Type.String({ description: "Name of the policy." }),
  index: Type.Integer({ minimum: 1, description: "Number of the rule in its policy, from 1." }),
  effect: Effect,
});
export type DecidingRule = Static<typeof DecidingRule>;

export interface PolicyProblem {
  /** Number of the rule, from 1. */
  readonly rule: number;
  /** JSON pointer. */
  readonly field: string;
  readonly detail: string;
  /** The action that does not exist. Absent: another problem. */
  readonly unknownAction?: string | undefined;
}

/** The actions that a rule concerns: those that it names and that have all fields of the rule. */
export function actionsOfRule({ actions, on = {} }: PolicyRule) {
  const fields = Object.keys(on) as ResourceField[];
  return ACTION_NAMES.filter(
    (name) =>
      actions.some((glob) => matchesGlob(glob, name)) &&
      fields.every((field) => actionRow(name).fields.includes(field)),
  );
}

/** The first rule that would have no effect as it is written: an unknown action, or a field that no action of the rule has. */
export function policyProblem({ rules }: Policy): PolicyProblem | undefined {
  for (const [index, rule] of rules.entries()) {
    const unknown = rule.actions.findIndex((glob) => !ACTION_NAMES.some((name) => matchesGlob(glob, name)));
    if (unknown >= 0) {
      const unknownAction = rule.actions[unknown];
      const detail = `Unknown action "${unknownAction}". Actions are ${ACTION_NAMES.join(", ")}.`;
      return { rule: index + 1, field: `/rules/${index}/actions/${unknown}`, detail, unknownAction };
    }
    if (actionsOfRule(rule).length > 0) continue;
    const fields = Object.keys(rule.on ?? {}).join(", ");
    const detail = `No action of the rule has all of the fields ${fields}, so the rule would have no effect. Split it into several rules.`;
    return { rule: index + 1, field: `/rules/${index}/on`, detail };
  }
  return undefined;
}
