/** The editor of gateway.yaml: checked by the server while one writes, compared, then released. */
import { CircleCheck, CircleX, FileText, FlaskConical, Rocket, Undo2 } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CodeEditor, type CodeProblem, type JsonSchema } from "../../components/code-editor.tsx";
import { Card } from "../../components/layout.tsx";
import { Loaded, Problem } from "../../components/states.tsx";
import { readApi } from "../../data/api.ts";
import { linkTo, useNamespace } from "../../data/location.ts";
import { can } from "../../data/session.ts";
import { type TextCheck, useTextCheck } from "./check.ts";
import { gatewaySet } from "./data.ts";
import { RoutesFrame } from "./frame.tsx";
import { InForce } from "./in-force.tsx";
import { RouteProblems } from "./list.tsx";
import { ReleaseDialog, SaveDraftDialog } from "./release.tsx";
import { changeDraft, draftOf, type GatewaySource, routeDraft, useGatewaySource } from "./source.ts";
import { routesText } from "./text.ts";
import { editText } from "./text-edit.ts";

/** Shown before anything is released: a comment, so that the check tells what is missing. */
const FIRST_TEXT = `# Routes of this namespace's gateways.
routes:
  - name: orders
    match: { path: { prefix: /orders } }
    service: orders
`;

export default function RouteEditView() {
  const source = useGatewaySource();
  return (
    <RoutesFrame part="edit">
      <Loaded of={source}>{(released) => <Editor released={released} reload={source.reload} />}</Loaded>
      <InForce />
    </RoutesFrame>
  );
}

interface EditorProps {
  readonly released: GatewaySource;
  readonly reload: () => Promise<void>;
}

function Editor({ released, reload }: EditorProps) {
  const text = editText();
  const [namespace] = useNamespace();
  const draft = draftOf(namespace);
  const value = draft?.text ?? (released.version === 0 ? FIRST_TEXT : released.text);
  const isWritable = can("config:draft") && !released.isSecret;
  const check = useTextCheck(namespace, isWritable ? value : undefined);
  const schema = useSchema();
  const dialog = useSignal<"release" | "draft" | undefined>(undefined);
  const isChanged = draft !== undefined || released.version === 0;
  const isReleasable = isChanged && check.answer?.problems.length === 0 && !check.isRunning;
  const isStale = draft !== undefined && draft.base.version !== released.version;
  return (
    <Card
      title={<EditorTitle released={released} isChanged={isChanged} check={check} />}
      actions={
        <EditorActions
          isChanged={draft !== undefined}
          isReleasable={isReleasable}
          onOpen={(which) => (dialog.value = which)}
        />
      }
    >
      <Notices released={released} isWritable={isWritable} isStale={isStale} />
      {check.problem && <Problem problem={check.problem} />}
      <CodeEditor
        label={text.editor}
        value={value}
        format="yaml"
        schema={schema}
        problems={problemsOf(check)}
        {...(isWritable ? { onChange: (next: string) => changeDraft(namespace, next, released) } : {})}
      />
      <RouteProblems title={routesText().warnings} problems={check.answer?.warnings ?? []} />
      {dialog.value === "release" && (
        <ReleaseDialog source={released} text={value} onClose={() => (dialog.value = undefined)} onDone={reload} />
      )}
      {dialog.value === "draft" && <SaveDraftDialog text={value} onClose={() => (dialog.value = undefined)} />}
    </Card>
  );
}

/** Problems without a place concern the whole text. */
function problemsOf({ answer }: TextCheck): readonly CodeProblem[] {
  return (answer?.problems ?? []).map(({ line = 1, column = 1, pointer, message }) => ({
    line,
    column,
    message: pointer === "" ? message : `${pointer}: ${message}`,
  }));
}

function useSchema(): JsonSchema | undefined {
  const schema = useSignal<JsonSchema | undefined>(undefined);
  useEffect(() => {
    // Without it, the editor completes nothing; everything else works.
    readApi<JsonSchema>("/v1/gateway/schema").then(
      (read) => (schema.value = read),
      () => undefined,
    );
  }, [schema]);
  return schema.value;
}

interface EditorTitleProps {
  readonly released: GatewaySource;
  readonly isChanged: boolean;
  readonly check: TextCheck;
}

function EditorTitle({ released, isChanged, check: { answer, isRunning, problem } }: EditorTitleProps) {
  const text = editText();
  const problems = answer?.problems.length ?? 0;
  return (
    <span class="route-title">
      <span class="mono">gateway.yaml</span>
      <span class="muted">{text.based(released.version)}</span>
      <Badge tone={isChanged ? "accent" : "idle"}>{isChanged ? text.changed : text.unchanged}</Badge>
      <span role="status">
        {isRunning || (!answer && !problem) ? (
          <span class="muted">{answer || isRunning ? text.checking : ""}</span>
        ) : problem ? (
          <Badge>{text.notChecked}</Badge>
        ) : problems > 0 ? (
          <Badge tone="bad" icon={CircleX}>
            {text.invalid(problems)}
          </Badge>
        ) : (
          <Badge tone="good" icon={CircleCheck}>
            {text.valid(answer?.routes.filter(({ hinted }) => !hinted).length ?? 0)}
          </Badge>
        )}
      </span>
    </span>
  );
}

interface EditorActionsProps {
  readonly isChanged: boolean;
  readonly isReleasable: boolean;
  readonly onOpen: (which: "release" | "draft") => void;
}

function EditorActions({ isChanged, isReleasable, onOpen }: EditorActionsProps) {
  const text = editText();
  const [namespace] = useNamespace();
  return (
    <div class="actions">
      {isChanged && (
        <>
          <Button kind="quiet" icon={Undo2} onClick={() => (routeDraft.value = undefined)}>
            {text.reset}
          </Button>
          <Button icon={FlaskConical} href={linkTo("/routes/test", { by: "draft" })}>
            {text.testDraft}
          </Button>
          <Button icon={FileText} needs="config:draft" isDisabled={!isReleasable} onClick={() => onOpen("draft")}>
            {text.draft}
          </Button>
        </>
      )}
      {!isChanged && (
        <Button kind="quiet" icon={FileText} href={linkTo(`/config/${gatewaySet(namespace)}`)}>
          {text.openSet}
        </Button>
      )}
      <Button
        kind="primary"
        icon={Rocket}
        needs="config:publish"
        isDisabled={!isReleasable}
        onClick={() => onOpen("release")}
      >
        {text.review}
      </Button>
    </div>
  );
}

interface NoticesProps {
  readonly released: GatewaySource;
  readonly isWritable: boolean;
  readonly isStale: boolean;
}

function Notices({ released, isWritable, isStale }: NoticesProps) {
  const text = editText();
  return (
    <>
      {isStale && (
        <p class="route-notice" role="alert">
          {text.stale(released.version)}{" "}
          <Button isSmall onClick={() => (routeDraft.value = undefined)}>
            {text.takeNewer}
          </Button>
        </p>
      )}
      {released.isSecret && <p class="route-notice">{text.secret}</p>}
      {!isWritable && !released.isSecret && <p class="route-notice">{text.readOnly}</p>}
      {isWritable && released.isExpanded && <p class="route-notice">{text.expanded}</p>}
    </>
  );
}
