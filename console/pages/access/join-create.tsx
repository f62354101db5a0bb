/** Creating a join token, and the complete command that the machine runs with it. */
import { KeyRound } from "lucide";
import { useSignal } from "@preact/signals";
import type { IssuedJoinToken } from "#identity/api";
import { Button } from "../../components/button.tsx";
import { CommandBlock } from "../../components/copy.tsx";
import { ActionDialog, Dialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/field.tsx";
import { Icon } from "../../components/icon.tsx";
import { LIMIT_KINDS, wrongName } from "./core.ts";
import { isNodeName, joinCommand, type JoinDraft, joinRequest, joinWords } from "./join-core.ts";
import { LimitField } from "./limit-field.tsx";
import { viewsText } from "./text-views.ts";

interface JoinDialogProps {
  readonly onClose: () => void;
  readonly onIssued: (token: IssuedJoinToken) => void;
}

/** Seconds that a join token is valid, as the dialog offers them. */
const LIFETIMES = [1_800, 3_600, 86_400] as const;

const FIRST: JoinDraft = {
  name: "",
  limits: { namespaces: "", apps: "", services: "" },
  ttlSeconds: LIFETIMES[0],
};

export function JoinDialog({ onClose, onIssued }: JoinDialogProps) {
  const text = viewsText();
  const draft = useSignal(FIRST);
  const change = (part: Partial<JoinDraft>) => (draft.value = { ...draft.value, ...part });
  const { name, limits, ttlSeconds } = draft.value;
  const request = joinRequest(draft.value);
  const isNamed = name.trim() === "" || isNodeName(name.trim());
  const hints = { namespaces: text.joinNamespacesHint, apps: text.joinAppsHint, services: text.joinServicesHint };
  return (
    <ActionDialog
      title={text.joinTitle}
      confirm={text.joinConfirm}
      needs="identity:manage"
      width="38rem"
      isReady={isNamed && LIMIT_KINDS.every((one) => wrongName(limits[one]) === undefined)}
      call={{ method: "POST", path: "/v1/join-tokens", body: request }}
      cli={joinWords(request)}
      done={text.joinDone}
      onClose={onClose}
      onDone={(data) => onIssued(data as IssuedJoinToken)}
    >
      <p class="muted">{text.joinText}</p>
      <TextField
        label={text.machine}
        hint={text.machineHint}
        error={isNamed ? undefined : text.machineWrong}
        isMono
        hasFocus
        placeholder="web-1"
        value={name}
        onInput={(next) => change({ name: next })}
      />
      {LIMIT_KINDS.map((one) => (
        <LimitField
          key={one}
          label={text[one]}
          hint={hints[one]}
          value={limits[one]}
          onInput={(next) => change({ limits: { ...limits, [one]: next } })}
        />
      ))}
      <SelectField
        label={text.lifetime}
        value={String(ttlSeconds)}
        options={LIFETIMES.map((one) => [String(one), text[`ttl_${one}`]] as const)}
        onChange={(next) => change({ ttlSeconds: Number(next) })}
      />
    </ActionDialog>
  );
}

interface JoinCommandDialogProps {
  readonly issued: IssuedJoinToken;
  readonly onClose: () => void;
}

/** The token leaves the page's memory when this dialog closes. */
export function JoinCommandDialog({ issued: { token, name }, onClose }: JoinCommandDialogProps) {
  const text = viewsText();
  return (
    <Dialog
      title={text.joinDone}
      width="42rem"
      onClose={onClose}
      footer={
        <Button kind="primary" onClick={onClose}>
          {text.done}
        </Button>
      }
    >
      <p class="notice expiring">
        <Icon of={KeyRound} />
        <span>{text.joinOnce}</span>
      </p>
      {location.protocol === "http:" && <p class="notice">{text.joinPlain}</p>}
      <CommandBlock command={joinCommand({ origin: location.origin, token, name })} />
      <p class="muted">{text.joinThen}</p>
      <CommandBlock command="posthouse up --roles agent" />
    </Dialog>
  );
}
