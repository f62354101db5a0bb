/** Writing a policy as YAML, with the names of actions and fields completed. The server checks what it means. */
import { useSignal } from "@preact/signals";
import { ActionDialog } from "../../components/dialog.tsx";
import { CodeEditor, type CodeProblem, type JsonSchema } from "../../components/code-editor.tsx";
import { TextField } from "../../components/field.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { commonText } from "../../text/common.ts";
import { actionText } from "./action-text.ts";
import { ACTION_NAMES, RESOURCE_FIELDS } from "./actions.ts";
import { PolicyTextError, readPolicyYaml, type Tree } from "./policy-yaml.ts";
import { viewsText } from "./text-views.ts";

export interface PolicyStart {
  /** "": a new one. */
  readonly name: string;
  readonly text: string;
  /** Absent: it must not exist yet. */
  readonly revision: number | undefined;
  readonly users: number;
}

export const FIRST_POLICY: PolicyStart = {
  name: "",
  text: "description: What it is for.\nrules:\n  - effect: allow\n    actions: [registry:read, config:read]\n    on:\n      namespace: [default]\n",
  revision: undefined,
  users: 0,
};

/** As the server has it in its contract. */
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

interface PolicyEditorProps {
  readonly start: PolicyStart;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function PolicyEditor({ start, onClose, onDone }: PolicyEditorProps) {
  const text = viewsText();
  const name = useSignal(start.name);
  const value = useSignal(start.text);
  const isNew = start.revision === undefined;
  const { tree, problems } = readText(value.value);
  const file = `${name.value || "policy"}.yaml`;
  return (
    <ActionDialog
      title={isNew ? text.createTitle : text.editTitle(start.name)}
      confirm={text.savePolicy}
      needs="access:manage"
      width="48rem"
      isReady={NAME.test(name.value) && problems.length === 0}
      call={{
        method: "PUT",
        path: pathOf`/v1/policies/${name.value}`,
        body: tree,
        headers: isNew ? { "if-none-match": "*" } : { "if-match": `"${start.revision}"` },
      }}
      cli={cliOf("policy", "set", name.value, "-f", file, "--cas", String(start.revision ?? 0))}
      done={text.saved}
      onClose={onClose}
      onDone={onDone}
    >
      {isNew && (
        <TextField
          label={commonText().name}
          isRequired
          hasFocus
          isMono
          value={name.value}
          error={name.value === "" || NAME.test(name.value) ? undefined : text.nameWrong}
          onInput={(next) => (name.value = next.trim())}
        />
      )}
      <CodeEditor
        label={text.policy}
        value={value.value}
        format="yaml"
        schema={policySchema()}
        problems={problems}
        maxHeight="46vh"
        onChange={(next) => (value.value = next)}
      />
      <p class="muted">{text.effectNote(start.users)}</p>
    </ActionDialog>
  );
}

function readText(text: string): { readonly tree: Tree | undefined; readonly problems: readonly CodeProblem[] } {
  try {
    return { tree: readPolicyYaml(text), problems: [] };
  } catch (error) {
    if (!(error instanceof PolicyTextError)) throw error;
    return { tree: undefined, problems: [{ line: error.line, column: 1, message: error.message }] };
  }
}

/** The fields of a policy, for completion in the editor. */
function policySchema(): JsonSchema {
  const words = actionText();
  const globs = { type: "array", items: { type: "string" } };
  return {
    type: "object",
    properties: {
      description: { type: "string" },
      rules: {
        type: "array",
        items: {
          type: "object",
          required: ["effect", "actions"],
          properties: {
            effect: { enum: ["allow", "deny"] },
            actions: {
              type: "array",
              items: { type: "string", enum: [...ACTION_NAMES] },
              description: ACTION_NAMES.map((name) => `${name}: ${words[name]}`).join("\n"),
            },
            on: { type: "object", properties: Object.fromEntries(RESOURCE_FIELDS.map((field) => [field, globs])) },
          },
        },
      },
    },
  };
}
