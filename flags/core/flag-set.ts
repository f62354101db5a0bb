/**
 * Flag sets, compiled once. An evaluation then costs a few comparisons and, for a split, one hash. Compiling reports all
 * problems of the set, with their places, before the set is used.
 */
import { canonicalJson, own } from "#base";
import { pointerPart, shapeProblems, type ShapeProblem } from "#base/shape";
import {
  DEPTH_MAX,
  FlagSetSchema,
  type EvaluationContext,
  type Evaluated,
  type Evaluation,
  type FlagDefinition,
  type FlagsDocument,
  type FlagType,
  type FlagValue,
  type NotEvaluated,
  type Reason,
  type RuleDefinition,
} from "../api.ts";
import {
  attributeReader,
  compileCondition,
  never,
  Patterns,
  type Condition,
  type Report,
  type Scope,
} from "./condition.ts";
import { compileSplit, splitPlaceOf } from "./split.ts";

/** Problems reported at once. A longer list helps no reader. */
const PROBLEMS_MAX = 50;
/** The attribute of a split that names none. */
const TARGETING_KEY = "targetingKey";

export type Metadata = Readonly<Record<string, string | number | boolean>>;

/** A compiled flag. */
interface Flag {
  /** Flags with equal texts behave equally. */
  readonly identity: string;
  readonly evaluate: (context: EvaluationContext) => Evaluation;
}

export class FlagSet {
  readonly #flags: ReadonlyMap<string, Flag>;
  /** The release of the set; included in each evaluation. */
  readonly release: Metadata;
  /** The flags as they were written. */
  readonly document: FlagsDocument;

  constructor(
    flags: ReadonlyMap<string, Flag> = new Map(),
    release: Metadata = {},
    document: FlagsDocument = { flags: {} },
  ) {
    this.#flags = flags;
    this.release = release;
    this.document = document;
  }

