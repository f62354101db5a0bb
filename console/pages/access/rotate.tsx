/** Replacing the secret of a token, with an overlap in which both are valid. */
import { useSignal } from "@preact/signals";
import type { IssuedToken, TokenSummary } from "#access/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { SelectField } from "../../components/field.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { accessText } from "./text.ts";

/** Seconds that the previous secret stays valid, as the dialog offers them. */
const OVERLAPS = [0, 3_600, 86_400, 604_800] as const;

interface RotateDialogProps {
  readonly token: TokenSummary;
  readonly onClose: () => void;
  readonly onDone: (token: IssuedToken) => void;
}

export function RotateDialog({ token: { id, name }, onClose, onDone }: RotateDialogProps) {
  const text = accessText();
  const overlap = useSignal<(typeof OVERLAPS)[number]>(3_600);
  return (
    <ActionDialog
      title={text.rotateTitle(name)}
      confirm={text.rotateConfirm}
      needs="access:manage"
      call={{
        method: "POST",
        path: pathOf`/v1/tokens/${id}/rotations`,
        body: { overlapSeconds: overlap.value },
      }}
      cli={cliOf("token", "rotate", id, "--overlap-seconds", String(overlap.value))}
      done={text.rotated}
      onClose={onClose}
      onDone={(data) => onDone(data as IssuedToken)}
    >
      <p>{text.rotateText}</p>
      <SelectField
        label={text.overlap}
        value={String(overlap.value)}
        options={OVERLAPS.map((one) => [String(one), text[`overlap_${one}`]] as const)}
        onChange={(next) => (overlap.value = OVERLAPS.find((one) => String(one) === next) ?? 3_600)}
      />
    </ActionDialog>
  );
}
