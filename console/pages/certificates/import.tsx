/** Importing an outside authority. The texts leave the page's memory when the dialog closes. */
import { useSignal } from "@preact/signals";
import { ActionDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/field.tsx";
import { cliOf } from "../../data/commands.ts";
import { looksImportable } from "./core.ts";
import { certificatesText } from "./text.ts";

interface ImportDialogProps {
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

/** Lines of a field: a chain of two certificates begins and ends in it. */
const LINES = 8;

export function ImportDialog({ onClose, onDone }: ImportDialogProps) {
  const text = certificatesText();
  const body = useSignal({ certificate: "", key: "" });
  const { certificate, key } = body.value;
  return (
    <ActionDialog
      title={text.importTitle}
      confirm={text.importConfirm}
      needs="identity:manage"
      width="44rem"
      isReady={looksImportable(body.value)}
      call={{ method: "PUT", path: "/v1/authority", body: body.value }}
      cli={cliOf("authority", "import", "--certificate", "ca.pem", "--key", "ca-key.pem")}
      done={text.importDone}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text.importText}</p>
      <TextField
        label={text.importCertificate}
        isMono
        lines={LINES}
        placeholder="-----BEGIN CERTIFICATE-----"
        value={certificate}
        onInput={(next) => (body.value = { ...body.value, certificate: next })}
      />
      <TextField
        label={text.importKey}
        hint={text.importCommandHint}
        isMono
        lines={LINES}
        placeholder="-----BEGIN PRIVATE KEY-----"
        value={key}
        onInput={(next) => (body.value = { ...body.value, key: next })}
      />
    </ActionDialog>
  );
}
