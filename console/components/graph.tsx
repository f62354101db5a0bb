/**
 * A directed graph that is laid out from left to right. Nodes are links; the focused or pointed one highlights its edges. Dragging pans,
 * Ctrl and the wheel zoom, arrow keys move between nodes. dagre is loaded when the first graph is shown.
 */
import { Maximize, ZoomIn, ZoomOut } from "lucide";
import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { commonText } from "../text/common.ts";
import type { Tone } from "./badge.tsx";
import { Button } from "./button.tsx";
import {
  arrowPath,
  edgePath,
  firstView,
  fitView,
  nearestNode,
  zoomView,
  type GraphDirection,
  type GraphView,
} from "./graph-core.ts";
import type { PlacedGraph } from "./graph-layout.ts";
import { Icon, type IconNode } from "./icon.tsx";

export interface GraphNode {
  readonly id: string;
  readonly title: string;
  readonly note: string;
  readonly icon: IconNode;
  readonly tone: Tone;
  readonly href: string;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  /** Stroke in pixels. */
  readonly width: number;
  readonly tone: "normal" | "bad" | "quiet";
  readonly label: string;
  /** Read by screen readers and shown as the title. */
  readonly title: string;
}

interface GraphProps {
  readonly label: string;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** The node that is pointed at or focused. */
  readonly active: Signal<string | undefined>;
}

/** Edges up to which all of their labels are shown, in places of their own; of more, only those of the active node. */
const LABELS_MAX = 30;
const ZOOM_STEP = 1.25;
/** Pixels that the pointer moves before a press becomes a drag. */
const DRAG_PX = 4;
/** Pixels of the frame's height: a small graph needs no empty space, a large one scrolls by panning. */
const HEIGHT_MIN = 240;
const HEIGHT_MAX = 680;

export function Graph({ label, nodes, edges, active }: GraphProps) {
  const placed = usePlacedGraph(nodes, edges);
  const frame = useRef<HTMLDivElement>(null);
  const view = useSignal<GraphView | undefined>(undefined);
  const fit = () => {
    const box = frame.current;
    if (placed && box) view.value = fitView(placed, sizeOf(box));
  };
  useEffect(() => {
    if (placed && frame.current) view.value = firstView(placed, sizeOf(frame.current));
  }, [placed]);
  const zoom = (factor: number, at = middleOf(frame.current)) => {
    if (view.value) view.value = zoomView(view.value, factor, at);
  };
  usePanning(frame, view, zoom);
  const height = Math.min(HEIGHT_MAX, Math.max(HEIGHT_MIN, (placed?.height ?? 0) + 16));
  return (
    <div class="graph">
      <div
        ref={frame}
        class="graph-frame"
        role="group"
        aria-label={label}
        style={{ height: `min(${height}px, 72vh)` }}
        onKeyDown={(event) => moveByArrow(event, placed, frame.current)}
      >
        {placed && view.value && (
          <div
            class="graph-plane"
            style={{
              width: `${placed.width}px`,
              height: `${placed.height}px`,
              transform: `translate(${view.value.x}px, ${view.value.y}px) scale(${view.value.scale})`,
            }}
          >
            <GraphEdges placed={placed} edges={edges} active={active} />
            {nodes.map((node) => (
              <GraphNodeBox key={node.id} node={node} placed={placed} active={active} />
            ))}
          </div>
        )}
      </div>
      <div class="graph-tools">
        <Button isSmall icon={ZoomIn} label={commonText().zoomIn} onClick={() => zoom(ZOOM_STEP)} />
        <Button isSmall icon={ZoomOut} label={commonText().zoomOut} onClick={() => zoom(1 / ZOOM_STEP)} />
        <Button isSmall icon={Maximize} label={commonText().zoomFit} onClick={fit} />
      </div>
    </div>
  );
}

/** Laid out again only when nodes or edges come or go, so that new rates move nothing. */
function usePlacedGraph(nodes: readonly GraphNode[], edges: readonly GraphEdge[]): PlacedGraph | undefined {
  const placed = useSignal<PlacedGraph | undefined>(undefined);
  const shape = `${nodes.map(({ id }) => id).join(" ")}|${edges.map(({ from, to }) => `${from} ${to}`).join("|")}`;
  useEffect(() => {
    let isStopped = false;
    const place = async () => {
      const { placeGraph } = await import("./graph-layout.ts");
      if (isStopped) return;
      placed.value = placeGraph(
        nodes.map(({ id }) => id),
        edges,
        edges.length <= LABELS_MAX,
      );
    };
    void place();
    return () => {
      isStopped = true;
    };
  }, [shape]);
  // A graph of other nodes is on its way.
  return placed.value && nodes.every(({ id }) => placed.value?.nodes.has(id)) ? placed.value : undefined;
}

interface GraphEdgesProps {
  readonly placed: PlacedGraph;
  readonly edges: readonly GraphEdge[];
  readonly active: Signal<string | undefined>;
}

