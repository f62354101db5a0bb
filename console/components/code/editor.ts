/** An editor of one text with CodeMirror. It is loaded when a page shows code for the first time. */
import { autocompletion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { standardKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState, type Extension, type Text } from "@codemirror/state";
import { EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { codeAppearance } from "./appearance.ts";
import { codeLanguage } from "./languages/mod.ts";
import { fieldsAt, type JsonSchema, valuesAt } from "./schema-hints.ts";
import { yamlPlaceAt } from "./yaml-place.ts";

/** A place counts from 1, as in the server's problems. */
export interface CodeProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export interface EditorOptions {
  readonly label: string;
  readonly describedBy: string;
  readonly value: string;
  readonly format: string;
  readonly isReadOnly: boolean;
  readonly schema: () => JsonSchema | undefined;
  readonly onChange: (value: string) => void;
}

/** Milliseconds after Escape within which Tab leaves the editor. */
const LEAVE_MS = 2_000;

export class CodeArea {
  readonly #view: EditorView;
  #problems = "";
  #isReplacing = false;

  constructor(parent: HTMLElement, options: EditorOptions) {
    this.#view = new EditorView({
      parent,
      state: EditorState.create({ doc: options.value, extensions: extensionsOf(this.#quietly(options)) }),
    });
  }

  /** Replaces the text if it is another one; the history of changes stays. Only changes of the reader are reported. */
  setValue(value: string): void {
    const { doc } = this.#view.state;
    if (doc.toString() === value) return;
    this.#isReplacing = true;
    this.#view.dispatch({ changes: { from: 0, to: doc.length, insert: value } });
    this.#isReplacing = false;
  }

  #quietly(options: EditorOptions): EditorOptions {
    return { ...options, onChange: (text) => this.#isReplacing || options.onChange(text) };
  }

  setProblems(problems: readonly CodeProblem[]): void {
    const next = JSON.stringify(problems);
    if (next === this.#problems) return;
    this.#problems = next;
    const { state } = this.#view;
    this.#view.dispatch(
      setDiagnostics(
        state,
        problems.map((problem) => diagnosticOf(state.doc, problem)),
      ),
    );
  }

  /** Moves the cursor to a place and shows it. */
  goTo({ line, column }: { readonly line: number; readonly column: number }): void {
    const anchor = positionOf(this.#view.state.doc, line, column);
    this.#view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
    this.#view.focus();
  }

  close(): void {
    this.#view.destroy();
  }
}

function extensionsOf(options: EditorOptions): Extension {
  const { label, describedBy, isReadOnly, format, schema, onChange } = options;
  const shared = [
    lineNumbers(),
    codeLanguage(format),
    codeAppearance(),
    EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": describedBy, tabindex: "0" }),
  ];
  if (isReadOnly) return [shared, EditorState.readOnly.of(true), keymap.of(standardKeymap)];
  return [
    shared,
    history(),
    indentOnInput(),
    bracketMatching(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    lintGutter(),
    EditorView.domEventHandlers({ keydown: armLeave }),
    keymap.of([...standardKeymap, ...historyKeymap, indentWithTab]),
    format === "yaml" ? autocompletion({ override: [(context) => complete(context, schema())] }) : [],
    EditorView.updateListener.of((update) => {
      if (update.docChanged) onChange(update.state.doc.toString());
    }),
  ];
}

let armedAt = -LEAVE_MS;
/** The first Escape lets Tab leave the editor. It does not close a dialog around it; a second one does. */
function armLeave(event: KeyboardEvent, view: EditorView): boolean {
  if (event.key !== "Escape" || performance.now() - armedAt < LEAVE_MS) return false;
  armedAt = performance.now();
  view.setTabFocusMode(LEAVE_MS);
  if (view.dom.closest("dialog")) event.preventDefault();
  return false;
}

function positionOf(doc: Text, line: number, column: number): number {
  const at = doc.line(Math.max(1, Math.min(line, doc.lines)));
  return Math.min(at.from + Math.max(0, column - 1), at.to);
}

function diagnosticOf(doc: Text, { line, column, message }: CodeProblem): Diagnostic {
  const from = positionOf(doc, line, column);
  const at = doc.lineAt(from);
  const word = /^[^\s,\]}:]+/.exec(at.text.slice(from - at.from))?.[0] ?? "";
  return { from, to: Math.min(at.to, from + Math.max(1, word.length)), severity: "error", message };
}

function complete(context: CompletionContext, schema: JsonSchema | undefined): CompletionResult | null {
  if (!schema) return null;
  const place = yamlPlaceAt(context.state.sliceDoc(0, context.pos).split("\n"));
  if (!place || (place.typed === "" && place.kind === "name" && !context.explicit)) return null;
  const from = context.pos - place.typed.length;
  if (place.kind === "value") return { from, options: valuesAt(schema, place.path).map((label) => ({ label })) };
  const options = fieldsAt(schema, place.path).map(({ name, type, description, isRequired }) => ({
    label: name,
    apply: `${name}: `,
    detail: type,
    boost: isRequired ? 1 : 0,
    ...(description === "" ? {} : { info: description }),
  }));
  return { from, options };
}
