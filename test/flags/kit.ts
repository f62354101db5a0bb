/** Sets of flags for tests: written as people write them, and read as they are. */
import { readFlags, wasEvaluated, type EvaluationContext, type FlagSet } from "#flags/core";

/** The set of a text. @throws Error with what is wrong with it */
export function flags(text: string): FlagSet {
  const read = readFlags(text);
  if (read.problems) throw new Error(JSON.stringify(read.problems));
  return read.set.of({ profile: "default", version: 1, releaseKey: "k" });
}

/** The set's one flag `f`, a boolean whose one rule has this condition, given as JSON. */
export function condition(when: object, segments: object = {}): (context: EvaluationContext) => boolean {
  const f = { variants: { on: true, off: false }, defaultVariant: "off", rules: [{ when, variant: "on" }] };
  const set = flags(JSON.stringify({ segments, flags: { f } }));
  return (context) => variantOf(set, "f", context) === "on";
}

/** The variant, or the error code. */
export function variantOf(set: FlagSet, key: string, context: EvaluationContext): string {
  const evaluation = set.evaluate(key, context);
  return wasEvaluated(evaluation) ? evaluation.variant : evaluation.errorCode;
}

/** Problems of a text as `LINE:COLUMN POINTER MESSAGE`. */
export function problems(text: string): string[] {
  return (readFlags(text).problems ?? []).map(
    ({ line, column, pointer, message }) => `${line}:${column} ${pointer} ${message}`,
  );
}
