/** The instances of a service with their health over the last day. */
import { Boxes } from "lucide";
import { healthWord, HealthBadge } from "../../components/badge.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { useQuery } from "../../data/location.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { formatRate } from "../../text/mod.ts";
import { registerCommand } from "./commands.ts";
import { ROW_STATUSES, weightOfOthers, type InstanceRow } from "./core.ts";
import type { KnownHistory } from "./history.ts";
import { addressOf, ErrorShare, InstanceRibbon } from "./parts.tsx";
import { InstancePanel } from "./instance-panel.tsx";
import { servicesText } from "./text.ts";

interface InstanceTableProps {
  readonly namespace: string;
  readonly service: string;
  readonly rows: readonly InstanceRow[];
  readonly history: KnownHistory;
  /** Healthy instances of the service. */
  readonly healthy: number;
  /** Reads again what an action has changed. */
  readonly onDone: () => Promise<void>;
}

export function InstanceTable({ namespace, service, rows, history, healthy, onDone }: InstanceTableProps) {
  const text = servicesText();
  const [filter, setFilter] = useQuery("filter");
  const [chosen, setChosen] = useQuery("instance");
  const shown = rows.filter((row) => searchText(row).includes(filter.trim().toLowerCase()));
  const panel = chosen !== "" && (
    <InstancePanel
      namespace={namespace}
      service={service}
      id={chosen}
      row={rows.find(({ id }) => id === chosen)}
      history={history}
      healthy={healthy}
      others={weightOfOthers(rows, chosen)}
      onDone={onDone}
      onClose={() => setChosen("")}
    />
  );
  if (rows.length === 0) {
    return (
      <section class="card">
        <EmptyState icon={Boxes} title={text.emptyTitle} command={registerCommand(namespace, service)}>
          {text.emptyText}
        </EmptyState>
        {panel}
      </section>
    );
  }
  return (
    <Card
      isFlush
      title={text.instanceCount(shown.length, rows.length)}
      actions={<SearchField value={filter} onInput={setFilter} />}
    >
      <DataTable
        label={text.instances}
        rows={shown}
        keyOf={({ id }) => id}
        onChoose={({ id }) => setChosen(id)}
        isChosen={({ id }) => id === chosen}
        initialSort="status"
        columns={columns(history, rows)}
        empty={<p class="note muted">{commonText().nothingMatches}</p>}
      />
      {panel}
    </Card>
  );
}

function searchText({ id, instance, status }: InstanceRow): string {
  const { address = "", port = "", zone = "", version = "", tags = [] } = instance ?? {};
  return `${id} ${address}:${port} ${zone} ${version} ${tags.join(" ")} ${healthWord(status)}`.toLowerCase();
}

/** Facts that no instance has get no column. */
function columns(history: KnownHistory, rows: readonly InstanceRow[]): readonly TableColumn<InstanceRow>[] {
  const text = servicesText();
  return [
    {
      id: "name",
      title: text.instance,
      width: "minmax(6rem, 1.4fr)",
      isName: true,
      cell: ({ id }) => <span title={id}>{id}</span>,
      sort: ({ id }) => id,
    },
    {
      id: "status",
      title: commonText().status,
      width: "7rem",
      cell: ({ status }) => <HealthBadge status={status} />,
      sort: ({ status }) => ROW_STATUSES.indexOf(status),
    },
    {
      id: "since",
      title: text.since,
      width: "5.5rem",
      priority: 2,
      cell: ({ since }) =>
        since === undefined ? <span class="muted">–</span> : <span title={formatTime(since)}>{formatAgo(since)}</span>,
      sort: ({ since }) => -(since ?? 0),
    },
    {
      id: "history",
      title: text.lastDay,
      width: "minmax(6rem, 2fr)",
      priority: 2,
      cell: (row) => <InstanceRibbon row={row} history={history} />,
    },
    {
      id: "address",
      title: text.address,
      width: "minmax(8rem, 1fr)",
      priority: 2,
      cell: ({ instance }) => instance && <span class="mono">{addressOf(instance)}</span>,
      sort: ({ instance }) => (instance ? addressOf(instance) : ""),
    },
    ...factColumn(rows, "zone", text.zone, ({ instance }) => instance?.zone),
    ...factColumn(rows, "version", text.version, ({ instance }) => instance?.version),
    {
      id: "weight",
      title: text.weight,
      width: "3.5rem",
      isRight: true,
      priority: 3,
      cell: ({ instance }) => instance?.weight,
      sort: ({ instance }) => instance?.weight ?? 0,
    },
    ...(rows.some(({ load }) => load !== undefined) ? loadColumns() : []),
  ];
}

function loadColumns(): readonly TableColumn<InstanceRow>[] {
  const text = servicesText();
  return [
    {
      id: "rps",
      title: text.requests,
      width: "5rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => (load ? formatRate(load.rps) : <span class="muted">–</span>),
      sort: ({ load }) => load?.rps ?? 0,
    },
    {
      id: "errors",
      title: text.errors,
      width: "4rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => <ErrorShare load={load} />,
      sort: ({ load }) => load?.errors ?? 0,
    },
  ];
}

function factColumn(
  rows: readonly InstanceRow[],
  id: string,
  title: string,
  of: (row: InstanceRow) => string | undefined,
): readonly TableColumn<InstanceRow>[] {
  if (!rows.some((row) => of(row) !== undefined)) return [];
  return [
    {
      id,
      title,
      width: "minmax(3rem, 6rem)",
      priority: 3,
      cell: (row) => <span title={of(row)}>{of(row) ?? "–"}</span>,
      sort: (row) => of(row) ?? "",
    },
  ];
}