  /** The same flags, for another release. */
  of(release: Metadata): FlagSet {
    return new FlagSet(this.#flags, release, this.document);
  }

  /** Keys in the order of the document. */
  get keys(): string[] {
    return [...this.#flags.keys()];
  }

  evaluate(key: string, context: EvaluationContext): Evaluation {
    const flag = this.#flags.get(key);
    if (!flag) return { key, errorCode: "FLAG_NOT_FOUND", errorDetails: `No released flag has the key "${key}".` };
    return this.#withRelease(flag.evaluate(context));
  }

  #withRelease(evaluation: Evaluation): Evaluation {
    if (!wasEvaluated(evaluation)) return evaluation;
    return { ...evaluation, metadata: { ...evaluation.metadata, ...this.release } };
  }

  /** Every flag, in order. */
  evaluateAll(context: EvaluationContext): Evaluation[] {
    return [...this.#flags.values()].map((flag) => this.#withRelease(flag.evaluate(context)));
  }

  /** Keys of the flags that were added, removed or changed since another set. */
  changedSince(other: FlagSet | undefined): string[] {
    const keys = new Set([...this.#flags.keys(), ...(other?.keys ?? [])]);
    return [...keys].filter((key) => this.#flags.get(key)?.identity !== other?.identityOf(key));
  }

  identityOf(key: string): string | undefined {
    return this.#flags.get(key)?.identity;
  }
}

export function wasEvaluated(evaluation: Evaluation): evaluation is Evaluated {
  return !("errorCode" in evaluation);
}

/** A list is an object to OpenFeature. Undefined for null. */
export function typeOfValue(value: unknown): FlagType | undefined {
  const type = typeof value;
  if (type === "boolean" || type === "string" || type === "number") return type;
  return type === "object" && value !== null ? "object" : undefined;
}

export type CompiledFlags =
  | { readonly set: FlagSet; readonly problems?: undefined }
  | { readonly problems: readonly ShapeProblem[] };

/** `tree`: the parsed document. An empty one is a set without flags. */
export function compileFlags(tree: unknown): CompiledFlags {
  const value = tree ?? { flags: {} };
  if (depthOf(value) > DEPTH_MAX) {
    return { problems: [{ pointer: "", message: `The document is nested deeper than ${DEPTH_MAX} levels.` }] };
  }
  const problems = shapeProblems(FlagSetSchema, value);
  if (problems.length > 0) return { problems: problems.slice(0, PROBLEMS_MAX) };
  const document = value as FlagsDocument;
  const report: Report = (pointer, message) => void problems.push({ pointer, message });
  const segments = new Segments(document.segments ?? {}, report);
  segments.compileAll();
  const flags = new Map<string, Flag>();
  for (const [key, definition] of Object.entries(document.flags)) {
    flags.set(key, compileFlag(key, definition, { segments, report }));
  }
  if (problems.length > 0) return { problems: problems.slice(0, PROBLEMS_MAX) };
  return { set: new FlagSet(flags, {}, document) };
}

/** Levels of a tree, or DEPTH_MAX + 1 if it has more. Without recursion, since the depth is not known to be safe. */
export function depthOf(tree: unknown): number {
  let depth = 0;
  for (let level = [tree]; level.length > 0 && depth <= DEPTH_MAX; depth++) {
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
  return depth;
}

/** Compiles each segment once, however many conditions use it. */
class Segments {
  readonly #definitions: NonNullable<FlagsDocument["segments"]>;
  readonly #report: Report;
  readonly #patterns: Patterns;
  readonly #compiled = new Map<string, { condition: Condition; uses: Set<string> } | "open">();

  constructor(definitions: NonNullable<FlagsDocument["segments"]>, report: Report) {
    this.#definitions = definitions;
    this.#report = report;
    this.#patterns = new Patterns(report);
  }

  compileAll(): void {
    for (const name of Object.keys(this.#definitions)) this.#compile(name, `/segments/${name}`);
  }

  /** The segments as conditions see them. `used` collects the segments that the conditions use, directly or not. */
  scope(used: Set<string>): Scope {
    return {
      report: this.#report,
      pattern: (text, pointer) => this.#patterns.compile(text, pointer),
      segment: (name, pointer) => {
        const { condition, uses } = this.#compile(name, pointer);
        for (const one of [name, ...uses]) used.add(one);
        return condition;
      },
    };
  }

  definitionsOf(names: ReadonlySet<string>): unknown {
    return [...names].sort().map((name) => [name, own(this.#definitions, name)]);
  }

  #compile(name: string, pointer: string): { condition: Condition; uses: Set<string> } {
    const known = this.#compiled.get(name);
    const uses = new Set<string>();
    const nothing = { condition: never, uses };
    if (known === "open") {
      this.#report(pointer, `Segment "${name}" refers to itself.`);
      return nothing;
    }
    if (known) return known;
    const definition = own(this.#definitions, name);
    if (!definition) {
      this.#report(pointer, `Segment "${name}" is not defined in segments.`);
      return nothing;
    }
    this.#compiled.set(name, "open");
    const condition = compileCondition(definition, `/segments/${name}`, this.scope(uses));
    const compiled = { condition, uses };
    this.#compiled.set(name, compiled);
    return compiled;
  }
}

interface FlagParts {
  readonly segments: Segments;
  readonly report: Report;
}

/** The evaluation of a rule; undefined when the rule does not apply. */
type Rule = (context: EvaluationContext) => Evaluation | undefined;

function compileFlag(key: string, definition: FlagDefinition, { segments, report }: FlagParts): Flag {
  const pointer = `/flags/${pointerPart(key)}`;
  const { variants, defaultVariant, rules = [], state = "enabled", salt = key } = definition;
  reportTypes(variants, pointer, report);
  const about: Metadata = { ...definition.metadata };
  const answers = (reason: Reason, at: string, rule?: RuleDefinition) => {
    const metadata = rule?.name === undefined ? about : { ...about, rule: rule.name };
    return (variant: string): Evaluated => {
      if (!Object.hasOwn(variants, variant)) report(at, `Variant "${variant}" is not defined in variants.`);
      // Frozen, since every evaluation returns the same object.
      return Object.freeze({
        key,
        value: frozen(own(variants, variant)),
        reason,
        variant,
        metadata: Object.freeze(metadata),
      });
    };
  };
  const used = new Set<string>();
  const scope = segments.scope(used);
  const compiled = rules.map((rule, index): Rule => {
    const at = `${pointer}/rules/${index}`;
    if (rule.when === undefined && index < rules.length - 1) {
      report(at, "A rule without `when` always applies, so later rules never decide. Move it to the end.");
    }
    const holds = rule.when === undefined ? () => true : compileCondition(rule.when, `${at}/when`, scope);
    const outcome = compileOutcome(key, rule, { at, salt, report, answers });
    return (context) => (holds(context) ? outcome(context) : undefined);
  });
  const reason = state === "disabled" ? "DISABLED" : rules.length === 0 ? "STATIC" : "DEFAULT";
  const fallback = answers(reason, `${pointer}/defaultVariant`)(defaultVariant);
  const identity = canonicalJson([definition, segments.definitionsOf(used)]);
  if (state === "disabled") return { identity, evaluate: () => fallback };
  return {
    identity,
    evaluate(context) {
      for (const rule of compiled) {
        const decided = rule(context);
        if (decided) return decided;
      }
      return fallback;
    },
  };
}

interface OutcomeParts {
  readonly at: string;
  readonly salt: string;
  readonly report: Report;
  readonly answers: (reason: Reason, at: string, rule: RuleDefinition) => (variant: string) => Evaluated;
}

function compileOutcome(
  key: string,
  rule: RuleDefinition,
  { at, salt, report, answers }: OutcomeParts,
): (context: EvaluationContext) => Evaluation {
  const { variant, split, by = TARGETING_KEY } = rule;
  const missing = missingKey(key, by);
  if ((variant === undefined) === (split === undefined)) {
    report(at, "A rule must have either a variant or a split.");
    return () => missing;
  }
  if (variant !== undefined) {
    if (rule.by !== undefined) report(`${at}/by`, "`by` belongs to a split, and this rule has none. Remove `by`.");
    const answer = answers("TARGETING_MATCH", `${at}/variant`, rule)(variant);
    return () => answer;
  }
  const answerOf = new Map(
    Object.keys(split ?? {}).map((name) => [name, answers("SPLIT", `${at}/split/${name}`, rule)(name)]),
  );
  const variantAt = compileSplit(split ?? {}, `${at}/split`, report);
  const attributeOf = attributeReader(by);
  return (context) => {
    const value = attributeOf(context);
    if ((typeof value !== "string" && typeof value !== "number") || value === "") return missing;
    return answerOf.get(variantAt(splitPlaceOf(salt, String(value)))) ?? missing;
  };
}

function missingKey(key: string, by: string): NotEvaluated {
  const errorCode = by === TARGETING_KEY ? "TARGETING_KEY_MISSING" : "INVALID_CONTEXT";
  return Object.freeze({
    key,
    errorCode,
    errorDetails: `Flag "${key}" is split by "${by}", but the context has no text or number of that name.`,
  });
}

function reportTypes(variants: FlagDefinition["variants"], pointer: string, report: Report): void {
  let first: { name: string; type: FlagType } | undefined;
  for (const [name, value] of Object.entries(variants)) {
    const type = typeOfValue(value);
    const at = `${pointer}/variants/${name}`;
    if (type === undefined || (type === "number" && !Number.isFinite(value))) {
      report(at, "A value must be a boolean, a string, a finite number, an object or a list.");
    } else if (!first) first = { name, type };
    else if (type !== first.type) {
      report(
        at,
        `All variants must have the same type, but "${first.name}" is of type ${first.type} and "${name}" of type ${type}.`,
      );
    }
  }
}

function frozen(value: unknown): FlagValue {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) frozen(inner);
  }
  return value as FlagValue;
}