function GraphEdges({ placed, edges, active }: GraphEdgesProps) {
  const id = active.value;
  const isLabeled = edges.length <= LABELS_MAX;
  const drawn = useMemo(
    () =>
      edges.map((edge) => {
        const { points = [], label } = placed.edges.get(`${edge.from} ${edge.to}`) ?? {};
        const middle = label ?? points[Math.floor(points.length / 2)];
        return { edge, middle, line: edgePath(points), head: arrowPath(points, 9) };
      }),
    [placed, edges],
  );
  return (
    <svg width={placed.width} height={placed.height} aria-hidden="true">
      {drawn.map(({ edge, middle, line, head }) => {
        const isActive = edge.from === id || edge.to === id;
        return (
          <g
            key={`${edge.from} ${edge.to}`}
            class={`graph-edge ${edge.tone} ${isActive ? "active" : id === undefined ? "" : "faint"}`}
          >
            <title>{edge.title}</title>
            <path class="hit" d={line} />
            <path class="line" d={line} stroke-width={edge.width} />
            <path class="head" d={head} />
            {middle && (isLabeled || isActive) && (
              <text x={middle.x} y={middle.y + 4} text-anchor="middle">
                {edge.label}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}

interface GraphNodeBoxProps {
  readonly node: GraphNode;
  readonly placed: PlacedGraph;
  readonly active: Signal<string | undefined>;
}

function GraphNodeBox({ node, placed, active }: GraphNodeBoxProps) {
  const at = placed.nodes.get(node.id);
  if (!at) return null;
  return (
    <a
      class={`graph-node ${node.tone}`}
      href={node.href}
      tabIndex={0}
      data-node={node.id}
      draggable={false}
      style={{ left: `${at.x}px`, top: `${at.y}px` }}
      title={`${node.title}\n${node.note}`}
      onPointerEnter={() => (active.value = node.id)}
      onPointerLeave={() => (active.value = undefined)}
      onFocus={() => (active.value = node.id)}
      onBlur={() => (active.value = undefined)}
    >
      <Icon of={node.icon} size={16} />
      <span class="words">
        <b class="truncate">{node.title}</b>
        <span class="truncate">{node.note}</span>
      </span>
    </a>
  );
}

function sizeOf({ clientWidth, clientHeight }: HTMLElement) {
  return { width: clientWidth, height: clientHeight };
}

function middleOf(frame: HTMLElement | null) {
  return { x: (frame?.clientWidth ?? 0) / 2, y: (frame?.clientHeight ?? 0) / 2 };
}

type Zoom = (factor: number, at?: { readonly x: number; readonly y: number }) => void;

/** Dragging moves the plane. A click that ends a drag does not follow the link below it. */
function usePanning(
  frame: { readonly current: HTMLDivElement | null },
  view: Signal<GraphView | undefined>,
  zoom: Zoom,
) {
  const latestZoom = useRef(zoom);
  latestZoom.current = zoom;
  useEffect(() => {
    const box = frame.current;
    if (!box) return undefined;
    const stop = new AbortController();
    const { signal } = stop;
    let start: { readonly x: number; readonly y: number; readonly view: GraphView } | undefined;
    let hasMoved = false;
    box.addEventListener(
      "pointerdown",
      (event) => {
        hasMoved = false;
        if (event.button === 0 && view.value) start = { x: event.clientX, y: event.clientY, view: view.value };
      },
      { signal },
    );
    window.addEventListener(
      "pointermove",
      (event) => {
        if (!start) return;
        const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
        if (Math.hypot(dx, dy) > DRAG_PX) hasMoved = true;
        if (hasMoved) view.value = { ...start.view, x: start.view.x + dx, y: start.view.y + dy };
      },
      { signal },
    );
    window.addEventListener("pointerup", () => (start = undefined), { signal });
    window.addEventListener("pointercancel", () => (start = undefined), { signal });
    const swallow = (event: MouseEvent) => {
      if (!hasMoved) return;
      event.preventDefault();
      event.stopPropagation();
    };
    box.addEventListener("click", swallow, { signal, capture: true });
    box.addEventListener("dragstart", (event) => event.preventDefault(), { signal });
    box.addEventListener(
      "wheel",
      (event) => {
        // Without Ctrl the wheel scrolls the page. Pinching sends a wheel event with Ctrl.
        if (!event.ctrlKey) return;
        event.preventDefault();
        const { left, top } = box.getBoundingClientRect();
        latestZoom.current(Math.exp(-event.deltaY / 300), { x: event.clientX - left, y: event.clientY - top });
      },
      { signal, passive: false },
    );
    return () => stop.abort();
  }, [frame, view]);
}

const ARROWS: Readonly<Record<string, GraphDirection>> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

function moveByArrow(event: KeyboardEvent, placed: PlacedGraph | undefined, frame: HTMLElement | null): void {
  const direction = ARROWS[event.key];
  const id = (event.target as HTMLElement).dataset["node"];
  const from = id === undefined ? undefined : placed?.nodes.get(id);
  if (direction === undefined || !from || !placed || event.isComposing) return;
  event.preventDefault();
  const others = [...placed.nodes].map(([other, place]) => ({ id: other, ...place }));
  const next = nearestNode(from, others, direction);
  if (next) frame?.querySelector<HTMLElement>(`[data-node="${CSS.escape(next.id)}"]`)?.focus();
}
