/** Which gateway runs which release of the config, as the gateways acknowledge it. */
import { CircleCheck, CircleDashed, CircleX, History } from "lucide";
import type { AcknowledgementList } from "#config-server/api";
import { Badge } from "../../components/badge.tsx";
import { Card } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { DataTable } from "../../components/table.tsx";
import { useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { gatewayPath, gatewaySet } from "./data.ts";
import { editText } from "./text-edit.ts";

interface GatewayRow {
  readonly gateway: string;
  readonly version: number | undefined;
  readonly state: "applied" | "failed" | "behind" | "silent";
  readonly error: string | undefined;
  readonly at: string;
}

function rowsOf({ subscribers, silent }: AcknowledgementList, set: string): readonly GatewayRow[] {
  return [
    ...subscribers.map(({ subscriber, versions, outcome, current, error, at }): GatewayRow => ({
      gateway: subscriber,
      version: versions?.[set],
      state: current ? outcome : "behind",
      error,
      at,
    })),
    ...silent.map(({ subscriber, since }): GatewayRow => ({
      gateway: subscriber,
      version: undefined,
      state: "silent",
      error: undefined,
      at: since,
    })),
  ];
}

const LOOKS = {
  applied: ["good", CircleCheck],
  failed: ["bad", CircleX],
  behind: ["moving", History],
  silent: ["idle", CircleDashed],
} as const;

export function InForce() {
  const text = editText();
  const [namespace] = useNamespace();
  const set = gatewaySet(namespace);
  const list = useResource<AcknowledgementList>(`${gatewayPath(namespace)}/acknowledgements`, [
    `rollouts:${set}`,
    `config:${set}`,
  ]);
  // Before the first release, there is nothing to acknowledge.
  if (list.problem?.code === "CONFIG_SET_NOT_FOUND") return null;
  return (
    <Card isFlush title={text.inForce}>
      <Loaded of={list} rows={2}>
        {(known) => <GatewayTable rows={rowsOf(known, set)} />}
      </Loaded>
    </Card>
  );
}

function GatewayTable({ rows }: { readonly rows: readonly GatewayRow[] }) {
  const text = editText();
  return (
    <DataTable
      id="gateways-"
      label={text.gateways}
      rows={rows}
      keyOf={({ gateway }) => gateway}
      initialSort="gateway"
      empty={<p class="route-note">{text.noGateways}</p>}
      columns={[
        {
          id: "gateway",
          title: text.gateway,
          width: "minmax(8rem, 2fr)",
          isName: true,
          cell: ({ gateway }) => <span title={gateway}>{gateway}</span>,
          sort: ({ gateway }) => gateway,
        },
        {
          id: "state",
          title: commonText().status,
          width: "minmax(7rem, 1fr)",
          cell: ({ state, error }) => {
            const [tone, icon] = LOOKS[state];
            return (
              <Badge tone={tone} icon={icon} {...(error === undefined ? {} : { title: error })}>
                {text[state]}
              </Badge>
            );
          },
          sort: ({ state }) => state,
        },
        {
          id: "version",
          title: text.version,
          width: "5rem",
          isRight: true,
          priority: 2,
          cell: ({ version }) => version ?? <span class="muted">–</span>,
          sort: ({ version }) => version ?? 0,
        },
        {
          id: "at",
          title: text.at,
          width: "8rem",
          priority: 2,
          cell: ({ at }) => <span title={formatTime(at)}>{formatAgo(at)}</span>,
          sort: ({ at }) => Date.parse(at),
        },
      ]}
    />
  );
}
