/** Issuing a token: holder, policy with its meaning, limits, lifetime. */
import { useSignal } from "@preact/signals";
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
  limitsOf,
  readsOwnApps,
  requestOf,
  type TokenDraft,
} from "./core.ts";
import { LimitField } from "./limit-field.tsx";
import { PolicyChoice } from "./policy-choice.tsx";
import { accessText } from "./text.ts";

interface IssueDialogProps {
  readonly onClose: () => void;
  readonly onIssued: (token: IssuedToken) => void;
}

/** The policy with the fewest rights, and an end: who needs more asks for it. */
const FIRST: TokenDraft = {
  name: "",
  policies: ["viewer"],
  lifetime: "month",
  limits: { namespaces: "", apps: "", services: "" },
};

export function IssueDialog({ onClose, onIssued }: IssueDialogProps) {
  const text = accessText();
  const draft = useSignal(FIRST);
  const change = (part: Partial<TokenDraft>) => (draft.value = { ...draft.value, ...part });
  const { name, policies, lifetime, limits } = draft.value;
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
      <PolicyChoice chosen={policies} onChange={(next) => change({ policies: next })} />
      {limitsOf(policies).map((kind) => (
        <LimitField
          key={kind}
          label={text[kind]}
          hint={kind === "apps" && readsOwnApps(policies) ? text.limitHintAgentApps : text.limitHint}
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
