/** The graph of calls, and the calls of the service that is pointed at. */
import { Box, Globe } from "lucide";
import { useSignal, type Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Graph, type GraphEdge, type GraphNode } from "../../components/graph.tsx";
import { SERVICE_TONES, serviceStateText } from "../../components/service-state.tsx";
import { linkTo } from "../../data/location.ts";
import { errorPercent, serviceState, type ServiceLoad } from "../../data/services.ts";
import { formatDuration } from "../../data/time.ts";
import { formatRate, locale } from "../../text/mod.ts";
import { edgeWidth, isBadEdge, type CallEdge, type CallGraph, type CallNode } from "./core.ts";
import { topologyText } from "./text.ts";

export function CallGraphView({ graph }: { readonly graph: CallGraph }) {
  const text = topologyText();
  const active = useSignal<string | undefined>(undefined);
  const names = useMemo(() => new Map(graph.nodes.map((node) => [node.id, nodeTitle(node)])), [graph, locale.value]);
  const nodes = useMemo(() => graph.nodes.map(nodeBox), [graph, locale.value]);
  const edges = useMemo(() => graph.edges.map((edge) => edgeLine(edge, names)), [graph, names]);
  return (
    <>
      <Graph label={text.graphLabel(nodes.length, edges.length)} nodes={nodes} edges={edges} active={active} />
      <ActiveCalls graph={graph} names={names} active={active} />
    </>
  );
}

export function nodeTitle({ kind, service }: CallNode): string {
  return kind === "gateway" ? topologyText().gateway : service;
}

export function nodeHref({ kind, namespace, service }: CallNode): string {
  return kind === "gateway" ? linkTo("/routes") : linkTo(`/services/${service}`, { namespace });
}

function nodeBox(node: CallNode): GraphNode {
  const text = topologyText();
  const { id, kind, summary, load } = node;
  const shared = { id, title: nodeTitle(node), href: nodeHref(node) };
  if (kind === "gateway") return { ...shared, note: text.gatewayNote, icon: Globe, tone: "accent" };
  const rate = load && load.rps > 0 ? text.rate(formatRate(load.rps)) : text.noLoad;
  if (!summary) return { ...shared, note: `${text.notRegistered} · ${rate}`, icon: Box, tone: "idle" };
  const state = serviceState(summary);
  return { ...shared, note: `${serviceStateText()[state]} · ${rate}`, icon: Box, tone: SERVICE_TONES[state] };
}

/** `65 req/s · 0.2 % errors · p99 42 ms`. */
export function callFacts(edge: ServiceLoad & { readonly isQuiet?: boolean }): string {
  const text = topologyText();
  if (edge.isQuiet === true) return text.quietEdge;
  const percent = errorPercent(edge) ?? 0;
  return [
    text.rate(formatRate(edge.rps)),
    ...(percent > 0 ? [text.errorsOf(formatRate(percent))] : []),
    ...(edge.p99 === null ? [] : [`p99 ${formatDuration(edge.p99)}`]),
  ].join(" · ");
}

function edgeLine(edge: CallEdge, names: ReadonlyMap<string, string>): GraphEdge {
  const text = topologyText();
  const { from, to, rps, isQuiet } = edge;
  const title = `${text.arrow(names.get(from) ?? from, names.get(to) ?? to)}\n${callFacts(edge)}`;
  return {
    from,
    to,
    width: edgeWidth(rps),
    tone: isQuiet ? "quiet" : isBadEdge(edge) ? "bad" : "normal",
    label: isQuiet ? "" : text.rateShort(formatRate(rps)),
    title,
  };
}

interface ActiveCallsProps {
  readonly graph: CallGraph;
  readonly names: ReadonlyMap<string, string>;
  readonly active: Signal<string | undefined>;
}

/** Names that are listed in each direction; the table has all. */
const LISTED_MAX = 6;

function ActiveCalls({ graph, names, active }: ActiveCallsProps) {
  const text = topologyText();
  const id = active.value;
  if (id === undefined) return <p class="call-facts muted">{text.hint}</p>;
  const list = (edges: readonly CallEdge[], end: "from" | "to") => {
    const busiest = [...edges].sort((one, other) => other.rps - one.rps);
    const words = busiest
      .slice(0, LISTED_MAX)
      .map((edge) => `${names.get(edge[end]) ?? edge[end]} (${callFacts(edge)})`);
    return words.length === 0 ? text.nothing : words.join(", ") + (busiest.length > LISTED_MAX ? " …" : "");
  };
  return (
    <div class="call-facts" aria-live="polite">
      <b>{names.get(id)}</b>
      <span>
        <span class="muted">{text.incoming}</span>{" "}
        {list(
          graph.edges.filter(({ to }) => to === id),
          "from",
        )}
      </span>
      <span>
        <span class="muted">{text.outgoing}</span>{" "}
        {list(
          graph.edges.filter(({ from }) => from === id),
          "to",
        )}
      </span>
    </div>
  );
}
