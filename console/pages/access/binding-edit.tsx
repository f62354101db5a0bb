/** Binding a group or a user to policies, with limits. */
import { useSignal } from "@preact/signals";
import type { Binding, BindingBody } from "#access/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { Segmented, TextField } from "../../components/field.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { givenLimits, LIMIT_KINDS, limitsOf, limitWords, wrongName } from "./core.ts";
import { LimitField } from "./limit-field.tsx";
import { PolicyChoice } from "./policy-choice.tsx";
import { accessText } from "./text.ts";
import { viewsText } from "./text-views.ts";

interface BindingDialogProps {
  /** Absent: a new one. */
  readonly of: Binding | undefined;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function BindingDialog({ of, onClose, onDone }: BindingDialogProps) {
  const text = viewsText();
  const limitText = accessText();
  const kind = useSignal<"group" | "user">("group");
  const name = useSignal("");
  const policies = useSignal<readonly string[]>(of?.policies ?? ["viewer"]);
  const limits = useSignal(
    Object.fromEntries(LIMIT_KINDS.map((one) => [one, (of?.[one] ?? []).join(", ")])) as Record<
      (typeof LIMIT_KINDS)[number],
      string
    >,
  );
  const subject = of?.subject ?? `${kind.value}:${name.value.trim()}`;
  const kinds = limitsOf(policies.value);
  const body: BindingBody = { policies: [...policies.value], ...givenLimits(kinds, limits.value) };
  return (
    <ActionDialog
      title={of ? text.editBinding(of.subject) : text.bindTitle}
      confirm={text.bindSave}
      needs="access:manage"
      width="38rem"
      isReady={
        subject.length > kind.value.length + 1 &&
        policies.value.length > 0 &&
        kinds.every((one) => wrongName(limits.value[one]) === undefined)
      }
      call={{
        method: "PUT",
        path: pathOf`/v1/bindings/${subject}`,
        body,
        headers: of ? { "if-match": `"${of.revision}"` } : { "if-none-match": "*" },
      }}
      cli={cliOf("binding", "set", subject, "--policy", ...policies.value, ...limitWords(body))}
      done={text.bound}
      onClose={onClose}
      onDone={onDone}
    >
      {!of && (
        <>
          <Segmented
            label={text.subject}
            value={kind.value}
            options={[
              ["group", text.group],
              ["user", text.user],
            ]}
            onChange={(next) => (kind.value = next)}
          />
          <TextField
            label={kind.value === "group" ? text.group : text.user}
            hint={text.subjectHint}
            isRequired
            hasFocus
            value={name.value}
            onInput={(next) => (name.value = next)}
          />
        </>
      )}
      <PolicyChoice chosen={policies.value} onChange={(next) => (policies.value = next)} />
      {kinds.map((one) => (
        <LimitField
          key={one}
          label={limitText[one]}
          hint={limitText.limitHint}
          value={limits.value[one]}
          onInput={(next) => (limits.value = { ...limits.value, [one]: next })}
        />
      ))}
    </ActionDialog>
  );
}
