/** The dialog that changes the weight of an instance, with the share of the requests that follows from it. */
import { useSignal } from "@preact/signals";
import type { Instance } from "#registry/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/field.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { formatRate } from "../../text/mod.ts";
import { receivesRequests, rowStatus, sharePercent } from "./core.ts";
import { servicesText } from "./text.ts";

const WEIGHT_MAX = 1_000;

interface WeightDialogProps {
  readonly instance: Instance;
  /** The weights of all other instances that receive requests. */
  readonly others: number;
  readonly needs: string;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function WeightDialog({ instance, others, needs, onClose, onDone }: WeightDialogProps) {
  const text = servicesText();
  const { namespace, service, id } = instance;
  const given = useSignal(String(instance.weight));
  const weight = weightIn(given.value);
  const isServing = receivesRequests({ status: rowStatus(instance) });
  const share = (of: number) => `${formatRate(sharePercent(of, others))}%`;
  return (
    <ActionDialog
      title={text.weightTitle(id)}
      confirm={text.changeWeight}
      needs={needs}
      isReady={weight !== undefined && weight !== instance.weight}
      call={{
        method: "PUT",
        path: pathOf`/v1/services/${service}/instances/${id}/weight?namespace=${namespace}`,
        body: { weight: weight ?? instance.weight },
      }}
      cli={cliOf("services", "weight", service, id, String(weight ?? instance.weight), ...namespaceWords(namespace))}
      done={text.weightChanged}
      onDone={onDone}
      onClose={onClose}
    >
      <p>{text.weightText}</p>
      <TextField
        label={text.weight}
        hint={text.weightHint}
        error={weight === undefined ? text.weightHint : undefined}
        type="number"
        value={given.value}
        hasFocus
        onInput={(value) => (given.value = value)}
      />
      <p role="status">
        {isServing ? text.weightShare(share(instance.weight), share(weight ?? instance.weight)) : text.weightIdle}
      </p>
      {isServing && weight === 0 && others === 0 && <p class="notice">{text.weightLast}</p>}
    </ActionDialog>
  );
}

function weightIn(text: string): number | undefined {
  const value = Number(text);
  return text.trim() !== "" && Number.isInteger(value) && value >= 0 && value <= WEIGHT_MAX ? value : undefined;
}
