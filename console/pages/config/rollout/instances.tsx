/** The instances of a running rollout: what each one did with the new release, and whether it is well. */
import { CircleAlert, CircleCheck, CircleDashed, CircleX, LogOut } from "lucide";
import type { RolloutInstance, RolloutView } from "#config-server/api";
import { Badge, type Tone } from "../../../components/badge.tsx";
import type { IconNode } from "../../../components/icon.tsx";
import { Card } from "../../../components/layout.tsx";
import { DataTable, type TableColumn } from "../../../components/table.tsx";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { rolloutText } from "../rollout-text.ts";

type InstanceState = "failed" | "waiting" | "applied" | "goneAway" | "notReached";

const STATES: Readonly<Record<InstanceState, readonly [Tone, IconNode]>> = {
  failed: ["bad", CircleX],
  waiting: ["moving", CircleAlert],
  applied: ["good", CircleCheck],
  goneAway: ["idle", LogOut],
  notReached: ["idle", CircleDashed],
};

function stateOf({ reached, present, outcome }: RolloutInstance): InstanceState {
  if (!reached) return "notReached";
  return outcome ?? (present ? "waiting" : "goneAway");
}

export function RolloutInstances({ rollout }: { readonly rollout: RolloutView }) {
  const text = rolloutText();
  const { instances = [] } = rollout;
  return (
    <Card
      isFlush
      title={
        <>
          {text.instances} <span class="count">{instances.length}</span>
        </>
      }
    >
      <DataTable
        id="instances."
        label={text.instances}
        rows={instances}
        keyOf={({ instance, set = "" }) => `${set} ${instance}`}
        empty={<p class="config-none muted">{text.noInstances}</p>}
        columns={columns()}
      />
    </Card>
  );
}

function columns(): readonly TableColumn<RolloutInstance>[] {
  const text = rolloutText();
  return [
    {
      id: "instance",
      title: text.instance,
      width: "minmax(7rem, 1.5fr)",
      isName: true,
      cell: ({ instance, set }) => (
        <span title={set}>
          {instance}
          {set !== undefined && <span class="muted"> {set}</span>}
        </span>
      ),
      sort: ({ instance }) => instance,
    },
    {
      id: "state",
      title: text.instanceState,
      width: "9rem",
      cell: (instance) => <InstanceBadge instance={instance} />,
      sort: stateOf,
    },
    {
      id: "stage",
      title: text.stage,
      width: "4rem",
      isRight: true,
      priority: 2,
      cell: ({ stage }) => stage + 1,
      sort: ({ stage }) => stage,
    },
    {
      id: "health",
      title: text.health,
      width: "7.5rem",
      priority: 2,
      cell: ({ health }) => <InstanceHealth health={health} />,
      sort: ({ health = "" }) => health,
    },
    {
      id: "labels",
      title: text.labels,
      width: "minmax(6rem, 2fr)",
      priority: 3,
      cell: ({ labels, error }) =>
        error === undefined ? (
          <code class="muted">
            {Object.entries(labels)
              .map((pair) => pair.join("="))
              .join(", ")}
          </code>
        ) : (
          <span title={error}>{error}</span>
        ),
    },
    {
      id: "at",
      title: text.when,
      width: "7rem",
      isRight: true,
      priority: 3,
      cell: ({ at }) => (at === undefined ? "–" : <span title={formatTime(at)}>{formatAgo(at)}</span>),
      sort: ({ at = "" }) => at,
    },
  ];
}

function InstanceBadge({ instance }: { readonly instance: RolloutInstance }) {
  const state = stateOf(instance);
  const [tone, icon] = STATES[state];
  return (
    <Badge tone={tone} icon={icon}>
      {rolloutText()[state]}
    </Badge>
  );
}

function InstanceHealth({ health }: { readonly health: RolloutInstance["health"] }) {
  const text = rolloutText();
  if (health === undefined) return <Badge>{text.notRegistered}</Badge>;
  return (
    <Badge tone={health === "well" ? "good" : "bad"} icon={health === "well" ? CircleCheck : CircleX}>
      {text[health]}
    </Badge>
  );
}
