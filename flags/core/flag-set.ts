/**
 * A set of flags, compiled once: a question then costs a few comparisons, and for a split one hash. Compiling
 * says all that is wrong with the set, and where, before anyone lives by it.
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
import { compileSplit, placeOf } from "./split.ts";

/** Problems told at once. More help nobody. */
const PROBLEMS_MAX = 50;
/** What a split is sticky by when it does not say. */
const TARGETING_KEY = "targetingKey";

export type Metadata = Readonly<Record<string, string | number | boolean>>;

/** A flag, ready to be asked. */
interface Flag {
  /** Equal text, equal behaviour. */
  readonly identity: string;
  readonly evaluate: (context: EvaluationContext) => Evaluation;
}

export class FlagSet {
  readonly #flags: ReadonlyMap<string, Flag>;
  /** Which release it is of; told with each answer. */
  readonly release: Metadata;

  constructor(flags: ReadonlyMap<string, Flag> = new Map(), release: Metadata = {}) {
    this.#flags = flags;
    this.release = release;
  }

  /** The same flags, of another release. */
  of(release: Metadata): FlagSet {
    return new FlagSet(this.#flags, release);
  }

  /** Keys in the order in which they are written. */
  get keys(): string[] {
    return [...this.#flags.keys()];
  }

  evaluate(key: string, context: EvaluationContext): Evaluation {
    const flag = this.#flags.get(key);
    if (!flag) return { key, errorCode: "FLAG_NOT_FOUND", errorDetails: `No flag "${key}" is released.` };
    return this.#told(flag.evaluate(context));
  }

  #told(evaluation: Evaluation): Evaluation {
    if (!wasEvaluated(evaluation)) return evaluation;
    return { ...evaluation, metadata: { ...evaluation.metadata, ...this.release } };
  }

  /** Every flag, in order. */
  evaluateAll(context: EvaluationContext): Evaluation[] {
    return [...this.#flags.values()].map((flag) => this.#told(flag.evaluate(context)));
  }

  /** Keys of the flags that came, went, or are defined otherwise than in another set. */
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
    return { problems: [{ pointer: "", message: `Nested deeper than ${DEPTH_MAX} levels.` }] };
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
  return { set: new FlagSet(flags) };
}

/** Levels of a tree, or one more than DEPTH_MAX. Without recursion, since the depth is what is in doubt. */
export function depthOf(tree: unknown): number {
  let depth = 0;
  for (let level = [tree]; level.length > 0 && depth <= DEPTH_MAX; depth++) {
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
  return depth;
}

/** Segments, each compiled once however many stand on it. */
class Segments {
  readonly #definitions: NonNullable<FlagsDocument["segments"]>;
  readonly #report: Report;
  readonly #patterns: Patterns;
  readonly #compiled = new Map<string, { condition: Condition; stands: Set<string> } | "open">();

  constructor(definitions: NonNullable<FlagsDocument["segments"]>, report: Report) {
    this.#definitions = definitions;
    this.#report = report;
    this.#patterns = new Patterns(report);
  }

  compileAll(): void {
    for (const name of Object.keys(this.#definitions)) this.#compile(name, `/segments/${name}`);
  }

  /** What conditions see of the segments; `used` gathers those that they stand on, directly or not. */
  scope(used: Set<string>): Scope {
    return {
      report: this.#report,
      pattern: (text, pointer) => this.#patterns.compile(text, pointer),
      segment: (name, pointer) => {
        const { condition, stands } = this.#compile(name, pointer);
        for (const one of [name, ...stands]) used.add(one);
        return condition;
      },
    };
  }

  definitionsOf(names: ReadonlySet<string>): unknown {
    return [...names].sort().map((name) => [name, own(this.#definitions, name)]);
  }

  #compile(name: string, pointer: string): { condition: Condition; stands: Set<string> } {
    const known = this.#compiled.get(name);
    const stands = new Set<string>();
    const nothing = { condition: never, stands };
    if (known === "open") {
      this.#report(pointer, `Segment "${name}" stands on itself.`);
      return nothing;
    }
    if (known) return known;
    const definition = own(this.#definitions, name);
    if (!definition) {
      this.#report(pointer, `No segment "${name}" in segments.`);
      return nothing;
    }
    this.#compiled.set(name, "open");
    const condition = compileCondition(definition, `/segments/${name}`, this.scope(stands));
    const compiled = { condition, stands };
    this.#compiled.set(name, compiled);
    return compiled;
  }
}

interface Whole {
  readonly segments: Segments;
  readonly report: Report;
}

/** What a rule says of a context; undefined when it does not hold. */
type Rule = (context: EvaluationContext) => Evaluation | undefined;

function compileFlag(key: string, definition: FlagDefinition, { segments, report }: Whole): Flag {
  const pointer = `/flags/${pointerPart(key)}`;
  const { variants, defaultVariant, rules = [], state = "enabled", salt = key } = definition;
  reportTypes(variants, pointer, report);
  const about: Metadata = { ...definition.metadata };
  const answers = (reason: Reason, at: string, rule?: RuleDefinition) => {
    const metadata = rule?.name === undefined ? about : { ...about, rule: rule.name };
    return (variant: string): Evaluated => {
      if (!Object.hasOwn(variants, variant)) report(at, `No variant "${variant}" in variants.`);
      // Handed out again and again, so nobody may change it.
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
      report(at, "A rule without `when` holds for all, so those after it never decide; put it last.");
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

interface Outcome {
  readonly at: string;
  readonly salt: string;
  readonly report: Report;
  readonly answers: (reason: Reason, at: string, rule: RuleDefinition) => (variant: string) => Evaluated;
}

function compileOutcome(
  key: string,
  rule: RuleDefinition,
  { at, salt, report, answers }: Outcome,
): (context: EvaluationContext) => Evaluation {
  const { variant, split, by = TARGETING_KEY } = rule;
  const missing = missingKey(key, by);
  if ((variant === undefined) === (split === undefined)) {
    report(at, "A rule gives either a variant or a split.");
    return () => missing;
  }
  if (variant !== undefined) {
    if (rule.by !== undefined) report(`${at}/by`, "`by` is of a split, and this rule has none.");
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
    return answerOf.get(variantAt(placeOf(salt, String(value)))) ?? missing;
  };
}

function missingKey(key: string, by: string): NotEvaluated {
  const errorCode = by === TARGETING_KEY ? "TARGETING_KEY_MISSING" : "INVALID_CONTEXT";
  return Object.freeze({
    key,
    errorCode,
    errorDetails: `Flag "${key}" is split by "${by}", and the context has no such text or number.`,
  });
}

function reportTypes(variants: FlagDefinition["variants"], pointer: string, report: Report): void {
  let first: { name: string; type: FlagType } | undefined;
  for (const [name, value] of Object.entries(variants)) {
    const type = typeOfValue(value);
    const at = `${pointer}/variants/${name}`;
    if (type === undefined || (type === "number" && !Number.isFinite(value))) {
      report(at, "A value is a boolean, a string, a finite number, an object or a list.");
    } else if (!first) first = { name, type };
    else if (type !== first.type) {
      report(at, `Variants are of one type: "${first.name}" is a ${first.type}, "${name}" a ${type}.`);
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
