/** The computations of graphs, without the browser: paths of its edges, neighbors by direction, and views that fit. */

export interface GraphPoint {
  readonly x: number;
  readonly y: number;
}

export interface GraphView {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export const GRAPH_SCALE_MIN = 0.05;
/** Below this scale names cannot be read. */
const GRAPH_SCALE_READABLE = 0.75;
export const GRAPH_SCALE_MAX = 2;

/** A smooth path: the corners between the ends become curves. */
export function edgePath(points: readonly GraphPoint[]): string {
  const [first, ...rest] = points;
  const last = rest.at(-1);
  if (!first || !last) return "";
  let path = `M${pair(first)}`;
  for (const [index, point] of rest.slice(0, -1).entries()) {
    const next = rest[index + 1] ?? last;
    path += ` Q${pair(point)} ${pair({ x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 })}`;
  }
  return `${path} L${pair(last)}`;
}

/** The triangle at the end of an edge. */
export function arrowPath(points: readonly GraphPoint[], size: number): string {
  const [before, tip] = points.slice(-2);
  if (!before || !tip) return "";
  const angle = Math.atan2(tip.y - before.y, tip.x - before.x);
  const corner = (turn: number) => ({
    x: tip.x - size * Math.cos(angle + turn),
    y: tip.y - size * Math.sin(angle + turn),
  });
  return `M${pair(tip)} L${pair(corner(0.45))} L${pair(corner(-0.45))} Z`;
}

function pair({ x, y }: GraphPoint): string {
  return `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`;
}

export type GraphDirection = "left" | "right" | "up" | "down";

/** The nearest node in a direction; those beside the axis count as further away. */
export function nearestNode<Node extends GraphPoint>(
  from: GraphPoint,
  nodes: readonly Node[],
  direction: GraphDirection,
): Node | undefined {
  const isAcross = direction === "left" || direction === "right";
  const sign = direction === "left" || direction === "up" ? -1 : 1;
  let best: Node | undefined;
  let least = Infinity;
  for (const node of nodes) {
    const [along, beside] = isAcross ? [node.x - from.x, node.y - from.y] : [node.y - from.y, node.x - from.x];
    const ahead = along * sign;
    const distance = ahead + Math.abs(beside) * 2;
    if (ahead > 1 && distance < least) {
      least = distance;
      best = node;
    }
  }
  return best;
}

interface GraphSize {
  readonly width: number;
  readonly height: number;
}

/** Shows the whole graph in the middle, never larger than it is drawn. */
export function fitView(graph: GraphSize, frame: GraphSize): GraphView {
  const wanted = Math.min(frame.width / graph.width, frame.height / graph.height, 1);
  const scale = Math.max(GRAPH_SCALE_MIN, Number.isFinite(wanted) ? wanted : 1);
  return { scale, x: (frame.width - graph.width * scale) / 2, y: (frame.height - graph.height * scale) / 2 };
}

/** The view at first: as much as can be read, from the left. */
export function firstView(graph: GraphSize, frame: GraphSize): GraphView {
  const fit = fitView(graph, frame);
  if (fit.scale >= GRAPH_SCALE_READABLE) return fit;
  const scale = GRAPH_SCALE_READABLE;
  return { scale, x: 0, y: (frame.height - graph.height * scale) / 2 };
}

/** Zooms so that the point of the frame stays where it is. */
export function zoomView(view: GraphView, factor: number, at: GraphPoint): GraphView {
  const scale = Math.min(GRAPH_SCALE_MAX, Math.max(GRAPH_SCALE_MIN, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio };
}
