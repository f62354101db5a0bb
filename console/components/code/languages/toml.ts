/** Tokens of TOML: a name comes before `=`. */
import type { StreamParser } from "@codemirror/language";

export const tomlSyntax: StreamParser<{ isValue: boolean }> = {
  name: "toml",
  startState: () => ({ isValue: false }),
  token(stream, state) {
    if (stream.sol()) state.isValue = false;
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    if (!state.isValue && stream.match(/^\[\[?[^\]]*\]\]?/)) return "heading";
    if (stream.match(/^"(?:[^"\\]|\\.)*"?|^'[^']*'?/)) return state.isValue ? "string" : "propertyName";
    if (!state.isValue && stream.match(/^[\w.-]+/)) return "propertyName";
    if (stream.match(/^(?:true|false)\b/)) return "bool";
    if (stream.match(/^[+-]?\d[\w.:+-]*/)) return "number";
    if (stream.match("=")) {
      state.isValue = true;
      return "operator";
    }
    stream.next();
    return "punctuation";
  },
  languageData: { commentTokens: { line: "#" } },
};
