/** Evaluates the released flags for a context, over OFREP as clients do. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Evaluation } from "#flags/core";
import { CodeEditor } from "../../../components/code-editor.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { Card } from "../../../components/layout.tsx";
import { Problem } from "../../../components/states.tsx";
import { ApiProblem, type ApiCall, callApi } from "../../../data/api.ts";
import { flagsText } from "../flags-text.ts";

/** Milliseconds of a pause in typing after which the context is evaluated. */
const PAUSE_MS = 300;
const FIRST = '{\n  "targetingKey": "ann",\n  "email": "ann@example.com",\n  "country": "CH"\n}\n';

export interface Tester {
  readonly text: string;
  readonly setText: (text: string) => void;
  readonly call: ApiCall;
  readonly evaluations: readonly Evaluation[];
  /** Why the text is not a context. */
  readonly invalid: string | undefined;
  readonly problem: ApiProblem | undefined;
}

export function useEvaluations(path: string): Tester {
  const text = useSignal(FIRST);
  const evaluations = useSignal<readonly Evaluation[]>([]);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const read = contextOf(text.value);
  const call: ApiCall = { method: "POST", path, body: { context: "context" in read ? read.context : {} } };
  useEffect(() => {
    if (!("context" in read)) return undefined;
    const abort = new AbortController();
    const ask = async () => {
      try {
        const { data } = await callApi<{ readonly flags: readonly Evaluation[] }>({ ...call, signal: abort.signal });
        evaluations.value = data.flags;
        problem.value = undefined;
      } catch (error) {
        if (abort.signal.aborted) return;
        problem.value = error instanceof ApiProblem ? refusalOf(error) : new ApiProblem(0, { detail: String(error) });
      }
    };
    const timer = setTimeout(() => void ask(), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text.value, path]);
  return {
    text: text.value,
    setText: (next) => (text.value = next),
    call,
    evaluations: evaluations.value,
    invalid: "invalid" in read ? read.invalid : undefined,
    problem: problem.value,
  };
}

function contextOf(text: string): { readonly context: object } | { readonly invalid: string } {
  const words = flagsText();
  try {
    const context: unknown = JSON.parse(text.trim() === "" ? "{}" : text);
    if (typeof context === "object" && context !== null && !Array.isArray(context)) return { context };
    return { invalid: words.contextNotObject };
  } catch (error) {
    return { invalid: words.contextInvalid(error instanceof Error ? error.message : String(error)) };
  }
}

/** OFREP has its own names for code and detail. */
function refusalOf({ status, code, message, fields }: ApiProblem): ApiProblem {
  return new ApiProblem(status, { code: fields["errorCode"] ?? code, detail: fields["errorDetails"] ?? message });
}

export function ContextTester({ tester }: { readonly tester: Tester }) {
  const text = flagsText();
  return (
    <Card title={text.tester} actions={<CopyAs call={tester.call} />}>
      <p class="muted">{text.testerLead}</p>
      <CodeEditor label={text.context} format="json" value={tester.text} onChange={tester.setText} maxHeight="24rem" />
      {tester.invalid === undefined ? (
        <p class="muted">{text.contextHint}</p>
      ) : (
        <p class="config-others" role="status">
          {tester.invalid}
        </p>
      )}
      {tester.problem && <Problem problem={tester.problem} />}
    </Card>
  );
}
