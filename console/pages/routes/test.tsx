/** The tester: which route takes a request, why the others lost, and what happens with it. The form is in the URL. */
import { FlaskConical } from "lucide";
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { ExplainAnswer, GatewayCheckAnswer } from "#gateway/api";
import { CopyAs } from "../../components/copy.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Problem, Skeleton } from "../../components/states.tsx";
import { ApiProblem, callApi, type ApiCall } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { setQuery, useNamespace, useQuery } from "../../data/location.ts";
import { checkText } from "./check.ts";
import {
  DEFAULT_LISTENER,
  DEFAULT_PEER,
  explainRequestOf,
  isSecretHeader,
  headersOf,
  PLACEHOLDER,
  type TestForm,
  type TestSecrets,
  testWords,
  withoutSecrets,
} from "./core/test-request.ts";
import { ExplanationView } from "./explanation.tsx";
import { RoutesFrame } from "./frame.tsx";
import { RouteProblems } from "./list.tsx";
import { draftOf } from "./source.ts";
import { TestFormView } from "./test-form.tsx";
import { testText } from "./text-test.ts";

interface TestResult {
  readonly explanation: ExplainAnswer | undefined;
  /** Of a draft that cannot be used. */
  readonly invalid: GatewayCheckAnswer["problems"];
  readonly problem: ApiProblem | undefined;
  readonly isRunning: boolean;
}

const NOTHING: TestResult = { explanation: undefined, invalid: [], problem: undefined, isRunning: false };

/** Credentials of the last test, while the console is open. */
const secrets: TestSecrets & { headers: string } = { bearer: "", apiKey: "", headers: "" };

export default function RouteTestView() {
  const text = testText();
  const [namespace] = useNamespace();
  const [by] = useQuery("by");
  const [url] = useQuery("url");
  const form = useSignal<TestForm>(useFormOfUrl());
  const given = useSignal<TestSecrets>(secrets);
  const result = useSignal<TestResult>(NOTHING);
  const draft = draftOf(namespace);
  const isDraft = by === "draft" && draft !== undefined;
  const run = async () => {
    const { url: _url, ...rest } = form.value;
    rememberForm(form.value, given.value);
    result.value = { ...result.value, isRunning: true };
    const request = explainRequestOf({ url: _url, ...rest }, given.value);
    result.value = await testRequest({ namespace, request, config: isDraft ? draft.text : undefined });
  };
  useEffect(() => {
    if (url !== "") void run();
  }, [namespace, by]);
  return (
    <RoutesFrame part="test" actions={<TestCommands form={form.value} secrets={given.value} />}>
      <div class="route-tester">
        <Card title={text.request}>
          <TestFormView
            form={form}
            secrets={given}
            hasDraft={draft !== undefined}
            isBusy={result.value.isRunning}
            onRun={run}
          />
        </Card>
        <div class="route-result">
          <ResultView result={result} />
        </div>
      </div>
    </RoutesFrame>
  );
}

function useFormOfUrl(): TestForm {
  const [method] = useQuery("method", "GET");
  const [url] = useQuery("url");
  const [headers] = useQuery("headers");
  const [peer] = useQuery("peer", DEFAULT_PEER);
  const [listener] = useQuery("listener", DEFAULT_LISTENER);
  const [zone] = useQuery("zone");
  return { method, url, headers: secrets.headers === "" ? headers : secrets.headers, peer, listener, zone };
}

function rememberForm(form: TestForm, given: TestSecrets): void {
  const hasSecret = headersOf(form.headers).some(({ name }) => isSecretHeader(name));
  Object.assign(secrets, given, { headers: hasSecret ? form.headers : "" });
  setQuery({
    method: form.method === "GET" ? "" : form.method,
    url: form.url.trim(),
    headers: withoutSecrets(form.headers).trim(),
    peer: form.peer === DEFAULT_PEER ? "" : form.peer.trim(),
    listener: form.listener === DEFAULT_LISTENER ? "" : form.listener.trim(),
    zone: form.zone.trim(),
  });
}

interface TestOf {
  readonly namespace: string;
  readonly request: ReturnType<typeof explainRequestOf>;
  readonly config: string | undefined;
}

async function testRequest({ namespace, request, config }: TestOf): Promise<TestResult> {
  try {
    if (config === undefined) {
      const { data } = await callApi<ExplainAnswer>(explainCall(namespace, request));
      return { ...NOTHING, explanation: data };
    }
    const { problems, explanation } = await checkText({ namespace, config, request });
    return { ...NOTHING, invalid: problems, explanation };
  } catch (error) {
    return { ...NOTHING, problem: error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) }) };
  }
}

function explainCall(namespace: string, request: TestOf["request"]): ApiCall {
  const body = { ...request, ...(namespace === "default" ? {} : { namespace }) };
  return { method: "POST", path: "/v1/gateway/explain", body };
}

/** The same test as commands, with placeholders for credentials. */
function TestCommands({ form, secrets: given }: { readonly form: TestForm; readonly secrets: TestSecrets }) {
  const [namespace] = useNamespace();
  const shown = {
    bearer: given.bearer === "" ? "" : PLACEHOLDER.bearer,
    apiKey: given.apiKey === "" ? "" : PLACEHOLDER.apiKey,
  };
  const request = explainRequestOf({ ...form, headers: withoutSecrets(form.headers) }, shown);
  return (
    <CopyAs
      cli={cliOf("route", "test", ...testWords(form, given), ...namespaceWords(namespace))}
      call={explainCall(namespace, request)}
    />
  );
}

function ResultView({ result }: { readonly result: Signal<TestResult> }) {
  const text = testText();
  const { explanation, invalid, problem, isRunning } = result.value;
  if (problem) return <Problem problem={problem} />;
  if (invalid.length > 0) return <RouteProblems title={text.draftInvalid} problems={invalid} isBad />;
  if (explanation) return <ExplanationView of={explanation} />;
  if (isRunning) return <Skeleton />;
  return (
    <Card isFlush>
      <EmptyState
        icon={FlaskConical}
        title={text.startTitle}
        command="posthouse route test GET http://shop.example.com/orders/1"
      >
        {text.startText}
      </EmptyState>
    </Card>
  );
}
