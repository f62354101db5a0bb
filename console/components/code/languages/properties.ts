/** Tokens of Java properties: a name comes before the first `=`, `:` or space. */
import type { StreamParser } from "@codemirror/language";

export const propertiesSyntax: StreamParser<{ isValue: boolean }> = {
  name: "properties",
  startState: () => ({ isValue: false }),
  token(stream, state) {
    if (stream.sol()) {
      state.isValue = false;
      if (stream.match(/^\s*[#!].*/)) return "comment";
      if (stream.eatSpace()) return null;
    }
    if (state.isValue) {
      stream.skipToEnd();
      return "string";
    }
    if (stream.match(/^(?:[^=:\s\\]|\\.)+/)) return "propertyName";
    stream.match(/^\s*[=:]?\s*/);
    state.isValue = true;
    return "operator";
  },
  languageData: { commentTokens: { line: "#" } },
};
