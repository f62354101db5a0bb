/** Tokens of YAML. */
import type { StreamParser, StringStream } from "@codemirror/language";

interface YamlState {
  /** Indentation of the current line. */
  indent: number;
  /** Indentation above which lines belong to a text after `|` or `>`. */
  block: number | undefined;
  /** Open brackets and braces. */
  depth: number;
}

type Rule = readonly [pattern: RegExp, token: string];

/** In order; the first that matches is the token. `END` is the end of a value, within brackets or not. */
const END = String.raw`(?=\s*(?:[,\]}]|\s#|$))`;
const RULES: readonly Rule[] = [
  [/^&[\w.-]+|^\*[\w.-]+/, "labelName"],
  [/^![^\s,]*/, "typeName"],
  [/^(?:"(?:[^"\\]|\\.)*"|'[^']*')(?=\s*:(?:\s|$))/, "propertyName"],
  [/^[^\s#"'{}[\],][^#{}[\],]*?(?=\s*:(?:\s|$))/, "propertyName"],
  [/^"(?:[^"\\]|\\.)*"?|^'(?:[^']|'')*'?/, "string"],
  [/^:(?=\s|$)/, "operator"],
  [new RegExp(`^(?:true|false)${END}`), "bool"],
  [new RegExp(`^(?:null|~)${END}`), "atom"],
  [new RegExp(String.raw`^[+-]?(?:0[xo][\da-fA-F]+|(?:\d[\d_]*)?\.?\d+(?:[eE][+-]?\d+)?)${END}`), "number"],
];

export const yamlSyntax: StreamParser<YamlState> = {
  name: "yaml",
  startState: () => ({ indent: 0, block: undefined, depth: 0 }),
  token(stream, state) {
    if (stream.sol()) {
      state.indent = stream.indentation();
      if (state.block !== undefined && (state.indent > state.block || stream.string.trim() === "")) {
        stream.skipToEnd();
        return "string";
      }
      state.block = undefined;
      if (stream.match(/^(?:---|\.\.\.)(?=\s|$)|^%.*/)) return "meta";
    }
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    if (stream.match(/^[|>][\d+-]*(?=\s*(?:#|$))/)) {
      state.block = state.indent;
      return "meta";
    }
    return bracket(stream, state) ?? rule(stream) ?? plain(stream, state);
  },
  indent(state, _textAfter, { unit }) {
    return state.block === undefined ? state.indent : state.block + unit;
  },
  languageData: { commentTokens: { line: "#" } },
};

function bracket(stream: StringStream, state: YamlState): string | undefined {
  if (stream.match(/^[-?](?=\s|$)/)) return "punctuation";
  if (stream.match(/^[[{]/)) {
    state.depth++;
    return "punctuation";
  }
  if (state.depth === 0) return undefined;
  if (stream.match(/^[\]}]/)) {
    state.depth--;
    return "punctuation";
  }
  return stream.match(",") ? "punctuation" : undefined;
}

function rule(stream: StringStream): string | undefined {
  return RULES.find(([pattern]) => stream.match(pattern))?.[1];
}

/** A text without quotes ends at a comment; within brackets also at a comma. */
function plain(stream: StringStream, { depth }: YamlState): string {
  if (!stream.match(depth > 0 ? /^[^,[\]{}#]+/ : /^.+?(?=\s+#|\s*$)/)) stream.next();
  return "string";
}
