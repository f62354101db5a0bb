/** What can be done with an instance: take it out of rotation, put it back, change its weight, deregister it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import type { Instance } from "#registry/api";
import { Button } from "../../components/button.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/field.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { namespaceWords } from "./commands.ts";
import { servicesText } from "./text.ts";
import { WeightDialog } from "./weight.tsx";

const NEEDS = "registry:write";
const DRAIN_SECONDS = "30";
const DRAIN_SECONDS_MAX = 3_600;

type InstanceAction = "take-out" | "put-back" | "weight" | "deregister";

interface InstanceActionsProps {
  readonly instance: Instance;
  /** Healthy instances of the service. */
  readonly healthy: number;
  /** The weights of all other instances that receive requests. */
  readonly others: number;
  readonly onDone: () => Promise<void>;
}

export function InstanceActions({ instance, healthy, others, onDone }: InstanceActionsProps) {
  const text = servicesText();
  const open = useSignal<InstanceAction | undefined>(undefined);
  const close = () => (open.value = undefined);
  const shared = { instance, onClose: close, onDone };
  const isServing = instance.lifecycle === "serving" || instance.lifecycle === "starting";
  const isLast = instance.status === "passing" && healthy === 1 && isServing;
  const warning = isLast && <p class="notice">{text.lastInstance}</p>;
  return (
    <>
      {isServing ? (
        <Button needs={NEEDS} onClick={() => (open.value = "take-out")}>
          {text.takeOut}
        </Button>
      ) : (
        <Button needs={NEEDS} onClick={() => (open.value = "put-back")}>
          {text.putBack}
        </Button>
      )}
      <Button needs={NEEDS} onClick={() => (open.value = "weight")}>
        {text.changeWeight}
      </Button>
      <Button needs={NEEDS} kind="danger" onClick={() => (open.value = "deregister")}>
        {text.deregister}
      </Button>
      {open.value === "take-out" && <TakeOut {...shared}>{warning}</TakeOut>}
      {open.value === "put-back" && <PutBack {...shared} />}
      {open.value === "weight" && <WeightDialog {...shared} others={others} needs={NEEDS} />}
      {open.value === "deregister" && <Deregister {...shared}>{warning}</Deregister>}
    </>
  );
}

interface OneActionProps {
  readonly instance: Instance;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
  readonly children?: ComponentChildren;
}

function isSeconds(text: string): boolean {
  const value = Number(text);
  return Number.isInteger(value) && value >= 1 && value <= DRAIN_SECONDS_MAX;
}

function TakeOut({ instance, onClose, onDone, children }: OneActionProps) {
  const text = servicesText();
  const seconds = useSignal(DRAIN_SECONDS);
  const { namespace, service, id } = instance;
  return (
    <ActionDialog
      title={text.takeOutTitle(id)}
      confirm={text.takeOut}
      needs={NEEDS}
      isReady={isSeconds(seconds.value)}
      call={{
        method: "PUT",
        path: pathOf`/v1/services/${service}/instances/${id}/lifecycle?namespace=${namespace}`,
        body: { lifecycle: "draining", deadlineSeconds: Number(seconds.value) },
      }}
      cli={cliOf("services", "drain", service, id, "--seconds", seconds.value, ...namespaceWords(namespace))}
      done={text.takenOut}
      onDone={onDone}
      onClose={onClose}
    >
      <p>{text.takeOutText}</p>
      {children}
      <TextField
        label={text.drainSeconds}
        hint={text.drainHint}
        error={isSeconds(seconds.value) ? undefined : text.drainHint}
        type="number"
        value={seconds.value}
        onInput={(value) => (seconds.value = value)}
      />
    </ActionDialog>
  );
}

function PutBack({ instance: { namespace, service, id }, onClose, onDone }: OneActionProps) {
  const text = servicesText();
  return (
    <ActionDialog
      title={text.putBackTitle(id)}
      confirm={text.putBack}
      needs={NEEDS}
      call={{
        method: "PUT",
        path: pathOf`/v1/services/${service}/instances/${id}/lifecycle?namespace=${namespace}`,
        body: { lifecycle: "serving" },
      }}
      cli={cliOf("services", "drain", service, id, "--undo", ...namespaceWords(namespace))}
      done={text.puttingBack}
      onDone={onDone}
      onClose={onClose}
    >
      <p>{text.putBackText}</p>
    </ActionDialog>
  );
}

function Deregister({ instance: { namespace, service, id }, onClose, onDone, children }: OneActionProps) {
  const text = servicesText();
  const drain = useSignal<"0" | "30">("30");
  const path = pathOf`/v1/services/${service}/instances/${id}?namespace=${namespace}`;
  const isDrained = drain.value !== "0";
  return (
    <ActionDialog
      title={text.deregisterTitle(id)}
      confirm={text.deregister}
      isDangerous
      needs={NEEDS}
      call={{ method: "DELETE", path: isDrained ? path + pathOf`&drain=${drain.value}` : path }}
      cli={cliOf(
        "deregister",
        service,
        id,
        ...(isDrained ? ["--drain", drain.value] : []),
        ...namespaceWords(namespace),
      )}
      done={text.deregistered}
      onDone={onDone}
      onClose={onClose}
    >
      <p>{text.deregisterText}</p>
      {children}
      <SelectField
        label={text.deregisterHow}
        value={drain.value}
        options={[
          ["30", text.deregisterDrained],
          ["0", text.deregisterNow],
        ]}
        onChange={(value) => (drain.value = value)}
      />
    </ActionDialog>
  );
}
