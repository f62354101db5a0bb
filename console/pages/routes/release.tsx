/** Releasing an edited gateway.yaml after a look at the differences, or saving it as a draft for a review. */
import { useSignal } from "@preact/signals";
import type { AcknowledgementList } from "#config-server/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { DiffView } from "../../components/diff-view.tsx";
import { Segmented, TextField } from "../../components/field.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { commonText } from "../../text/common.ts";
import { GATEWAY_KEY, gatewayPath } from "./data.ts";
import { type GatewaySource, routeDraft } from "./source.ts";
import { editText } from "./text-edit.ts";

/** Shares of the gateways in percent that the stages before the last one reach. */
const STAGES = { all: [], ten: [10], fifty: [10, 50] } as const;
type Way = keyof typeof STAGES;

interface ReleaseDialogProps {
  readonly source: GatewaySource;
  readonly text: string;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function ReleaseDialog({ source, text: value, onClose, onDone }: ReleaseDialogProps) {
  const text = editText();
  const [namespace] = useNamespace();
  const reason = useSignal("");
  const way = useSignal<Way>("all");
  const path = gatewayPath(namespace);
  const { data } = useResource<AcknowledgementList>(`${path}/acknowledgements`);
  const stages = STAGES[way.value];
  const why = reason.value.trim();
  return (
    <ActionDialog
      title={text.releaseTitle}
      confirm={text.releaseConfirm}
      needs="config:publish"
      width="72rem"
      call={{
        method: "POST",
        path: `${path}/releases`,
        body: {
          items: { ...source.items, [GATEWAY_KEY]: { ...source.items[GATEWAY_KEY], format: "yaml", value } },
          expectedVersion: source.version,
          ...(why === "" ? {} : { reason: why }),
          ...(stages.length === 0 ? {} : { rollout: { stages: stages.map((percent) => ({ percent })) } }),
        },
      }}
      cli={releaseCommand({ namespace, version: source.version, why, stages })}
      done={text.releaseDone}
      onClose={onClose}
      onDone={async () => {
        routeDraft.value = undefined;
        await onDone();
      }}
    >
      <p class="muted">{text.releaseText((data?.subscribers.length ?? 0) + (data?.silent.length ?? 0))}</p>
      <DiffView
        before={source.text}
        after={value}
        format="yaml"
        labels={[text.released(String(source.version)), text.yours]}
      />
      <div class="route-release">
        <TextField
          label={commonText().reason}
          hint={commonText().reasonHint}
          value={reason.value}
          onInput={(next) => (reason.value = next)}
        />
        <div class="field">
          <span class="field-label">{text.how}</span>
          <Segmented<Way>
            label={text.how}
            value={way.value}
            options={[
              ["all", text.atOnce],
              ["ten", text.tenFirst],
              ["fifty", text.tenFifty],
            ]}
            onChange={(next) => (way.value = next)}
          />
          <span class="hint">{way.value === "all" ? "" : text.howHint}</span>
        </div>
      </div>
    </ActionDialog>
  );
}

interface ReleaseWords {
  readonly namespace: string;
  readonly version: number;
  readonly why: string;
  readonly stages: readonly number[];
}

function releaseCommand({ namespace, version, why, stages }: ReleaseWords): string {
  const verb = stages.length === 0 ? ["put"] : ["rollout", "start"];
  return cliOf(
    "config",
    ...verb,
    "gateway",
    GATEWAY_KEY,
    GATEWAY_KEY,
    "--cas",
    String(version),
    ...(stages.length === 0 ? [] : ["--percent", stages.join(",")]),
    ...(why === "" ? [] : ["--reason", why]),
    ...namespaceWords(namespace),
  );
}

interface SaveDraftDialogProps {
  readonly text: string;
  readonly onClose: () => void;
}

export function SaveDraftDialog({ text: value, onClose }: SaveDraftDialogProps) {
  const text = editText();
  const [namespace] = useNamespace();
  return (
    <ActionDialog
      title={text.draftTitle}
      confirm={text.draftConfirm}
      needs="config:draft"
      call={{
        method: "PUT",
        path: `${gatewayPath(namespace)}/drafts/${GATEWAY_KEY}`,
        body: { format: "yaml", value },
      }}
      cli={cliOf("config", "drafts", "set", "gateway", GATEWAY_KEY, GATEWAY_KEY, ...namespaceWords(namespace))}
      done={text.draftDone}
      onClose={onClose}
    >
      <p>{text.draftText}</p>
    </ActionDialog>
  );
}
