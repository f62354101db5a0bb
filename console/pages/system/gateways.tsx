/** The gateways of a namespace: the release that each one runs, and what it said about it. */
import { CircleAlert, CircleCheck, CircleDashed, CircleX, Waypoints } from "lucide";
import type { AcknowledgementList } from "#config-server/api";
import { Badge, type Tone } from "../../components/badge.tsx";
import { CopyAs } from "../../components/copy.tsx";
import type { IconNode } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { type GatewayRow, gatewayRows, type GatewayState } from "./core.ts";
import { acknowledgementsPath } from "./state.tsx";
import { systemText } from "./text.ts";

const STATES: Readonly<Record<GatewayState, readonly [Tone, IconNode]>> = {
  current: ["good", CircleCheck],
  behind: ["warn", CircleAlert],
  failed: ["bad", CircleX],
  silent: ["idle", CircleDashed],
};

export function GatewaysView() {
  const text = systemText();
  const [namespace] = useNamespace();
  const path = acknowledgementsPath(namespace);
  const list = useResource<AcknowledgementList>(path, ["rollouts", "config"]);
  return (
    <Loaded of={list} rows={3}>
      {(acknowledgements) => (
        <Card
          isFlush
          title={text.view_gateways}
          actions={<CopyAs cli={cliOf("gateways", ...namespaceWords(namespace))} call={{ path }} />}
        >
          <DataTable
            label={text.view_gateways}
            id="gateways-"
            rows={gatewayRows(acknowledgements, namespace)}
            keyOf={({ name }) => name}
            initialSort="name"
            columns={gatewayColumns()}
            empty={
              <EmptyState
                icon={Waypoints}
                title={text.noGateways}
                command="posthouse up --roles gateway --control-urls http://127.0.0.1:8500"
              >
                {text.noGatewaysText}
              </EmptyState>
            }
          />
        </Card>
      )}
    </Loaded>
  );
}

function StateBadge({ state }: { readonly state: GatewayState }) {
  const [tone, icon] = STATES[state];
  return (
    <Badge tone={tone} icon={icon}>
      {systemText()[`gateway_${state}`]}
    </Badge>
  );
}

function gatewayColumns(): readonly TableColumn<GatewayRow>[] {
  const text = systemText();
  return [
    {
      id: "name",
      title: text.gateway,
      width: "minmax(9rem, 1.5fr)",
      isName: true,
      cell: ({ name }) => (
        <span class="mono" title={name}>
          {name}
        </span>
      ),
      sort: ({ name }) => name,
    },
    {
      id: "state",
      title: text.state,
      width: "8rem",
      cell: ({ state }) => <StateBadge state={state} />,
      sort: ({ state }) => state,
    },
    {
      id: "release",
      title: text.release,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: ({ version }) => (version === undefined ? <span class="muted">–</span> : version),
      sort: ({ version = 0 }) => version,
    },
    {
      id: "connected",
      title: text.connected,
      width: "6rem",
      priority: 2,
      cell: ({ isConnected }) => (isConnected ? text.yes : <span class="muted">{text.no}</span>),
      sort: ({ isConnected }) => Number(isConnected),
    },
    {
      id: "at",
      title: text.acknowledged,
      width: "8rem",
      priority: 2,
      cell: ({ at, state }) =>
        state === "silent" ? <span class="muted">–</span> : <span title={formatTime(at)}>{formatAgo(at)}</span>,
      sort: ({ at }) => Date.parse(at),
    },
    {
      id: "error",
      title: text.error,
      width: "minmax(8rem, 2fr)",
      priority: 3,
      cell: ({ error }) => error !== undefined && <span title={error}>{error}</span>,
    },
  ];
}
