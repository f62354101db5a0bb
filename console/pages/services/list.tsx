/** The list of services, those with trouble first. */
import { Boxes } from "lucide";
import { useMemo } from "preact/hooks";
import type { ServiceList, ServiceSummary } from "#registry/api";
import type { TrafficView } from "#traffic/api";
import { CopyAs } from "../../components/copy.tsx";
import { SearchField, Segmented } from "../../components/field.tsx";
import { Card, PageHeader } from "../../components/layout.tsx";
import { HealthBar, healthWords, ServiceBadge } from "../../components/service-state.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { linkTo, useNamespace, useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import {
  errorPercent,
  loadByService,
  SERVICE_STATES,
  serviceState,
  type ServiceLoad,
  type ServiceState,
} from "../../data/services.ts";
import { formatDuration } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { formatNumber, formatRate } from "../../text/mod.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { registerCommand } from "./commands.ts";
import { ErrorShare } from "./parts.tsx";
import { servicesText } from "./text.ts";

interface ServiceRow {
  readonly summary: ServiceSummary;
  readonly state: ServiceState;
  readonly load: ServiceLoad | undefined;
}

const TROUBLE: ReadonlySet<ServiceState> = new Set(["down", "degraded", "warning", "unknown"]);

export function ServiceListView() {
  const text = servicesText();
  const [namespace] = useNamespace();
  const path = pathOf`/v1/services?namespace=${namespace}`;
  const services = useResource<ServiceList>(path, ["services"]);
  const traffic = useResource<TrafficView>(pathOf`/v1/traffic?namespace=${namespace}&minutes=1`, [
    `traffic:${namespace}`,
  ]);
  const edges = traffic.data?.edges;
  const rows = useMemo(() => {
    const loads = loadByService(edges ?? [], namespace);
    return (services.data?.services ?? []).map((summary): ServiceRow => ({
      summary,
      state: serviceState(summary),
      load: loads.get(summary.service),
    }));
  }, [services.data, edges, namespace]);
  const troubled = rows.filter(({ state }) => TROUBLE.has(state)).length;
  return (
    <>
      <PageHeader
        title={text.title}
        {...(services.data === undefined ? {} : { subtitle: text.subtitle(rows.length, troubled) })}
      >
        <CopyAs cli={cliOf("services", "ls", ...namespaceWords(namespace))} call={{ path }} />
      </PageHeader>
      <Loaded of={services} rows={8}>
        {() => <ServiceTable rows={rows} namespace={namespace} />}
      </Loaded>
    </>
  );
}

function ServiceTable({ rows, namespace }: { readonly rows: readonly ServiceRow[]; readonly namespace: string }) {
  const text = servicesText();
  const [filter, setFilter] = useQuery("filter");
  const [which, setWhich] = useQuery("state", "all");
  const shown = rows.filter(
    ({ summary, state }) =>
      summary.service.includes(filter.trim().toLowerCase()) && (which === "all" || TROUBLE.has(state)),
  );
  if (rows.length === 0) {
    return (
      <section class="card">
        <EmptyState icon={Boxes} title={text.emptyTitle} command={registerCommand(namespace)}>
          {text.emptyText}
        </EmptyState>
      </section>
    );
  }
  return (
    <Card
      isFlush
      title={text.serviceCount(shown.length, rows.length)}
      actions={
        <>
          <Segmented
            label={text.state}
            value={which}
            options={[
              ["all", text.stateAll],
              ["trouble", text.stateTrouble],
            ]}
            onChange={setWhich}
          />
          <SearchField value={filter} onInput={setFilter} />
        </>
      }
    >
      <DataTable
        label={text.title}
        rows={shown}
        keyOf={({ summary }) => summary.service}
        hrefOf={({ summary }) => linkTo(`/services/${summary.service}`)}
        initialSort="state"
        columns={columns()}
        empty={<p class="note muted">{commonText().nothingMatches}</p>}
      />
    </Card>
  );
}

function columns(): readonly TableColumn<ServiceRow>[] {
  const text = servicesText();
  const rate = (load: ServiceLoad | undefined) => load?.rps ?? 0;
  return [
    {
      id: "name",
      title: commonText().name,
      width: "minmax(8rem, 2fr)",
      isName: true,
      cell: ({ summary }) => <span title={summary.service}>{summary.service}</span>,
      sort: ({ summary }) => summary.service,
    },
    {
      id: "state",
      title: text.state,
      width: "8rem",
      cell: ({ state }) => <ServiceBadge state={state} />,
      sort: ({ state }) => SERVICE_STATES.indexOf(state),
    },
    {
      id: "health",
      title: text.health,
      width: "minmax(12rem, 1.6fr)",
      priority: 2,
      cell: ({ summary }) => (
        <span class="health-cell">
          <HealthBar of={summary} />
          <span class="truncate">{healthWords(summary)}</span>
        </span>
      ),
    },
    {
      id: "instances",
      title: text.instances,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: ({ summary }) => formatNumber(summary.instances),
      sort: ({ summary }) => summary.instances,
    },
    {
      id: "rps",
      title: text.requests,
      width: "6rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => (load ? formatRate(load.rps) : <span class="muted">–</span>),
      sort: ({ load }) => rate(load),
    },
    {
      id: "errors",
      title: text.errors,
      width: "5rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => <ErrorShare load={load} />,
      sort: ({ load }) => (load && errorPercent(load)) ?? 0,
    },
    {
      id: "p99",
      title: text.latency,
      width: "5rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => (typeof load?.p99 === "number" ? formatDuration(load.p99) : <span class="muted">–</span>),
      sort: ({ load }) => load?.p99 ?? 0,
    },
  ];
}
