/**
 * Service rules as the control plane shows them: the rules of a namespace, the calls of the last hour with the verdict of the rules, and
 * the same for a text that is not released, so that people see what it would deny.
 */
import { Type, type Static } from "typebox";

/** Characters of a text that is checked: the longest list of rules, with names of full length. */
export const RULES_TEXT_MAX = 1_048_576;
/** Calls in one answer, the busiest first. */
export const RULE_CALLS_MAX = 2_000;

const NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const Namespace = Type.Optional(
  Type.String({ pattern: NAME, description: "Namespace of the rules. Absent: default." }),
);
const Caller = Type.String({
  pattern: "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
  description: "The caller as a rule spells it: a service of the namespace, NAMESPACE/NAME, or gateway.",
});
const Destination = Type.String({ pattern: NAME, description: "The called service, in the namespace of the rules." });

export const RuleVerdict = Type.Object({
  allowed: Type.Boolean(),
  reportOnly: Type.Boolean({ description: "Denied, but the rules only report: the connection is let through." }),
  rule: Type.Optional(Type.String({ description: "The rule that decides. Absent: no rule is about this call." })),
  line: Type.Optional(Type.Integer({ description: "Line of the rule in the text." })),
  why: Type.String({ description: "The decision as a sentence, for people." }),
});
export type RuleVerdict = Static<typeof RuleVerdict>;

export const ObservedCall = Type.Object({
  from: Caller,
  to: Destination,
  requests: Type.Integer({ description: "Requests of the last hour." }),
  ...RuleVerdict.properties,
});
export type ObservedCall = Static<typeof ObservedCall>;

export const ServiceRuleView = Type.Object({
  text: Type.String({ description: "The rule as a sentence." }),
  from: Type.String(),
  to: Type.String(),
  allow: Type.Boolean(),
  line: Type.Optional(Type.Integer()),
});
export type ServiceRuleView = Static<typeof ServiceRuleView>;

const judged = {
  namespace: Type.String(),
  strict: Type.Boolean({ description: "Whether a destination without rules is closed." }),
  reportOnly: Type.Boolean({ description: "Whether denials are counted and nothing is closed." }),
  rules: Type.Array(ServiceRuleView),
  calls: Type.Array(ObservedCall, { description: "Calls of the last hour, the busiest first." }),
  omitted: Type.Integer({ description: "Further calls." }),
  tested: Type.Optional(RuleVerdict),
};

export const ServiceRulesQuery = Type.Object(
  { namespace: Namespace, from: Type.Optional(Caller), to: Type.Optional(Destination) },
  { additionalProperties: false, description: "With from and to, the answer says what happens with this call." },
);
export type ServiceRulesQuery = Static<typeof ServiceRulesQuery>;

export const ServiceRulesAnswer = Type.Object(judged);
export type ServiceRulesAnswer = Static<typeof ServiceRulesAnswer>;

export const ServiceRulesCheckRequest = Type.Object(
  {
    ...ServiceRulesQuery.properties,
    text: Type.String({ maxLength: RULES_TEXT_MAX, description: "A text of service-rules.yaml." }),
  },
  { additionalProperties: false },
);
export type ServiceRulesCheckRequest = Static<typeof ServiceRulesCheckRequest>;

export const RuleTextProblem = Type.Object({
  pointer: Type.String(),
  message: Type.String(),
  line: Type.Optional(Type.Integer()),
  column: Type.Optional(Type.Integer()),
});

export const ServiceRulesCheckAnswer = Type.Object({
  problems: Type.Array(RuleTextProblem, { description: "Why a release of the text would be rejected." }),
  judged: Type.Optional(ServiceRulesAnswer),
});
export type ServiceRulesCheckAnswer = Static<typeof ServiceRulesCheckAnswer>;
