/** The control plane itself: a summary, and its parts as views. */
import "./system.css";
import { CircleAlert, CircleCheck, CircleX } from "lucide";
import type { ComponentChildren } from "preact";
import type { SystemReport } from "#server/api";
import { Badge } from "../../components/badge.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { PageHeader, Stat, Tabs } from "../../components/layout.tsx";
import { Problem } from "../../components/states.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace, useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { can } from "../../data/session.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { formatNumber } from "../../text/mod.ts";
import { AgentsView } from "./agents.tsx";
import { byteParts } from "./core.ts";
import { readReadiness, type Readiness } from "./data.ts";
import { GatewaysView } from "./gateways.tsx";
import { KeysView } from "./keys.tsx";
import { SourcesView } from "./sources.tsx";
import { StateView } from "./state.tsx";
import { systemText } from "./text.ts";
import { WatchesView } from "./watches.tsx";

interface ViewRow {
  readonly id: "gateways" | "agents" | "watches" | "sources" | "keys";
  /** The action without which the view shows nothing. */
  readonly needs: string;
  readonly View: () => ComponentChildren;
}

const VIEWS: readonly ViewRow[] = [
  { id: "gateways", needs: "config:read", View: GatewaysView },
  { id: "agents", needs: "registry:read", View: AgentsView },
  { id: "watches", needs: "registry:read", View: WatchesView },
  { id: "sources", needs: "config:read", View: SourcesView },
  { id: "keys", needs: "config:keys", View: KeysView },
];

export default function SystemPage() {
  const text = systemText();
  const [namespace] = useNamespace();
  const [view] = useQuery("view", "state");
  const readiness = useResource<Readiness>("/readyz", ["members", "problems"], readReadiness);
  const report = useResource<SystemReport>("/v1/system", ["members"]);
  useRereading(readiness);
  useRereading(report);
  const allowed = VIEWS.filter(({ needs }) => can(needs));
  const View = allowed.find(({ id }) => id === view)?.View;
  const current = View ? view : "state";
  return (
    <>
      <PageHeader
        title={text.title}
        subtitle={text.subtitle}
        badge={readiness.data && <ReadyBadge readiness={readiness.data} />}
      >
        <CopyAs cli={cliOf("status", ...namespaceWords(namespace))} call={{ path: "/v1/system" }} />
      </PageHeader>
      {report.problem && <Problem problem={report.problem} onRetry={() => void report.reload()} />}
      {report.data && <Figures report={report.data} />}
      <Tabs
        label={text.views}
        tabs={(["state", ...allowed.map(({ id }) => id)] as const).map((id) => ({
          href: linkTo("/system", id === "state" ? {} : { view: id }),
          name: text[`view_${id}`],
          isCurrent: id === current,
        }))}
      />
      {View ? <View /> : <StateView readiness={readiness.data} report={report.data} />}
    </>
  );
}

function ReadyBadge({ readiness: { isReady, degraded } }: { readonly readiness: Readiness }) {
  const text = systemText();
  if (!isReady) {
    return (
      <Badge tone="bad" icon={CircleX}>
        {text.notReady}
      </Badge>
    );
  }
  return degraded.length > 0 ? (
    <Badge tone="warn" icon={CircleAlert}>
      {text.degraded}
    </Badge>
  ) : (
    <Badge tone="good" icon={CircleCheck}>
      {text.ready}
    </Badge>
  );
}

function Figures({ report }: { readonly report: SystemReport }) {
  const text = systemText();
  const { version, node, startedAt, memoryBytes, store, sessions } = report;
  const [memory, memoryUnit] = byteParts(memoryBytes);
  const [size, sizeUnit] = store?.sizeBytes === undefined ? [undefined, undefined] : byteParts(store.sizeBytes);
  return (
    <div class="stats">
      <Stat
        label={text.version}
        value={version}
        note={<span title={formatTime(startedAt)}>{text.started(formatAgo(startedAt))}</span>}
      />
      <Stat label={text.memory} value={formatNumber(memory)} unit={memoryUnit} note={text.node(node)} />
      <Stat label={text.revision} value={store ? formatNumber(store.revision) : "–"} note={text.revisionNote} />
      <Stat
        label={`${text.store} · ${text.size}`}
        value={size === undefined ? "–" : formatNumber(size)}
        {...(sizeUnit === undefined ? {} : { unit: sizeUnit })}
        note={store && text[`engine_${store.engine}`]}
      />
      <Stat label={text.sessions} value={formatNumber(sessions)} note={text.sessionsNote} />
    </div>
  );
}
