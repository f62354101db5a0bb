/** Tokens of JSON. */
import type { StreamParser } from "@codemirror/language";

const RULES: readonly (readonly [RegExp, string | null])[] = [
  [/^\s+/, null],
  [/^"(?:[^"\\]|\\.)*"(?=\s*:)/, "propertyName"],
  [/^"(?:[^"\\]|\\.)*"?/, "string"],
  [/^(?:true|false)\b/, "bool"],
  [/^null\b/, "atom"],
  [/^-?\d[\d.eE+-]*/, "number"],
  [/^[{}[\],:]/, "punctuation"],
];

export const jsonSyntax: StreamParser<unknown> = {
  name: "json",
  startState: () => ({}),
  token(stream) {
    const found = RULES.find(([pattern]) => stream.match(pattern));
    if (found) return found[1];
    stream.next();
    return "invalid";
  },
};
