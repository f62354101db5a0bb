/** The computations of the topology: the nodes and edges of calls, and services without calls. Pure. */
import type { ServiceSummary } from "#registry/api";
import type { TrafficEdge } from "#traffic/api";
import { addLoad, errorPercent, type ServiceLoad } from "../../data/services.ts";

export interface CallNode {
  /** Unique: `gateway`, or the namespace and the service. */
  readonly id: string;
  readonly kind: "gateway" | "service";
  readonly namespace: string;
  readonly service: string;
  /** Absent: the service is called, but not registered in this namespace. */
  readonly summary: ServiceSummary | undefined;
  /** The requests that it receives. */
  readonly load: ServiceLoad | undefined;
}

export interface CallEdge extends ServiceLoad {
  readonly from: string;
  readonly to: string;
  /** No call within the time range, only before. */
  readonly isQuiet: boolean;
}

export interface CallGraph {
  readonly nodes: readonly CallNode[];
  readonly edges: readonly CallEdge[];
  /** Services without any call. */
  readonly alone: readonly ServiceSummary[];
}

const GATEWAY = "gateway";

function nodeId(namespace: string, service: string): string {
  return `${namespace}/${service}`;
}

interface CallGraphInput {
  readonly namespace: string;
  readonly services: readonly ServiceSummary[];
  /** Calls within the time range. */
  readonly recent: readonly TrafficEdge[];
  /** Calls within an hour; those that are not recent are quiet. */
  readonly known: readonly TrafficEdge[];
}

export function callGraph({ namespace, services, recent, known }: CallGraphInput): CallGraph {
  const edges = new Map<string, CallEdge>();
  const loads = new Map<string, ServiceLoad>();
  const put = (edge: TrafficEdge, isQuiet: boolean) => {
    const from = edge.fromKind === "gateway" ? GATEWAY : nodeId(namespace, edge.from);
    const to = nodeId(edge.toNamespace, edge.to);
    const key = `${from} ${to}`;
    if (isQuiet && edges.has(key)) return;
    const load = isQuiet ? { rps: 0, errors: 0, p99: null } : edge;
    edges.set(key, { from, to, isQuiet, ...addLoad(edges.get(key), load) });
    loads.set(to, addLoad(loads.get(to), load));
  };
  for (const edge of recent) if (edge.rps > 0) put(edge, false);
  for (const edge of known) put(edge, true);
  const summaries = new Map(services.map((summary) => [nodeId(summary.namespace, summary.service), summary]));
  const ids = new Set([...edges.values()].flatMap(({ from, to }) => [from, to]));
  return {
    nodes: [...ids].sort().map((id) => callNode(id, { summaries, loads })),
    edges: [...edges.values()].sort((one, other) => (one.from + one.to < other.from + other.to ? -1 : 1)),
    alone: services.filter((summary) => !ids.has(nodeId(summary.namespace, summary.service))),
  };
}

interface KnownNodes {
  readonly summaries: ReadonlyMap<string, ServiceSummary>;
  readonly loads: ReadonlyMap<string, ServiceLoad>;
}

function callNode(id: string, { summaries, loads }: KnownNodes): CallNode {
  if (id === GATEWAY) {
    return { id, kind: "gateway", namespace: "", service: "", summary: undefined, load: undefined };
  }
  const [namespace = "", service = ""] = id.split("/");
  return { id, kind: "service", namespace, service, summary: summaries.get(id), load: loads.get(id) };
}

const WIDTH_MIN = 1;
const WIDTH_MAX = 8;

/** The stroke of an edge: it doubles about every tenfold of the rate. */
export function edgeWidth(rps: number): number {
  const width = WIDTH_MIN + Math.log10(1 + Math.max(0, rps)) * 2;
  return Math.round(Math.min(WIDTH_MAX, width) * 10) / 10;
}

/** Percent of errors from which an edge is red. */
const BAD_PERCENT = 1;

export function isBadEdge(edge: ServiceLoad): boolean {
  return (errorPercent(edge) ?? 0) >= BAD_PERCENT;
}
