/** Issuing a token: holder, role with its meaning, limits, lifetime. */
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import type { IssuedToken } from "#access/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/field.tsx";
import { cliOf } from "../../data/commands.ts";
import { commonText } from "../../text/common.ts";
import {
  createWords,
  isReady,
  isTokenName,
  type Lifetime,
  LIFETIMES,
  type LimitKind,
  limitsOf,
  requestOf,
  ROLES,
  type TokenDraft,
  type TokenRole,
  wrongName,
} from "./core.ts";
import { accessText } from "./text.ts";

interface IssueDialogProps {
  readonly onClose: () => void;
  readonly onIssued: (token: IssuedToken) => void;
}

/** The least role, and an end: who needs more asks for it. */
const FIRST: TokenDraft = {
  name: "",
  role: "reader",
  lifetime: "month",
  limits: { namespaces: "", apps: "", services: "" },
};

export function IssueDialog({ onClose, onIssued }: IssueDialogProps) {
  const text = accessText();
  const draft = useSignal(FIRST);
  const change = (part: Partial<TokenDraft>) => (draft.value = { ...draft.value, ...part });
  const { name, role, lifetime, limits } = draft.value;
  const request = requestOf(draft.value);
  return (
    <ActionDialog
      title={text.issueTitle}
      confirm={text.issueConfirm}
      needs="access:manage"
      isReady={isReady(draft.value)}
      call={{ method: "POST", path: "/v1/tokens", body: request }}
      cli={cliOf(...createWords(request))}
      done={text.issued}
      width="38rem"
      onClose={onClose}
      onDone={(data) => onIssued(data as IssuedToken)}
    >
      <TextField
        label={commonText().name}
        hint={text.nameHint}
        error={name === "" || isTokenName(name.trim()) ? undefined : text.nameWrong}
        isRequired
        hasFocus
        value={name}
        onInput={(value) => change({ name: value })}
      />
      <RoleChoice value={role} onChange={(value) => change({ role: value })} />
      {limitsOf(role).map((kind) => (
        <LimitField
          key={kind}
          kind={kind}
          role={role}
          value={limits[kind]}
          onInput={(value) => change({ limits: { ...limits, [kind]: value } })}
        />
      ))}
      <SelectField
        label={text.lifetime}
        value={lifetime}
        options={(Object.keys(LIFETIMES) as Lifetime[]).map((one) => [one, text[`lifetime_${one}`]] as const)}
        onChange={(value) => change({ lifetime: value })}
      />
    </ActionDialog>
  );
}

interface RoleChoiceProps {
  readonly value: TokenRole;
  readonly onChange: (role: TokenRole) => void;
}

function RoleChoice({ value, onChange }: RoleChoiceProps) {
  const text = accessText();
  const id = useId();
  return (
    <fieldset class="roles">
      <legend class="field-label">{text.role}</legend>
      {ROLES.map((role) => (
        <label key={role} class="role">
          <input type="radio" name={id} checked={role === value} onChange={() => onChange(role)} />
          <b>{role}</b>
          <span class="muted">{text[`role_${role}`]}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface LimitFieldProps {
  readonly kind: LimitKind;
  readonly role: TokenRole;
  readonly value: string;
  readonly onInput: (value: string) => void;
}

function LimitField({ kind, role, value, onInput }: LimitFieldProps) {
  const text = accessText();
  const wrong = wrongName(value);
  return (
    <TextField
      label={text[kind]}
      isMono
      value={value}
      hint={role === "agent" && kind === "apps" ? text.limitHintAgentApps : text.limitHint}
      error={wrong === undefined ? undefined : text.limitWrong(wrong)}
      onInput={onInput}
    />
  );
}
