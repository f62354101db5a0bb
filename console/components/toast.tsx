/** Short messages about what an action did. */
import { CircleCheck, CircleX, X } from "lucide";
import { signal } from "@preact/signals";
import { commonText } from "../text/common.ts";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly tone: "good" | "bad";
  readonly detail: string | undefined;
}

/** Milliseconds that a toast stays; failures stay until they are closed. */
const STAY_MS = 5_000;
const SHOWN_MAX = 4;

const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

export function showToast(text: string, tone: "good" | "bad" = "good", detail?: string): void {
  const id = ++lastId;
  toasts.value = [...toasts.value, { id, text, tone, detail }].slice(-SHOWN_MAX);
  if (tone === "good") setTimeout(() => close(id), STAY_MS);
}

function close(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, tone, detail }) => (
        <div key={id} class="toast">
          <Icon of={tone === "good" ? CircleCheck : CircleX} class={tone} />
          <div>
            {text}
            {detail !== undefined && <div class="muted mono truncate">{detail}</div>}
          </div>
          <Button kind="quiet" isSmall icon={X} label={commonText().close} onClick={() => close(id)} />
        </div>
      ))}
    </div>
  );
}
