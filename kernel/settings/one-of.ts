/** The type of a setting that is one of some words. */
import { Type } from "typebox";

export const oneOf = <Word extends string>(words: readonly Word[], options: Record<string, unknown> = {}) =>
  Type.Unsafe<Word>(
    Type.Union(
      words.map((word) => Type.Literal(word)),
      options,
    ),
  );
