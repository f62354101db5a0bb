/** Edits one key: the text with the server's checks while it is typed, saved as a draft or released. */
import { CircleAlert, CircleCheck, CircleDashed, CircleX, RefreshCw, Rocket } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Draft, Item } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { CodeEditor, type JsonSchema } from "../../../components/code-editor.tsx";
import { CommandBlock } from "../../../components/copy.tsx";
import { Card } from "../../../components/layout.tsx";
import { Problem } from "../../../components/states.tsx";
import { showToast } from "../../../components/toast.tsx";
import { ApiProblem, callApi } from "../../../data/api.ts";
import { cliOf } from "../../../data/commands.ts";
import { setQuery } from "../../../data/location.ts";
import { MASK } from "../core/names.ts";
import { ReleaseDialog } from "../release/release-dialog.tsx";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { ConflictNotice } from "./conflict.tsx";
import { DiscardDraftDialog } from "./discard-draft.tsx";
import { ItemOptions } from "./item-options.tsx";
import { SecretInput } from "./secret-input.tsx";
import { useValidation, type Validation } from "./use-validation.ts";

export interface EditBase {
  /** The live version when the edit began; 0: nothing was released. */
  readonly version: number;
  /** The key in that version. */
  readonly item: Item | undefined;
  readonly draft: Draft | undefined;
  readonly first: Item;
}

interface KeyEditorProps {
  readonly set: ConfigSet;
  readonly name: string;
  readonly start: EditBase;
}

const sameItem = (one: Item | undefined, other: Item | undefined) => JSON.stringify(one) === JSON.stringify(other);

export function KeyEditor({ set, name, start }: KeyEditorProps) {
  const text = setText();
  const item = useSignal(start.first);
  const base = useSignal<Pick<EditBase, "version" | "item">>(start);
  const dialog = useSignal<"release" | "discard" | undefined>(undefined);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const isEdited = !sameItem(item.value, start.first);
  const isChanged = !sameItem(item.value, base.value.item);
  const validation = useValidation(set.name, name, isChanged ? item.value : undefined);
  useLeaveWarning(isEdited);
  const close = () => setQuery({ edit: "", key: name });
  const saveDraft = async () => {
    const isRebased = start.draft !== undefined && base.value.version !== start.version;
    problem.value = await saved(set, name, item.value, isRebased);
  };
  return (
    <Card
      title={
        <>
          {text.editTitle("")}
          <code>{name}</code>
        </>
      }
      actions={
        <>
          <span class="muted">
            {start.draft ? text.fromDraft : base.value.version > 0 && text.based(base.value.version)}
          </span>
          <ValidationBadge of={validation} />
        </>
      }
    >
      <ConflictNotice set={set} name={name} base={base} item={item} />
      <ItemOptions
        item={item.value}
        wasSecret={base.value.item?.secret === true}
        onChange={(next) => (item.value = next)}
      />
      <ValueInput
        set={set}
        name={name}
        item={item.value}
        validation={validation}
        onChange={(next) => (item.value = next)}
      />
      {problem.value && <Problem problem={problem.value} />}
      <EditorEnd
        hasDraft={start.draft !== undefined}
        isChanged={isChanged}
        isInvalid={validation.state === "invalid"}
        onClose={close}
        onSave={() => void saveDraft()}
        onOpen={(next) => (dialog.value = next)}
      />
      {dialog.value === "release" && (
        <ReleaseDialog
          set={set}
          changes={{ [name]: item.value }}
          version={base.value.version}
          drafts={start.draft ? [name] : []}
          onClose={() => (dialog.value = undefined)}
          onDone={close}
        />
      )}
      {dialog.value === "discard" && (
        <DiscardDraftDialog set={set} name={name} onClose={() => (dialog.value = undefined)} onDone={close} />
      )}
    </Card>
  );
}

interface EditorEndProps {
  readonly hasDraft: boolean;
  readonly isChanged: boolean;
  readonly isInvalid: boolean;
  readonly onClose: () => void;
  readonly onSave: () => void;
  readonly onOpen: (dialog: "release" | "discard") => void;
}

