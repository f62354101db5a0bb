/** The differences of two texts with CodeMirror: beside each other, or in one column. */
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { codeAppearance } from "./appearance.ts";
import { codeLanguage } from "./languages/mod.ts";

export interface DiffOptions {
  readonly before: string;
  readonly after: string;
  readonly format: string;
  readonly labels: readonly [before: string, after: string];
  readonly isUnified: boolean;
}

/** Equal lines around a change that stay visible, and the fewest that are worth hiding. */
const COLLAPSE = { margin: 3, minSize: 6 };

/** @returns what removes it again */
export function showDiff(parent: HTMLElement, { before, after, format, labels, isUnified }: DiffOptions): () => void {
  const read = (label: string): Extension => [
    lineNumbers(),
    codeLanguage(format),
    codeAppearance(),
    EditorState.readOnly.of(true),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
  ];
  if (isUnified) {
    const merge = unifiedMergeView({
      original: before,
      mergeControls: false,
      gutter: true,
      collapseUnchanged: COLLAPSE,
      syntaxHighlightDeletions: true,
    });
    const view = new EditorView({ parent, doc: after, extensions: [read(labels[1]), merge] });
    return () => view.destroy();
  }
  const view = new MergeView({
    parent,
    a: { doc: before, extensions: read(labels[0]) },
    b: { doc: after, extensions: read(labels[1]) },
    collapseUnchanged: COLLAPSE,
    gutter: true,
  });
  return () => view.destroy();
}
