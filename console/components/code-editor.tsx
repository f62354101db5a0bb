/** A text in one of the formats of config values, to read or to edit. The editor itself is loaded when it is first needed. */
import { CircleX } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { language } from "../text/mod.ts";
import type { CodeArea, CodeProblem } from "./code/editor.ts";
import type { JsonSchema } from "./code/schema-hints.ts";
import { codeText } from "./code/text.ts";
import { Icon } from "./icon.tsx";

export type { CodeProblem, JsonSchema };

interface CodeEditorProps {
  readonly label: string;
  readonly value: string;
  /** `yaml`, `json`, `toml`, `properties`; any other is plain text. */
  readonly format: string;
  /** Absent: the text can only be read. */
  readonly onChange?: (value: string) => void;
  /** Shown in the margin and below the text. */
  readonly problems?: readonly CodeProblem[];
  /** JSON Schema of a YAML text; completes its fields and values. */
  readonly schema?: JsonSchema | undefined;
  /** CSS height at most; 60vh by default. */
  readonly maxHeight?: string;
}

const NONE: readonly CodeProblem[] = [];

export function CodeEditor(props: CodeEditorProps) {
  const { label, value, format, onChange, problems = NONE, maxHeight } = props;
  const place = useRef<HTMLDivElement>(null);
  const area = useRef<CodeArea | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const state = useSignal<"loading" | "ready" | "failed">("loading");
  const hintId = useId();
  const isReadOnly = onChange === undefined;
  useEffect(() => {
    let isOver = false;
    const open = async () => {
      const code = await import("./code/editor.ts");
      if (isOver || !place.current) return;
      area.current = new code.CodeArea(place.current, {
        label,
        describedBy: hintId,
        value: latest.current.value,
        format,
        isReadOnly,
        schema: () => latest.current.schema,
        onChange: (text) => latest.current.onChange?.(text),
      });
      state.value = "ready";
    };
    open().catch(() => (state.value = "failed"));
    return () => {
      isOver = true;
      area.current?.close();
      area.current = undefined;
      state.value = "loading";
    };
  }, [format, isReadOnly, label, language.value]);
  // Before the next key: a later effect would put an older text back.
  useLayoutEffect(() => {
    area.current?.setValue(value);
    area.current?.setProblems(problems);
  });
  return (
    <div class="code" data-state={state.value} style={maxHeight === undefined ? {} : { "--code-height": maxHeight }}>
      <div ref={place} class="code-area" />
      {state.value !== "ready" && (
        // Without the editor's program, as after an update of the server, the text can still be read and changed.
        <textarea
          class="input mono"
          aria-label={label}
          rows={Math.min(20, value.split("\n").length + 1)}
          readOnly={isReadOnly || state.value === "loading"}
          value={value}
          onInput={(event) => onChange?.(event.currentTarget.value)}
        />
      )}
      <span id={hintId} class="visually-hidden">
        {isReadOnly ? "" : codeText().leave}
      </span>
      <CodeProblems problems={problems} onGo={(problem) => area.current?.goTo(problem)} />
    </div>
  );
}

interface CodeProblemsProps {
  readonly problems: readonly CodeProblem[];
  readonly onGo: (problem: CodeProblem) => void;
}

function CodeProblems({ problems, onGo }: CodeProblemsProps) {
  const text = codeText();
  return (
    <ul class="code-problems" aria-label={text.problems} aria-live="polite">
      {problems.map((problem) => (
        <li key={`${problem.line}:${problem.column}:${problem.message}`}>
          <button type="button" onClick={() => onGo(problem)}>
            <Icon of={CircleX} size={14} />
            <span class="muted">{text.place(problem.line, problem.column)}</span>
            <span>{problem.message}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
