/** Who runs which release: applied, failed, behind, or not acknowledged, with the delay of each. */
import { CircleAlert, CircleCheck, CircleDashed, CircleX, History, Users } from "lucide";
import { useSignal } from "@preact/signals";
import type { AcknowledgementList } from "#config-server/api";
import { Badge, type Tone } from "../../../components/badge.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { SearchField } from "../../../components/field.tsx";
import type { IconNode } from "../../../components/icon.tsx";
import { Card, Stat } from "../../../components/layout.tsx";
import { EmptyState, Loaded } from "../../../components/states.tsx";
import { DataTable, type TableColumn } from "../../../components/table.tsx";
import { cliOf } from "../../../data/commands.ts";
import { useResource } from "../../../data/resource.ts";
import { formatAgo, formatDuration, formatTime } from "../../../data/time.ts";
import { formatNumber } from "../../../text/mod.ts";
import { commonText } from "../../../text/common.ts";
import { type SubscriberRow, type SubscriberState, subscriberRows } from "../core/subscribers.ts";
import { historyText } from "../history-text.ts";
import type { ConfigSet } from "../use-set.ts";

const STATES: Readonly<Record<SubscriberState, readonly [Tone, IconNode]>> = {
  failed: ["bad", CircleX],
  silent: ["warn", CircleAlert],
  behind: ["moving", History],
  applied: ["good", CircleCheck],
  gone: ["idle", CircleDashed],
};

export default function SubscribersView({ set }: { readonly set: ConfigSet }) {
  const text = historyText();
  const filter = useSignal("");
  const path = `${set.path}/acknowledgements`;
  const list = useResource<AcknowledgementList>(path, ["rollouts", "config"]);
  return (
    <Loaded of={list}>
      {(data) => {
        const rows = subscriberRows(data, set.id);
        if (rows.length === 0) return <NoSubscribers set={set} />;
        const shown = rows.filter(({ id, labels, error }) =>
          `${id} ${labelText(labels)} ${error}`.toLowerCase().includes(filter.value.toLowerCase()),
        );
        return (
          <>
            <div class="stats">
              <Stat label={text.applied} value={formatNumber(data.applied)} />
              <Stat label={text.failed} value={formatNumber(data.failed)} />
              <Stat label={text.behind} value={formatNumber(data.behind)} />
              <Stat label={text.silent} value={formatNumber(data.silent.length)} />
            </div>
            <Card
              isFlush
              title={
                <>
                  {text.subscribers} <span class="count">{rows.length}</span>
                </>
              }
              actions={
                <>
                  <SearchField value={filter.value} onInput={(value) => (filter.value = value)} />
                  <CopyAs cli={cliOf("config", "status", set.id)} call={{ path }} />
                </>
              }
            >
              <DataTable
                label={text.subscribers}
                rows={shown}
                keyOf={({ id }) => id}
                initialSort="state"
                empty={<p class="config-none muted">{commonText().nothingMatches}</p>}
                columns={columns()}
              />
            </Card>
          </>
        );
      }}
    </Loaded>
  );
}

const ORDER: readonly SubscriberState[] = ["failed", "silent", "behind", "applied", "gone"];

function columns(): readonly TableColumn<SubscriberRow>[] {
  const text = historyText();
  return [
    {
      id: "id",
      title: text.subscriber,
      width: "minmax(7rem, 1.5fr)",
      isName: true,
      cell: ({ id }) => <span title={id}>{id}</span>,
      sort: ({ id }) => id,
    },
    {
      id: "state",
      title: text.state,
      width: "9rem",
      cell: ({ state }) => <SubscriberBadge state={state} />,
      sort: ({ state }) => ORDER.indexOf(state),
    },
    {
      id: "version",
      title: text.runs,
      width: "5rem",
      isRight: true,
      cell: ({ version }) => version ?? "–",
      sort: ({ version = 0 }) => version,
    },
    {
      id: "lag",
      title: text.lag,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: ({ lateMs }) => (lateMs === undefined ? "–" : formatDuration(lateMs)),
      sort: ({ lateMs = -1 }) => lateMs,
    },
    {
      id: "error",
      title: `${text.labels} / ${text.error}`,
      width: "minmax(6rem, 2fr)",
      priority: 2,
      cell: ({ labels, error }) =>
        error === "" ? <code class="muted">{labelText(labels)}</code> : <span title={error}>{error}</span>,
    },
    {
      id: "at",
      title: text.acknowledged,
      width: "7.5rem",
      isRight: true,
      priority: 3,
      cell: ({ at }) => <span title={formatTime(at)}>{formatAgo(at)}</span>,
      sort: ({ at }) => at,
    },
  ];
}

function SubscriberBadge({ state }: { readonly state: SubscriberState }) {
  const text = historyText();
  const [tone, icon] = STATES[state];
  return (
    <Badge tone={tone} icon={icon} {...(state === "gone" ? { title: text.goneLong } : {})}>
      {text[state]}
    </Badge>
  );
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map((pair) => pair.join("="))
    .join(", ");
}

function NoSubscribers({ set }: { readonly set: ConfigSet }) {
  const text = historyText();
  return (
    <EmptyState icon={Users} title={text.noSubscribers} command={cliOf("config", "watch", set.id)}>
      {text.noSubscribersText}
    </EmptyState>
  );
}
