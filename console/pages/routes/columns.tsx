/** The columns of the list of routes. */
import type { RouteView } from "#gateway/api";
import type { TrafficView } from "#traffic/api";
import { Spark } from "../../components/spark.tsx";
import type { TableColumn } from "../../components/table.tsx";
import { errorPercent, SERVICE_STATES } from "../../data/services.ts";
import { formatDuration } from "../../data/time.ts";
import { formatNumber } from "../../text/mod.ts";
import { configOf, pathOfRoute } from "./core/summary.ts";
import type { StateOfTargets } from "./data.ts";
import { HintBadge, MatchText, RouteMarks, RouteState, TargetText } from "./route-cells.tsx";
import { routesText } from "./text.ts";

export interface RouteRow {
  readonly view: RouteView;
  readonly order: number;
  readonly load: TrafficView["routes"][number] | undefined;
}

/** Points of the sparks: the last ten minutes. */
const SPARK_POINTS = 60;

export function routeColumns(stateOf: StateOfTargets): readonly TableColumn<RouteRow>[] {
  return [...identityColumns(stateOf), ...policyColumns(), ...loadColumns()];
}

function identityColumns(stateOf: StateOfTargets): readonly TableColumn<RouteRow>[] {
  const text = routesText();
  return [
    {
      id: "order",
      title: "#",
      width: "2rem",
      isRight: true,
      priority: 3,
      cell: ({ order }) => <span class="muted">{order}</span>,
      sort: ({ order }) => order,
    },
    {
      id: "name",
      title: text.route,
      width: "minmax(8rem, 1.5fr)",
      isName: true,
      cell: ({ view }) => <span title={view.name}>{view.name}</span>,
      sort: ({ view }) => view.name,
    },
    {
      id: "state",
      title: text.health,
      width: "7.5rem",
      cell: ({ view }) => <RouteState view={view} stateOf={stateOf} />,
      sort: ({ view }) => {
        const state = stateOf(view.targets);
        if (view.shadowedBy !== undefined) return -1;
        return state === undefined ? SERVICE_STATES.length : SERVICE_STATES.indexOf(state);
      },
    },
    {
      id: "match",
      title: text.match,
      width: "minmax(10rem, 2.2fr)",
      priority: 2,
      cell: ({ view }) => <MatchText view={view} />,
      sort: ({ view }) => `${configOf(view).match.hosts?.[0] ?? ""}${pathOfRoute(configOf(view)).value}`,
    },
    {
      id: "target",
      title: text.target,
      width: "minmax(6rem, 1fr)",
      priority: 3,
      cell: ({ view }) => <TargetText view={view} />,
      sort: ({ view }) => view.targets[0]?.service ?? view.targets[0]?.cluster ?? "",
    },
  ];
}

function policyColumns(): readonly TableColumn<RouteRow>[] {
  return [
    {
      id: "policies",
      title: routesText().policies,
      width: "minmax(6rem, 1.1fr)",
      priority: 3,
      cell: ({ view }) => (view.hinted ? <HintBadge /> : <RouteMarks view={view} />),
    },
  ];
}

function loadColumns(): readonly TableColumn<RouteRow>[] {
  const text = routesText();
  const dash = <span class="muted">–</span>;
  return [
    {
      id: "rps",
      title: text.rps,
      width: "5.5rem",
      isRight: true,
      priority: 2,
      cell: ({ load }) => (load && load.now.rps > 0 ? formatNumber(load.now.rps) : dash),
      sort: ({ load }) => load?.now.rps ?? 0,
    },
    {
      id: "trend",
      title: text.trend,
      width: "4.5rem",
      priority: 3,
      cell: ({ view, load }) =>
        load && <Spark label={text.rpsTrend(view.name)} values={load.series.rps.slice(-SPARK_POINTS)} />,
    },
    {
      id: "errors",
      title: text.errors,
      width: "4.5rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => {
        const percent = load ? errorPercent(load.now) : null;
        if (percent === null) return dash;
        return <span class={percent >= 1 ? "route-errors" : ""}>{formatNumber(percent)} %</span>;
      },
      sort: ({ load }) => (load ? (errorPercent(load.now) ?? 0) : 0),
    },
    {
      id: "p99",
      title: text.p99,
      width: "4.5rem",
      isRight: true,
      priority: 3,
      cell: ({ load }) => (load && load.now.p99 !== null ? formatDuration(load.now.p99) : dash),
      sort: ({ load }) => load?.now.p99 ?? 0,
    },
  ];
}
