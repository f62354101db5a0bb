/** Names a new key; the editor then writes its value. */
import { useSignal } from "@preact/signals";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import { commonText } from "../../../text/common.ts";
import { isKey } from "../core/names.ts";
import { setText } from "../set-text.ts";
import { configText } from "../text.ts";

interface NewKeyDialogProps {
  readonly onClose: () => void;
  readonly onNamed: (key: string) => void;
}

export function NewKeyDialog({ onClose, onNamed }: NewKeyDialogProps) {
  const text = setText();
  const key = useSignal("");
  return (
    <Dialog
      title={text.newKey}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{commonText().cancel}</Button>
          <Button kind="primary" type="submit" form="new-key" isDisabled={!isKey(key.value)}>
            {commonText().create}
          </Button>
        </>
      }
    >
      <form
        id="new-key"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isKey(key.value)) return;
          onClose();
          onNamed(key.value);
        }}
      >
        <TextField
          label={text.key}
          isMono
          placeholder="app.yaml"
          value={key.value}
          hint={configText().keyHint}
          error={key.value === "" || isKey(key.value) ? undefined : configText().keyInvalid}
          onInput={(value) => (key.value = value.trim())}
        />
      </form>
    </Dialog>
  );
}