function EditorEnd({ hasDraft, isChanged, isInvalid, onClose, onSave, onOpen }: EditorEndProps) {
  const text = setText();
  return (
    <div class="actions config-end">
      {hasDraft && (
        <Button kind="danger" aria-haspopup="dialog" onClick={() => onOpen("discard")}>
          {text.discardDraft}
        </Button>
      )}
      <span class="spring" />
      <Button onClick={onClose}>{text.discardEdit}</Button>
      <Button needs="config:draft" isDisabled={!isChanged} onClick={onSave}>
        {text.saveDraft}
      </Button>
      <Button
        kind="primary"
        icon={Rocket}
        needs="config:publish"
        aria-haspopup="dialog"
        isDisabled={!isChanged || isInvalid}
        onClick={() => onOpen("release")}
      >
        {text.review}
      </Button>
    </div>
  );
}

/** Saves a draft and shows it among the others. @returns why it could not be saved */
async function saved(set: ConfigSet, name: string, item: Item, isRebased: boolean): Promise<ApiProblem | undefined> {
  try {
    await putDraft(set.path, name, item, { isRebased });
    showToast(setText().draftSaved, "good", name);
    await set.reload();
    setQuery({ edit: "", tab: "review" });
    return undefined;
  } catch (error) {
    return error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
  }
}

/** A draft keeps the version that it was begun on, so one that was rebased is begun again. @throws ApiProblem */
async function putDraft(path: string, name: string, item: Item, { isRebased }: { isRebased: boolean }): Promise<void> {
  const at = `${path}/drafts/${encodeURIComponent(name)}`;
  if (isRebased) await callApi({ method: "DELETE", path: at });
  await callApi({ method: "PUT", path: at, body: item });
}

function useLeaveWarning(isEdited: boolean): void {
  useEffect(() => {
    if (!isEdited) return undefined;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [isEdited]);
}

interface ValueInputProps {
  readonly set: ConfigSet;
  readonly name: string;
  readonly item: Item;
  readonly validation: Validation;
  readonly onChange: (item: Item) => void;
}

function ValueInput({ set, name, item, validation, onChange }: ValueInputProps) {
  const text = setText();
  if (item.format === "binary") {
    return (
      <>
        <p class="muted">{text.binaryEdit}</p>
        <CommandBlock command={cliOf("config", "put", set.id, name, `./${name}`)} />
      </>
    );
  }
  return (
    <>
      {item.secret && item.value === MASK ? (
        <SecretInput onBegin={() => onChange({ ...item, value: "" })} />
      ) : (
        <CodeEditor
          label={name}
          format={item.format}
          value={item.value}
          problems={validation.problems}
          schema={schemaOf(set, name)}
          onChange={(value) => onChange({ ...item, value })}
        />
      )}
      {validation.others.length > 0 && (
        <ul class="config-others" role="status">
          {validation.others.map((words) => (
            <li key={words}>{words}</li>
          ))}
        </ul>
      )}
    </>
  );
}

/** The schema of the key, which profile default holds. One that cannot be read completes nothing; the server reports it. */
function schemaOf(set: ConfigSet, name: string): JsonSchema | undefined {
  const value = set.effective.data?.items[`${name}.schema.json`]?.value;
  if (value === undefined) return undefined;
  try {
    return JSON.parse(value) as JsonSchema;
  } catch {
    return undefined;
  }
}

function ValidationBadge({ of: { state, problems, others } }: { readonly of: Validation }) {
  const text = setText();
  const badge = {
    checking: <Badge icon={RefreshCw}>{text.checking}</Badge>,
    valid: (
      <Badge tone="good" icon={CircleCheck}>
        {text.valid}
      </Badge>
    ),
    unchanged: <Badge icon={CircleDashed}>{text.unchanged}</Badge>,
    invalid: (
      <Badge tone="bad" icon={CircleX}>
        {text.invalid(problems.length + others.length)}
      </Badge>
    ),
    unchecked: (
      <Badge tone="warn" icon={CircleAlert}>
        {text.unchecked}
      </Badge>
    ),
  }[state];
  return <span role="status">{badge}</span>;
}
