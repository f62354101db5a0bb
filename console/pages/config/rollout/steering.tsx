/** Pauses, resumes, promotes, completes or aborts a rollout. */
import { ChevronsRight, Pause, Play, SkipForward, Undo2 } from "lucide";
import { useSignal } from "@preact/signals";
import type { RolloutAction, RolloutView } from "#config-server/api";
import { Button } from "../../../components/button.tsx";
import { ActionDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import type { IconNode } from "../../../components/icon.tsx";
import { cliOf } from "../../../data/commands.ts";
import { commonText } from "../../../text/common.ts";
import { rolloutText } from "../rollout-text.ts";
import type { ConfigSet } from "../use-set.ts";

interface SteeringProps {
  readonly set: ConfigSet;
  readonly rollout: RolloutView;
  readonly onDone: () => Promise<void>;
}

const ICONS: Readonly<Record<RolloutAction, IconNode>> = {
  abort: Undo2,
  pause: Pause,
  resume: Play,
  promote: ChevronsRight,
  complete: SkipForward,
};

export function RolloutSteering({ set, rollout, onDone }: SteeringProps) {
  const text = rolloutText();
  const action = useSignal<RolloutAction | undefined>(undefined);
  const isLast = rollout.stage >= rollout.stages.length - 1;
  const offered: readonly RolloutAction[] = [
    "abort",
    rollout.state === "paused" ? "resume" : "pause",
    ...(isLast ? [] : (["promote"] as const)),
    "complete",
  ];
  return (
    <>
      {offered.map((one) => (
        <Button
          key={one}
          icon={ICONS[one]}
          kind={one === "abort" ? "danger" : "normal"}
          needs="config:publish"
          aria-haspopup="dialog"
          onClick={() => (action.value = one)}
        >
          {text[one]}
        </Button>
      ))}
      {action.value && (
        <SteeringDialog
          key={action.value}
          set={set}
          action={action.value}
          onClose={() => (action.value = undefined)}
          onDone={onDone}
        />
      )}
    </>
  );
}

interface SteeringDialogProps {
  readonly set: ConfigSet;
  readonly action: RolloutAction;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

function SteeringDialog({ set, action, onClose, onDone }: SteeringDialogProps) {
  const text = rolloutText();
  const reason = useSignal("");
  return (
    <ActionDialog
      title={text[`title_${action}`]}
      confirm={text[action]}
      isDangerous={action === "abort"}
      needs="config:publish"
      call={{ method: "POST", path: `${set.path}/rollout/${action}`, body: { reason: reason.value } }}
      cli={cliOf("config", "rollout", action, set.id, ...(reason.value === "" ? [] : ["--reason", reason.value]))}
      done={text[`done_${action}`]}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text[`text_${action}`]}</p>
      <TextField
        label={commonText().reason}
        hint={commonText().reasonHint}
        value={reason.value}
        onInput={(value) => (reason.value = value)}
      />
    </ActionDialog>
  );
}
