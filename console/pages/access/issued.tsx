/** A token that was just issued. It leaves the page's memory when this dialog closes. */
import { KeyRound } from "lucide";
import type { IssuedToken } from "#access/api";
import { Button } from "../../components/button.tsx";
import { CommandBlock } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Icon } from "../../components/icon.tsx";
import { accessText } from "./text.ts";

interface IssuedDialogProps {
  readonly issued: IssuedToken;
  readonly onClose: () => void;
}

export function IssuedDialog({ issued: { name, token }, onClose }: IssuedDialogProps) {
  const text = accessText();
  return (
    <Dialog
      title={`${text.token}: ${name}`}
      width="38rem"
      onClose={onClose}
      footer={
        <Button kind="primary" onClick={onClose}>
          {text.copied}
        </Button>
      }
    >
      <p class="notice expiring">
        <Icon of={KeyRound} />
        <span>{text.shownOnce}</span>
      </p>
      <CommandBlock command={token} />
      <p class="muted">{text.useIt}</p>
      <CommandBlock command={`export POSTHOUSE_TOKEN=${token}`} />
    </Dialog>
  );
}
