/** Names a new set and its first key; the editor then writes the value. A set exists once it is released. */
import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import { linkTo } from "../../../data/location.ts";
import { commonText } from "../../../text/common.ts";
import { isKey, isName, isProfile, setPageOf } from "../core/names.ts";
import { configText } from "../text.ts";

interface NewSetDialogProps {
  readonly namespace: string;
  readonly onClose: () => void;
}

export function NewSetDialog({ namespace: first, onClose }: NewSetDialogProps) {
  const text = configText();
  const { route } = useLocation();
  const namespace = useSignal(first);
  const app = useSignal("");
  const profile = useSignal("default");
  const key = useSignal("app.yaml");
  const isReady = isName(namespace.value) && isName(app.value) && isProfile(profile.value) && isKey(key.value);
  const open = () => {
    onClose();
    const set = { namespace: namespace.value, app: app.value, profile: profile.value };
    route(linkTo(setPageOf(set), { edit: key.value }));
  };
  return (
    <Dialog
      title={text.newSet}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{commonText().cancel}</Button>
          <Button kind="primary" type="submit" form="new-set" isDisabled={!isReady}>
            {text.begin}
          </Button>
        </>
      }
    >
      <form
        id="new-set"
        class="config-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) open();
        }}
      >
        <p class="muted">{text.newSetLead}</p>
        <TextField
          label={commonText().namespace}
          value={namespace.value}
          isMono
          error={errorOf(namespace.value, isName, text.nameInvalid)}
          onInput={(value) => (namespace.value = value.trim())}
        />
        <TextField
          label={text.app}
          value={app.value}
          isMono
          placeholder="orders"
          error={errorOf(app.value, isName, text.nameInvalid)}
          onInput={(value) => (app.value = value.trim())}
        />
        <TextField
          label={text.profile}
          value={profile.value}
          isMono
          error={errorOf(profile.value, isProfile, text.profileInvalid)}
          onInput={(value) => (profile.value = value.trim())}
        />
        <TextField
          label={text.key}
          value={key.value}
          isMono
          hint={text.keyHint}
          error={errorOf(key.value, isKey, text.keyInvalid)}
          onInput={(value) => (key.value = value.trim())}
        />
      </form>
    </Dialog>
  );
}

function errorOf(value: string, isValid: (value: string) => boolean, words: string): string | undefined {
  return value === "" || isValid(value) ? undefined : words;
}
