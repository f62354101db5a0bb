/**
 * The contract of feature flags: what a set of flags is made of, what a question about one is answered with, and the
 * wire of OFREP. Pure, importable by every room.
 *
 * The flags of an app are its config key `flags.yaml` (or `flags.json`), so they are drafted, reviewed, released, rolled
 * back and acknowledged as any other config. A flag has variants of one type, a default among them, and rules that are
 * looked at in order; the first whose condition holds decides.
 * @see https://openfeature.dev/specification/types for reasons and error codes
 * @see https://github.com/open-feature/protocol service/openapi.yaml for the wire
 */
import { Type, type Static } from "typebox";

/** Config keys that hold the flags of a set. */
export const FLAGS_KEYS = ["flags.yaml", "flags.json"] as const;

/** Flags and segments of one set: a release is 1 MiB at most, and a bulk answer tells of each flag. */
export const FLAGS_MAX = 1000;
/** Variants of a flag and rules of a flag; each evaluation may look at all of its rules. */
export const VARIANTS_MAX = 50;
export const RULES_MAX = 100;
/** Conditions in one list, values in one `in`. */
export const CONDITIONS_MAX = 100;
export const IN_VALUES_MAX = 1000;
/** Different patterns of a set, and characters of one: compiling takes up to 2 ms each, in which a server does nothing else. */
export const PATTERNS_MAX = 100;
export const PATTERN_CHARS_MAX = 256;
/** Characters of a text that a pattern is held against. Time is linear in it; an attribute is a name, not a document. */
export const MATCHED_CHARS_MAX = 1024;
/** Levels of a set's document: conditions within conditions, objects within values. */
export const DEPTH_MAX = 32;
/** Bytes of one OFREP request: an evaluation context is a handful of attributes. */
export const EVALUATION_BYTES_MAX = 64 * 1024;

/** A letter first: `__proto__` is no name, and JavaScript keeps such names in the order in which they are written. */
const VARIANT = "^[A-Za-z][A-Za-z0-9._-]{0,63}$";
const FLAG_KEY = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";
const Variant = Type.String({ pattern: VARIANT, description: "A variant of this flag." });
const Segment = Type.String({ pattern: VARIANT, description: "A segment of this set." });
const Attribute = Type.String({
  minLength: 1,
  maxLength: 128,
  description: "Name of an attribute of the evaluation context; dots go into objects: `user.plan`.",
});
const Scalar = Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()]);
const Text = Type.String({ minLength: 1, maxLength: 1024 });

/** What a condition may ask of an attribute. Several of one condition must all hold. */
const operators = {
  equals: Type.Optional(Scalar),
  in: Type.Optional(Type.Array(Scalar, { minItems: 1, maxItems: IN_VALUES_MAX })),
  startsWith: Type.Optional(Text),
  endsWith: Type.Optional(Text),
  contains: Type.Optional(
    Type.Union([Scalar], { description: "In a text: this part of it. In a list: this element of it." }),
  ),
  matches: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: PATTERN_CHARS_MAX,
      description: "A pattern in RE2's syntax, found anywhere; ^ and $ hold it to the ends.",
    }),
  ),
  gt: Type.Optional(Type.Number()),
  gte: Type.Optional(Type.Number()),
  lt: Type.Optional(Type.Number()),
  lte: Type.Optional(Type.Number()),
  semver: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description: "Comparisons that must all hold, such as `>=2.1.0 <3.0.0`; with = != > >= < <= ^ ~.",
    }),
  ),
  exists: Type.Optional(Type.Boolean()),
};
export type Operator = keyof typeof operators;
export const OPERATORS = Object.keys(operators) as readonly Operator[];

const Condition = Type.Object(
  {
    attribute: Type.Optional(Attribute),
    ...operators,
    all: Type.Optional(Type.Array(Type.Ref("Condition"), { minItems: 1, maxItems: CONDITIONS_MAX })),
    any: Type.Optional(Type.Array(Type.Ref("Condition"), { minItems: 1, maxItems: CONDITIONS_MAX })),
    not: Type.Optional(Type.Ref("Condition")),
    segment: Type.Optional(Segment),
  },
  {
    additionalProperties: false,
    description: "Either an attribute with what is asked of it, or one of all, any, not and segment.",
  },
);

