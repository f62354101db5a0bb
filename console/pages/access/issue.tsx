/** Issuing a token: holder, policy with its meaning, limits, lifetime. */
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
  type TokenDraft,
  TOKEN_POLICIES,
  type TokenPolicy,
  wrongName,
} from "./core.ts";
import { accessText } from "./text.ts";

interface IssueDialogProps {
  readonly onClose: () => void;
  readonly onIssued: (token: IssuedToken) => void;
}

/** The policy with the fewest rights, and an end: who needs more asks for it. */
const FIRST: TokenDraft = {
  name: "",
  policy: "viewer",
  lifetime: "month",
  limits: { namespaces: "", apps: "", services: "" },
};

export function IssueDialog({ onClose, onIssued }: IssueDialogProps) {
  const text = accessText();
  const draft = useSignal(FIRST);
  const change = (part: Partial<TokenDraft>) => (draft.value = { ...draft.value, ...part });
  const { name, policy, lifetime, limits } = draft.value;
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
      <PolicyChoice value={policy} onChange={(value) => change({ policy: value })} />
      {limitsOf(policy).map((kind) => (
        <LimitField
          key={kind}
          kind={kind}
          policy={policy}
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

interface PolicyChoiceProps {
  readonly value: TokenPolicy;
  readonly onChange: (policy: TokenPolicy) => void;
}

function PolicyChoice({ value, onChange }: PolicyChoiceProps) {
  const text = accessText();
  const id = useId();
  return (
    <fieldset class="roles">
      <legend class="field-label">{text.policy}</legend>
      {TOKEN_POLICIES.map((policy) => (
        <label key={policy} class="role">
          <input type="radio" name={id} checked={policy === value} onChange={() => onChange(policy)} />
          <b>{policy}</b>
          <span class="muted">{text[`policy_${policy}`]}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface LimitFieldProps {
  readonly kind: LimitKind;
  readonly policy: TokenPolicy;
  readonly value: string;
  readonly onInput: (value: string) => void;
}

function LimitField({ kind, policy, value, onInput }: LimitFieldProps) {
  const text = accessText();
  const wrong = wrongName(value);
  return (
    <TextField
      label={text[kind]}
      isMono
      value={value}
      hint={(policy === "agent" || policy === "service") && kind === "apps" ? text.limitHintAgentApps : text.limitHint}
      error={wrong === undefined ? undefined : text.limitWrong(wrong)}
      onInput={onInput}
    />
  );
}
