/** The calls as a table: the same facts as the graph. */
import { Card } from "../../components/layout.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { errorPercent } from "../../data/services.ts";
import { formatDuration } from "../../data/time.ts";
import { formatRate } from "../../text/mod.ts";
import { isBadEdge, type CallEdge, type CallGraph, type CallNode } from "./core.ts";
import { nodeHref, nodeTitle } from "./graph-view.tsx";
import { topologyText } from "./text.ts";

export function CallTable({ graph }: { readonly graph: CallGraph }) {
  const text = topologyText();
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  return (
    <Card isFlush>
      <DataTable
        label={text.title}
        rows={graph.edges}
        keyOf={({ from, to }) => `${from} ${to}`}
        initialSort="-rps"
        columns={columns((id) => byId.get(id))}
      />
    </Card>
  );
}

function columns(nodeOf: (id: string) => CallNode | undefined): readonly TableColumn<CallEdge>[] {
  const text = topologyText();
  const nameOf = (id: string) => {
    const node = nodeOf(id);
    return node ? nodeTitle(node) : id;
  };
  const link = (id: string) => {
    const node = nodeOf(id);
    if (!node) return id;
    return (
      <a class="subject" href={nodeHref(node)} title={nodeTitle(node)}>
        {nodeTitle(node)}
      </a>
    );
  };
  return [
    {
      id: "from",
      title: text.caller,
      width: "minmax(6rem, 1fr)",
      cell: ({ from }) => link(from),
      sort: ({ from }) => nameOf(from),
    },
    {
      id: "to",
      title: text.called,
      width: "minmax(6rem, 1fr)",
      cell: ({ to }) => link(to),
      sort: ({ to }) => nameOf(to),
    },
    {
      id: "rps",
      title: text.requests,
      width: "5.5rem",
      isRight: true,
      cell: ({ rps, isQuiet }) => (isQuiet ? text.quietEdge : formatRate(rps)),
      sort: ({ rps }) => rps,
    },
    {
      id: "errors",
      title: text.errors,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: (edge) => <span class={isBadEdge(edge) ? "bad-text" : ""}>{formatRate(errorPercent(edge) ?? 0)} %</span>,
      sort: (edge) => errorPercent(edge) ?? 0,
    },
    {
      id: "p99",
      title: text.latency,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: ({ p99 }) => (p99 === null ? "–" : formatDuration(p99)),
      sort: ({ p99 }) => p99 ?? 0,
    },
  ];
}
