/** One policy beside the list: its rules as sentences or YAML, where it is used, and what can be done with it. */
import { useSignal } from "@preact/signals";
import type { PolicySummary } from "#access/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CodeEditor } from "../../components/code-editor.tsx";
import { ActionDialog, Dialog } from "../../components/dialog.tsx";
import { Segmented } from "../../components/field.tsx";
import { Facts } from "../../components/layout.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { formatAgo } from "../../data/time.ts";
import type { PolicyStart } from "./policy-edit.tsx";
import { PolicyWords } from "./policy-words.tsx";
import { policyYaml } from "./policy-yaml.ts";
import { viewsText } from "./text-views.ts";

/** Users that the panel names. */
const NAMED_MAX = 50;

interface PolicyPanelProps {
  /** Absent: it does not exist any more. */
  readonly of: PolicySummary | undefined;
  readonly onClose: () => void;
  readonly onEdit: (start: PolicyStart) => void;
  readonly onDone: () => Promise<void>;
}

export function PolicyPanel({ of, onClose, onEdit, onDone }: PolicyPanelProps) {
  const text = viewsText();
  const isDeleting = useSignal(false);
  if (!of) {
    return (
      <Dialog isSide title={text.policy} width="38rem" onClose={onClose}>
        <p class="muted">{text.gonePolicy}</p>
      </Dialog>
    );
  }
  const { name, builtIn, usedBy, revision } = of;
  const start = { name, text: policyYaml(of), revision, users: usedBy.length };
  return (
    <Dialog
      isSide
      title={name}
      width="38rem"
      onClose={onClose}
      footer={
        <>
          {!builtIn && (
            <Button
              kind="danger"
              needs="access:manage"
              isDisabled={usedBy.length > 0}
              onClick={() => (isDeleting.value = true)}
            >
              {text.deletePolicy}
            </Button>
          )}
          <Button needs="access:manage" onClick={() => onEdit({ ...start, name: "", revision: undefined, users: 0 })}>
            {text.copyPolicy}
          </Button>
          {!builtIn && (
            <Button kind="primary" needs="access:manage" onClick={() => onEdit(start)}>
              {text.editPolicy}
            </Button>
          )}
        </>
      }
    >
      <PolicyBody of={of} yaml={start.text} />
      {isDeleting.value && (
        <ActionDialog
          title={text.deleteTitle(name)}
          confirm={text.deletePolicy}
          isDangerous
          needs="access:manage"
          call={{
            method: "DELETE",
            path: pathOf`/v1/policies/${name}`,
            headers: revision === undefined ? {} : { "if-match": `"${revision}"` },
          }}
          cli={cliOf("policy", "rm", name)}
          done={text.deleted}
          onClose={() => (isDeleting.value = false)}
          onDone={async () => {
            onClose();
            await onDone();
          }}
        >
          <p>{text.deleteText}</p>
        </ActionDialog>
      )}
    </Dialog>
  );
}

function PolicyBody({ of, yaml }: { readonly of: PolicySummary; readonly yaml: string }) {
  const text = viewsText();
  const { builtIn, description, rules, usedBy, changedAt, changedBy } = of;
  const form = useSignal<"words" | "yaml">("words");
  return (
    <>
      <div class="actions">
        <Badge tone={builtIn ? "idle" : "accent"}>{builtIn ? text.builtIn : text.ownPolicy}</Badge>
      </div>
      {description !== undefined && <p>{description}</p>}
      <Segmented
        label={text.rules}
        value={form.value}
        options={[
          ["words", text.asSentences],
          ["yaml", text.asYaml],
        ]}
        onChange={(next) => (form.value = next)}
      />
      {form.value === "words" ? (
        <PolicyWords rules={rules} />
      ) : (
        <CodeEditor label={text.asYaml} value={yaml} format="yaml" />
      )}
      <Facts
        of={[
          [
            text.usedBy,
            usedBy.length === 0 ? (
              <span class="muted">{text.nobody}</span>
            ) : (
              <ul class="policy-users">
                {usedBy.slice(0, NAMED_MAX).map((user) => (
                  <li key={user}>{user}</li>
                ))}
                {usedBy.length > NAMED_MAX && <li>+{usedBy.length - NAMED_MAX}</li>}
              </ul>
            ),
          ],
          ...(changedBy === undefined || changedAt === undefined
            ? []
            : [[text.changedBy, `${changedBy} (${formatAgo(changedAt)})`] as const]),
        ]}
      />
    </>
  );
}
