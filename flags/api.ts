/**
 * The contract of feature flags: the shape of a flag set, the results of an evaluation, and the wire format of OFREP.
 * Pure, and importable by every module.
 *
 * The flags of an app are its config key `flags.yaml` (or `flags.json`), so they are drafted, reviewed, released, rolled
 * back and acknowledged like any other config. A flag has variants of one type, one of them the default, and rules that
 * are checked in order; the first rule whose condition holds decides.
 * @see https://openfeature.dev/specification/types for reasons and error codes
 * @see https://github.com/open-feature/protocol service/openapi.yaml for the wire
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Config keys that contain a flag set. */
export const FLAGS_KEYS = ["flags.yaml", "flags.json"] as const;

/** Flags, and segments, of one set: a release is 1 MiB at most, and a bulk response contains every flag. */
export const FLAGS_MAX = 1000;
/** Variants, and rules, of a flag: an evaluation may check all of its rules. */
export const VARIANTS_MAX = 50;
export const RULES_MAX = 100;
/** Conditions in one list, and values in one `in`. */
export const CONDITIONS_MAX = 100;
export const IN_VALUES_MAX = 1000;
/** Different patterns of a set, and characters of one: compiling a pattern blocks the server for up to 2 ms. */
export const PATTERNS_MAX = 100;
export const PATTERN_CHARS_MAX = 256;
/** Characters of a text that a pattern is matched against. Time is linear in it, and attributes are short. */
export const MATCHED_CHARS_MAX = 1024;
/** Levels of a set's document: nested conditions, and objects in values. */
export const DEPTH_MAX = 32;
/** Bytes of one OFREP request: an evaluation context is a handful of attributes. */
export const EVALUATION_BYTES_MAX = 64 * 1024;

/** Starts with a letter: this excludes `__proto__`, and JavaScript keeps such names in the order of the document. */
const VARIANT = "^[A-Za-z][A-Za-z0-9._-]{0,63}$";
const FLAG_KEY = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";
const Variant = Type.String({ pattern: VARIANT, description: "A variant of this flag." });
const Segment = Type.String({ pattern: VARIANT, description: "A segment of this set." });
const Attribute = Type.String({
  minLength: 1,
  maxLength: 128,
  description: "Name of an attribute of the evaluation context. Dots select members of objects: `user.plan`.",
});
const Scalar = Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()]);
const Text = Type.String({ minLength: 1, maxLength: 1024 });

/** Operators on an attribute. Several operators of one condition must all hold. */
const operators = {
  equals: Type.Optional(Scalar),
  in: Type.Optional(Type.Array(Scalar, { minItems: 1, maxItems: IN_VALUES_MAX })),
  startsWith: Type.Optional(Text),
  endsWith: Type.Optional(Text),
  contains: Type.Optional(Type.Union([Scalar], { description: "A part of a text, or an element of a list." })),
  matches: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: PATTERN_CHARS_MAX,
      description: "A pattern in RE2's syntax, which matches anywhere in the text. Anchor it with ^ and $.",
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
      description: "Comparisons that must all hold, such as `>=2.1.0 <3.0.0`. Operators: = != > >= < <= ^ ~.",
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
    description: "Either an attribute with operators, or one of all, any, not and segment.",
  },
);

const Rule = Type.Object(
  {
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "Included in the metadata of an evaluation." }),
    ),
    when: Type.Optional(Type.Ref("Condition")),
    variant: Type.Optional(Variant),
    split: Type.Optional(
      Type.Record(Type.String({ pattern: VARIANT }), Type.Number({ minimum: 0, maximum: 100 }), {
        minProperties: 1,
        maxProperties: VARIANTS_MAX,
        additionalProperties: false,
        description: "Percentages by variant, in steps of 0.01, which sum to 100.",
      }),
    ),
    by: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        default: "targetingKey",
        description: "The attribute whose value decides the variant of a split.",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "Has either a variant or a split. Without `when`, it applies to every context.",
  },
);

const Flag = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 1024 })),
    state: Type.Optional(
      Type.Union([Type.Literal("enabled"), Type.Literal("disabled")], {
        default: "enabled",
        description: "A disabled flag evaluates to its default variant for every context.",
      }),
    ),
    variants: Type.Record(Type.String({ pattern: VARIANT }), Type.Unknown(), {
      minProperties: 1,
      maxProperties: VARIANTS_MAX,
      additionalProperties: false,
      description: "Values by name, all of one type: boolean, string, number or object.",
    }),
    defaultVariant: Variant,
    rules: Type.Optional(Type.Array(Type.Ref("Rule"), { maxItems: RULES_MAX })),
    salt: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "Salt of the splits; absent: the flag's key. Flags with equal salts place a user equally.",
      }),
    ),
    metadata: Type.Optional(
      Type.Record(
        Type.String({ pattern: VARIANT }),
        Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()]),
        { maxProperties: 50, additionalProperties: false, description: "Included in each evaluation." },
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
        description: "Conditions by name, for use in rules and in other segments.",
      }),
    ),
    flags: Type.Record(Type.String({ pattern: FLAG_KEY }), Type.Ref("Flag"), {
      maxProperties: FLAGS_MAX,
      additionalProperties: false,
    }),
  },
  { additionalProperties: false },
);

/** JSON Schema of the key `flags.yaml`. Rules that a schema cannot express are checked separately. */
export const FlagSetSchema = Type.Cyclic({ Condition, Rule, Flag, FlagsDocument }, "FlagsDocument");
export type FlagsDocument = Static<typeof FlagSetSchema>;
export type FlagDefinition = FlagsDocument["flags"][string];
export type RuleDefinition = NonNullable<FlagDefinition["rules"]>[number];
export type ConditionDefinition = NonNullable<FlagsDocument["segments"]>[string];

export type FlagValue = boolean | string | number | object;
export type FlagType = "boolean" | "string" | "number" | "object";

/** Reasons for the value of a flag, as OpenFeature names them. */
export const REASONS = ["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED"] as const;
export type Reason = (typeof REASONS)[number];
/** Reasons why an evaluation has no value, as OpenFeature names them. */
export const ERROR_CODES = [
  "FLAG_NOT_FOUND",
  "PARSE_ERROR",
  "TARGETING_KEY_MISSING",
  "INVALID_CONTEXT",
  "TYPE_MISMATCH",
  "GENERAL",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** An evaluation context, from any caller: only its own members are read. */
export type EvaluationContext = Readonly<Record<string, unknown>>;

export const Evaluated = Type.Object({
  key: Type.String(),
  value: Type.Unknown({ description: "Boolean, string, number, object or list." }),
  reason: Type.Enum([...REASONS]),
  variant: Type.String(),
  metadata: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
    description: "Profile, version and releaseKey of the release, the rule that decided, and the flag's own metadata.",
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

/** A flag set for people who look at it: its definitions, and the release that they come from. */
export const FlagSetView = Type.Object({
  release: Evaluated.properties.metadata,
  document: Type.Unknown({ description: "Segments and flags, as in the JSON Schema of `flags.yaml`." }),
});
export type FlagSetView = Omit<Static<typeof FlagSetView>, "document"> & { readonly document: FlagsDocument };

export const FlagsErrors = defineErrors("FLAGS", {
  NOT_FOUND: { status: 404, title: "No flags released" },
  UNREADABLE: { status: 409, title: "Flags cannot be read" },
});