const Rule = Type.Object(
  {
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "Told in the metadata of an answer." }),
    ),
    when: Type.Optional(Type.Ref("Condition")),
    variant: Type.Optional(Variant),
    split: Type.Optional(
      Type.Record(Type.String({ pattern: VARIANT }), Type.Number({ minimum: 0, maximum: 100 }), {
        minProperties: 1,
        maxProperties: VARIANTS_MAX,
        additionalProperties: false,
        description: "Percent by variant, in steps of 0.01; 100 in all.",
      }),
    ),
    by: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        default: "targetingKey",
        description: "The attribute that a split is sticky by.",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "Holds for all without `when`. Gives either one variant, or a split.",
  },
);

const Flag = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 1024 })),
    state: Type.Optional(
      Type.Union([Type.Literal("enabled"), Type.Literal("disabled")], {
        default: "enabled",
        description: "A disabled flag gives its default variant to all.",
      }),
    ),
    variants: Type.Record(Type.String({ pattern: VARIANT }), Type.Unknown(), {
      minProperties: 1,
      maxProperties: VARIANTS_MAX,
      additionalProperties: false,
      description: "Values by name, all of one type: boolean, string, number, or object.",
    }),
    defaultVariant: Variant,
    rules: Type.Optional(Type.Array(Type.Ref("Rule"), { maxItems: RULES_MAX })),
    salt: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "What splits are drawn by; absent: the flag's key. Flags of one salt give a user one place.",
      }),
    ),
    metadata: Type.Optional(
      Type.Record(
        Type.String({ pattern: VARIANT }),
        Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()]),
        { maxProperties: 50, additionalProperties: false, description: "Told with each answer." },
      ),
    ),
  },
  { additionalProperties: false },
);

const FlagsDocument = Type.Object(
  {
    segments: Type.Optional(
      Type.Record(Type.String({ pattern: VARIANT }), Type.Ref("Condition"), {
        maxProperties: FLAGS_MAX,
        additionalProperties: false,
        description: "Conditions by name, for rules and for one another.",
      }),
    ),
    flags: Type.Record(Type.String({ pattern: FLAG_KEY }), Type.Ref("Flag"), {
      maxProperties: FLAGS_MAX,
      additionalProperties: false,
    }),
  },
  { additionalProperties: false },
);

/** JSON Schema of the key `flags.yaml`; what no shape can say is checked beside it. */
export const FlagSetSchema = Type.Cyclic({ Condition, Rule, Flag, FlagsDocument }, "FlagsDocument");
export type FlagsDocument = Static<typeof FlagSetSchema>;
export type FlagDefinition = FlagsDocument["flags"][string];
export type RuleDefinition = NonNullable<FlagDefinition["rules"]>[number];
export type ConditionDefinition = NonNullable<FlagsDocument["segments"]>[string];

export type FlagValue = boolean | string | number | object;
export type FlagType = "boolean" | "string" | "number" | "object";

/** Why a flag has its value, in OpenFeature's words. */
export const REASONS = ["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED"] as const;
export type Reason = (typeof REASONS)[number];
/** Why a question has no value, in OpenFeature's words. */
export const ERROR_CODES = [
  "FLAG_NOT_FOUND",
  "PARSE_ERROR",
  "TARGETING_KEY_MISSING",
  "INVALID_CONTEXT",
  "TYPE_MISMATCH",
  "GENERAL",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** An evaluation context, whoever sent it: looked at by own members only. */
export type EvaluationContext = Readonly<Record<string, unknown>>;

export const Evaluated = Type.Object({
  key: Type.String(),
  value: Type.Unknown({ description: "Boolean, string, number, object or list." }),
  reason: Type.Enum([...REASONS]),
  variant: Type.String(),
  metadata: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
    description: "profile and version of the release, its releaseKey, the rule that decided, and what the flag says.",
  }),
});
export type Evaluated = Omit<Static<typeof Evaluated>, "value"> & { readonly value: FlagValue };

export const NotEvaluated = Type.Object({
  key: Type.String(),
  errorCode: Type.Enum([...ERROR_CODES]),
  errorDetails: Type.String(),
});
export type NotEvaluated = Static<typeof NotEvaluated>;
export type Evaluation = Evaluated | NotEvaluated;

export const EvaluationRequest = Type.Object({
  context: Type.Optional(
    Type.Object({ targetingKey: Type.Optional(Type.String({ maxLength: 1024 })) }, { additionalProperties: true }),
  ),
});
export const BulkEvaluation = Type.Object({
  flags: Type.Array(Type.Union([Evaluated, NotEvaluated])),
  metadata: Evaluated.properties.metadata,
});
export const EvaluationRefused = Type.Object({
  key: Type.Optional(Type.String()),
  errorCode: NotEvaluated.properties.errorCode,
  errorDetails: Type.String(),
});
