/** Charts and graphs in their states, as the pages of observing use them. */
import { Box, Globe } from "lucide";
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { chartTimes } from "../../components/chart-core.ts";
import { Chart } from "../../components/chart.tsx";
import { Graph, type GraphEdge, type GraphNode } from "../../components/graph.tsx";
import { Card } from "../../components/layout.tsx";
import { formatNumber } from "../../text/mod.ts";
import { componentsText } from "./text.ts";

const POINTS = 60;
const POINT_SECONDS = 60;
const MINUTE_MS = 60_000;

const NODES: readonly GraphNode[] = [
  { id: "a", title: "gateway", note: "120/s", icon: Globe, tone: "accent", href: "#a" },
  { id: "b", title: "orders", note: "100/s", icon: Box, tone: "good", href: "#b" },
  {
    id: "c",
    title: "payments-reconciliation-worker-for-cross-border-settlements-v2",
    note: "20/s",
    icon: Box,
    tone: "bad",
    href: "#c",
  },
];
const EDGES: readonly GraphEdge[] = [
  { from: "a", to: "b", width: 5, tone: "normal", label: "100/s", title: "gateway, orders" },
  { from: "b", to: "c", width: 3, tone: "bad", label: "20/s", title: "orders, payments" },
  { from: "a", to: "c", width: 1, tone: "quiet", label: "", title: "gateway, payments" },
];

export function ObserveSamples() {
  const text = componentsText();
  const active = useSignal<string | undefined>(undefined);
  const times = useMemo(() => chartTimes(Date.now() - POINTS * MINUTE_MS, POINTS, POINT_SECONDS), []);
  const values = times.map((_, index) => (index < 6 ? null : 90 + 40 * Math.sin(index / 6)));
  return (
    <div class="grid">
      <Card title={text.rate}>
        <Chart
          label={text.rate}
          times={times}
          formatValue={formatNumber}
          series={[
            { name: text.rate, values, tone: "accent", isFilled: true },
            { name: text.errors, values: values.map((value) => value && value / 8), tone: "bad" },
          ]}
          marks={[
            { at: times[20] ?? 0, label: "orders: version 3", tone: "accent" },
            { at: times[21] ?? 0, label: "orders-1", tone: "idle" },
            { at: times[45] ?? 0, label: "orders-2", tone: "bad" },
          ]}
        />
      </Card>
      <Card isFlush title={text.services}>
        <Graph label={text.services} nodes={NODES} edges={EDGES} active={active} />
      </Card>
    </div>
  );
}
