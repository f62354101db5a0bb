/** How code looks and speaks: the design's tokens instead of CodeMirror's colors, the reader's language, the nonce for styles. */
import { syntaxHighlighting } from "@codemirror/language";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { language } from "../../text/mod.ts";
import { CHINESE_PHRASES } from "./text.ts";

const theme = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", fontSize: "var(--text-s)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "var(--line-m)" },
  ".cm-content": { padding: "var(--space-2) 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 var(--space-3)" },
  ".cm-gutters": { color: "var(--text-faint)", backgroundColor: "var(--canvas)", borderRight: "1px solid var(--line)" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "2.25rem", padding: "0 var(--space-1) 0 var(--space-2)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 5%, transparent)" },
  ".cm-activeLineGutter": { color: "var(--text)", backgroundColor: "var(--hover)" },
  ".cm-gutter-lint": { width: "1.125rem" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-soft)", color: "inherit" },
  ".cm-tooltip": {
    color: "var(--text)",
    backgroundColor: "var(--raised)",
    border: "0",
    borderRadius: "var(--radius-m)",
    boxShadow: "var(--shadow-2)",
    fontSize: "var(--text-s)",
    overflow: "hidden",
  },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "14rem" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "2px var(--space-2)", lineHeight: "var(--line-m)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { color: "var(--text)", backgroundColor: "var(--accent-soft)" },
  ".cm-completionIcon": { display: "none" },
  ".cm-completionMatchedText": { color: "var(--accent)", textDecoration: "none", fontWeight: "var(--weight-bold)" },
  ".cm-completionDetail": { color: "var(--text-muted)", fontStyle: "normal" },
  ".cm-completionInfo": { padding: "var(--space-2)", maxWidth: "22rem", fontFamily: "var(--font)" },
  ".cm-diagnostic": { padding: "var(--space-1) var(--space-2)", whiteSpace: "pre-wrap" },
  ".cm-diagnostic-error": { borderLeft: "3px solid var(--bad-fill)" },
  // Merge: the words that changed have a stronger background than their line.
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": { backgroundColor: "var(--code-removed)" },
  "&.cm-merge-b .cm-changedLine, .cm-inlineChangedLine": { backgroundColor: "var(--code-added)" },
  "&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText": {
    background: "var(--code-removed-word) !important",
  },
  "&.cm-merge-b .cm-changedText": { background: "var(--code-added-word) !important" },
  "&.cm-merge-a .cm-changedLineGutter, .cm-deletedLineGutter": { background: "var(--bad-fill)" },
  "&.cm-merge-b .cm-changedLineGutter, .cm-inlineChangedLineGutter": { background: "var(--good-fill)" },
  ".cm-deletedChunk": { paddingLeft: "0" },
  ".cm-deletedChunk .cm-deletedLine": { padding: "0 var(--space-3)" },
  ".cm-collapsedLines::before, .cm-collapsedLines::after": { content: "none" },
  ".cm-collapsedLines": {
    padding: "var(--space-1) var(--space-3)",
    color: "var(--text-muted) !important",
    background: "var(--hover) !important",
    fontFamily: "var(--font)",
  },
});

/** The nonce that the server put into the page, without which its policy refuses style elements. */
function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
}

export function codeAppearance(): Extension {
  return [
    EditorView.cspNonce.of(nonce()),
    theme,
    syntaxHighlighting(classHighlighter),
    language.peek() === "zh" ? EditorState.phrases.of(CHINESE_PHRASES) : [],
  ];
}
