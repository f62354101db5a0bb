/** Starting a rotation: of the intermediate, which nobody notices, or of the root, which takes two phases. */
import { useSignal } from "@preact/signals";
import type { RotationRequest } from "#identity/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { Segmented, SelectField } from "../../components/field.tsx";
import { cliOf } from "../../data/commands.ts";
import { certificatesText } from "./text.ts";

const DAY_SECONDS = 86_400;
/** Seconds of a phase; `default`: as the server chooses. */
const OVERLAPS = { default: undefined, month: 30 * DAY_SECONDS, day: DAY_SECONDS, hour: 3_600 } as const;
type Overlap = keyof typeof OVERLAPS;

interface RotateDialogProps {
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function RotateDialog({ onClose, onDone }: RotateDialogProps) {
  const text = certificatesText();
  const part = useSignal<RotationRequest["part"]>("intermediate");
  const overlap = useSignal<Overlap>("default");
  const which = part.value;
  const isRoot = which === "root";
  const seconds = isRoot ? OVERLAPS[overlap.value] : undefined;
  return (
    <ActionDialog
      title={text.rotateTitle}
      confirm={text.rotateConfirm}
      needs="identity:manage"
      call={{
        method: "POST",
        path: "/v1/authority/rotations",
        body: { part: which, ...(seconds === undefined ? {} : { overlapSeconds: seconds }) },
      }}
      cli={cliOf(
        "authority",
        "rotate",
        "--part",
        which,
        ...(seconds === undefined ? [] : ["--overlap-seconds", String(seconds)]),
      )}
      done={text.rotateDone}
      onClose={onClose}
      onDone={onDone}
    >
      <Segmented
        label={text.part}
        value={which}
        options={[
          ["intermediate", text.part_intermediate],
          ["root", text.part_root],
        ]}
        onChange={(next) => (part.value = next)}
      />
      <p>{isRoot ? text.rotateRoot : text.rotateIntermediate}</p>
      {isRoot && (
        <SelectField
          label={text.overlap}
          hint={text.overlapHint}
          value={overlap.value}
          options={(Object.keys(OVERLAPS) as Overlap[]).map((one) => [one, text[`overlap_${one}`]] as const)}
          onChange={(next) => (overlap.value = next)}
        />
      )}
    </ActionDialog>
  );
}
