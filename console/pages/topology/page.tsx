/** Which service calls which: as a graph, or as a table with the same facts. */
import { Waypoints } from "lucide";
import { useMemo } from "preact/hooks";
import type { ServiceList } from "#registry/api";
import type { TrafficView } from "#traffic/api";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { SearchField, Segmented } from "../../components/field.tsx";
import { Card, PageHeader } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { pathOf } from "../../data/api.ts";
import { useNamespace, useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { Alone } from "./alone.tsx";
import { callGraph, type CallGraph } from "./core.ts";
import { CallGraphView } from "./graph-view.tsx";
import { CallTable } from "./call-table.tsx";
import { topologyText } from "./text.ts";
import "./topology.css";

const WINDOWS = ["5", "15", "60"] as const;
/** Minutes that the servers remember. */
const ALL_MINUTES = 60;

export default function TopologyPage() {
  const text = topologyText();
  const [namespace] = useNamespace();
  const [minutes, setMinutes] = useQuery("minutes", "5");
  const [quiet, setQuiet] = useQuery("quiet");
  const [view, setView] = useQuery("view", "graph");
  const topics = [`traffic:${namespace}`];
  const path = pathOf`/v1/traffic?namespace=${namespace}&minutes=${minutes}`;
  const services = useResource<ServiceList>(pathOf`/v1/services?namespace=${namespace}`, ["services"]);
  const recent = useResource<TrafficView>(path, topics);
  const hour = useResource<TrafficView>(
    quiet === "" ? undefined : pathOf`/v1/traffic?namespace=${namespace}&minutes=${ALL_MINUTES}`,
    topics,
  );
  const graph = useMemo(
    () =>
      callGraph({
        namespace,
        services: services.data?.services ?? [],
        recent: recent.data?.edges ?? [],
        known: hour.data?.edges ?? [],
      }),
    [namespace, services.data, recent.data, hour.data],
  );
  return (
    <>
      <PageHeader title={text.title} subtitle={text.subtitle}>
        <CopyAs call={{ path }} />
      </PageHeader>
      <div class="toolbar">
        <Segmented
          label={text.window}
          value={minutes}
          options={WINDOWS.map((one) => [one, text.minutes(Number(one))] as const)}
          onChange={setMinutes}
        />
        <Button aria-pressed={quiet !== ""} onClick={() => setQuiet(quiet === "" ? "1" : "")}>
          {text.quiet}
        </Button>
        <Segmented
          label={text.view}
          value={view}
          options={[
            ["graph", text.graph],
            ["table", text.table],
          ]}
          onChange={setView}
        />
        <SearchFilter />
      </div>
      <Loaded of={recent} rows={8}>
        {() => (
          <Calls
            graph={graph}
            isTable={view === "table"}
            onShowHour={minutes === String(ALL_MINUTES) ? undefined : () => setMinutes(String(ALL_MINUTES))}
          />
        )}
      </Loaded>
      {graph.alone.length > 0 && <Alone services={graph.alone} />}
    </>
  );
}

function SearchFilter() {
  const [filter, setFilter] = useQuery("filter");
  return <SearchField value={filter} onInput={setFilter} />;
}

interface CallsProps {
  readonly graph: CallGraph;
  readonly isTable: boolean;
  /** Absent: the whole hour is shown. */
  readonly onShowHour: (() => void) | undefined;
}

function Calls({ graph, isTable, onShowHour }: CallsProps) {
  const text = topologyText();
  const [filter] = useQuery("filter");
  const shown = useMemo(() => filtered(graph, filter.trim().toLowerCase()), [graph, filter]);
  if (graph.edges.length === 0) {
    return (
      <section class="card">
        <EmptyState
          icon={Waypoints}
          title={text.emptyTitle}
          command={GATEWAY_CALLS}
          action={onShowHour && <Button onClick={onShowHour}>{text.showHour}</Button>}
        >
          {text.emptyText}
        </EmptyState>
      </section>
    );
  }
  if (shown.edges.length === 0) return <p class="muted">{text.noMatch}</p>;
  if (isTable) return <CallTable graph={shown} />;
  return (
    <Card isFlush>
      <CallGraphView graph={shown} />
    </Card>
  );
}

/** The gateway's usual port on the machine of the server; the demo's first route. */
const GATEWAY_CALLS = `for i in $(seq 50); do curl -s http://${location.hostname}:8080/riders; done`;

/** Services that match, with their neighbors. */
function filtered(graph: CallGraph, filter: string): CallGraph {
  if (filter === "") return graph;
  const matching = new Set(graph.nodes.filter(({ id }) => id.includes(filter)).map(({ id }) => id));
  const edges = graph.edges.filter(({ from, to }) => matching.has(from) || matching.has(to));
  const ids = new Set(edges.flatMap(({ from, to }) => [from, to]));
  return { ...graph, edges, nodes: graph.nodes.filter(({ id }) => ids.has(id)) };
}
