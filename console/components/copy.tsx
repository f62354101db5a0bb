/** Copying text, and "copy as" menus that show the command line of an action. */
import { Check, Copy, Terminal } from "lucide";
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import type { ApiCall } from "../data/api.ts";
import { curlOf } from "../data/commands.ts";
import { commonText } from "../text/common.ts";
import { Button } from "./button.tsx";
import { Menu } from "./menu.tsx";
import { showToast } from "./toast.tsx";

const COPIED_MS = 1_500;

async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Beyond loopback without TLS, browsers offer only the older way.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function CopyButton({ text, label = commonText().copy }: { readonly text: string; readonly label?: string }) {
  const isCopied = useSignal(false);
  const copy = async () => {
    await copyText(text);
    isCopied.value = true;
    setTimeout(() => (isCopied.value = false), COPIED_MS);
  };
  return (
    <Button
      kind="quiet"
      isSmall
      icon={isCopied.value ? Check : Copy}
      label={isCopied.value ? commonText().copied : label}
      onClick={() => void copy()}
    />
  );
}

/** A command that can be pasted into a shell. */
export function CommandBlock({ command }: { readonly command: string }) {
  return (
    <div class="command">
      <code>{command}</code>
      <CopyButton text={command} />
    </div>
  );
}

/** The menu beside an action: the same action as a command line and as a curl command. */
export function CopyAs({ cli, call }: { readonly cli?: string | undefined; readonly call: ApiCall }) {
  const id = useId();
  const text = commonText();
  const copy = (command: string) => void copyText(command).then(() => showToast(text.copied, "good", command));
  return (
    <>
      <Button kind="quiet" icon={Terminal} label={text.copyAs} aria-haspopup="menu" popovertarget={id} />
      <Menu id={id}>
        {cli !== undefined && (
          <button type="button" onClick={() => copy(cli)}>
            {text.copyAs}: {text.asCli}
          </button>
        )}
        <button type="button" onClick={() => copy(curlOf(call))}>
          {text.copyAs}: {text.asCurl}
        </button>
      </Menu>
    </>
  );
}
