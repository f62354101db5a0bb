/** Places of a graph's nodes and edges by dagre, in a file of its own, which is loaded when the first graph is shown. */
import { Graph, layout, type EdgeLabel, type GraphLabel, type NodeLabel } from "@dagrejs/dagre";
import type { GraphPoint } from "./graph-core.ts";

export const NODE_WIDTH = 184;
export const NODE_HEIGHT = 44;

export interface PlacedGraph {
  readonly width: number;
  readonly height: number;
  /** The middle of each node, by id. */
  readonly nodes: ReadonlyMap<string, GraphPoint>;
  /** Each edge by `from` and `to` joined by a space. */
  readonly edges: ReadonlyMap<string, PlacedEdge>;
}

export interface PlacedEdge {
  readonly points: readonly GraphPoint[];
  /** The middle of its label, where nothing else is; absent: no place was asked for. */
  readonly label: GraphPoint | undefined;
}

/** Pixels that labels such as `1,204/s` take. */
const LABEL = { width: 48, height: 14, labelpos: "c" } as const;

export function placeGraph(
  nodes: readonly string[],
  edges: readonly { readonly from: string; readonly to: string }[],
  hasLabels: boolean,
): PlacedGraph {
  const graph = new Graph<GraphLabel, NodeLabel, EdgeLabel>();
  graph.setGraph({ rankdir: "LR", nodesep: 16, ranksep: hasLabels ? 56 : 96, edgesep: 8, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const id of nodes) graph.setNode(id, { width: NODE_WIDTH, height: NODE_HEIGHT });
  for (const { from, to } of edges) graph.setEdge(from, to, hasLabels ? { ...LABEL } : {});
  layout(graph);
  const placed = graph.graph();
  return {
    width: placed.width ?? 0,
    height: placed.height ?? 0,
    nodes: new Map(nodes.map((id) => [id, { x: graph.node(id).x ?? 0, y: graph.node(id).y ?? 0 }])),
    edges: new Map(edges.map(({ from, to }) => [`${from} ${to}`, placedEdge(graph.edge(from, to))])),
  };
}

function placedEdge({ points = [], x, y }: EdgeLabel): PlacedEdge {
  return { points, label: x === undefined || y === undefined ? undefined : { x, y } };
}
