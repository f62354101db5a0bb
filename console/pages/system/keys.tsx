/** The keys that encrypt secrets: which are here, what each one still encrypts, and values that cannot be read. */
import { CircleCheck, CircleX, KeyRound } from "lucide";
import { useSignal } from "@preact/signals";
import type { SecretsStatus } from "#config-server/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { linkTo } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatNumber } from "../../text/mod.ts";
import { upkeepText } from "./text-upkeep.ts";

const PATH = "/v1/config-secrets";

type SecretKey = SecretsStatus["keys"][number];

export function KeysView() {
  const status = useResource<SecretsStatus>(PATH, ["config"]);
  return (
    <Loaded of={status} rows={3}>
      {(data) => (
        <>
          <UnreadableCard of={data} />
          <KeysCard of={data} onDone={status.reload} />
        </>
      )}
    </Loaded>
  );
}

function UnreadableCard({ of: { unreadable, problem } }: { readonly of: SecretsStatus }) {
  const text = upkeepText();
  return (
    <>
      {problem !== undefined && (
        <p class="notice">
          {text.keysProblem} {problem}
        </p>
      )}
      {unreadable.length > 0 && (
        <Card isFlush title={`${text.unreadable} (${formatNumber(unreadable.length)})`}>
          <ul class="list">
            {unreadable.map(({ namespace, app, profile, key, message }) => (
              <li key={`${namespace}/${app}/${profile}/${key}`}>
                <div class="what">
                  <a class="mono" href={linkTo(`/config/${namespace}/${app}/${profile}`, { namespace })}>
                    {namespace}/{app}/{profile} {key}
                  </a>
                  <p class="muted">{message}</p>
                </div>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

interface KeysCardProps {
  readonly of: SecretsStatus;
  readonly onDone: () => Promise<void>;
}

function KeysCard({ of: { source, active, keys }, onDone }: KeysCardProps) {
  const text = upkeepText();
  const isRewrapping = useSignal(false);
  const hasOld = keys.some(({ id, values }) => id !== active && values > 0);
  if (source === "" && keys.length === 0) {
    return (
      <Card isFlush>
        <EmptyState icon={KeyRound} title={text.noKeySource} command="posthouse secret-key generate > secret-keys">
          {text.noKeySourceText}
        </EmptyState>
      </Card>
    );
  }
  return (
    <Card
      isFlush
      title={text.keys(keys.length)}
      actions={
        <span class="actions">
          <CopyAs call={{ path: PATH }} />
          <Button needs="config:keys" isDisabled={!hasOld} onClick={() => (isRewrapping.value = true)}>
            {text.rewrap}
          </Button>
        </span>
      }
    >
      <DataTable
        label={text.key}
        id="keys-"
        rows={keys}
        keyOf={({ id }) => id}
        columns={keyColumns(active)}
        empty={<p class="system-note">{text.firstKey}</p>}
      />
      <p class="system-note">
        {text.keySource}: <span class="mono">{source}</span>
      </p>
      {isRewrapping.value && (
        <ActionDialog
          title={text.rewrapTitle}
          confirm={text.rewrap}
          needs="config:keys"
          call={{ method: "POST", path: `${PATH}/rewrap` }}
          done={text.rewrapped}
          onClose={() => (isRewrapping.value = false)}
          onDone={onDone}
        >
          <p>{text.rewrapText}</p>
        </ActionDialog>
      )}
    </Card>
  );
}

function KeyState({
  of: { id, values, here },
  active,
}: {
  readonly of: SecretKey;
  readonly active: string | undefined;
}) {
  const text = upkeepText();
  if (!here) {
    return (
      <Badge tone={values > 0 ? "bad" : "idle"} icon={CircleX}>
        {text.missing}
      </Badge>
    );
  }
  if (id !== active) return values === 0 ? <span class="muted">{text.unused}</span> : <span>{text.here}</span>;
  return (
    <Badge tone="good" icon={CircleCheck}>
      {text.active}
    </Badge>
  );
}

function keyColumns(active: string | undefined): readonly TableColumn<SecretKey>[] {
  const text = upkeepText();
  return [
    {
      id: "id",
      title: text.key,
      width: "minmax(8rem, 2fr)",
      isName: true,
      cell: ({ id }) => (
        <span class="mono" title={id}>
          {id}
        </span>
      ),
      sort: ({ id }) => id,
    },
    {
      id: "state",
      title: text.state,
      width: "8rem",
      cell: (key) => <KeyState of={key} active={active} />,
      sort: ({ id, here }) => (id === active ? 0 : here ? 1 : 2),
    },
    {
      id: "values",
      title: text.values,
      width: "8rem",
      isRight: true,
      priority: 2,
      cell: ({ values }) => formatNumber(values),
      sort: ({ values }) => values,
    },
  ];
}
