/** Rollouts that ended, and why. */
import type { RolloutList } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { useResource } from "../../../data/resource.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { rolloutText } from "../rollout-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { STATE_TONES } from "./tones.ts";

export function PastRollouts({ set }: { readonly set: ConfigSet }) {
  const text = rolloutText();
  const list = useResource<RolloutList>(`${set.path}/rollouts`, ["rollouts"]);
  return (
    <Card isFlush title={text.past}>
      <Loaded of={list} rows={3}>
        {({ rollouts }) => (
          <DataTable
            id="past."
            label={text.past}
            rows={rollouts.filter(({ endedAt }) => endedAt !== undefined)}
            keyOf={({ version }) => String(version)}
            empty={<p class="config-none muted">{text.noPast}</p>}
            columns={[
              { id: "version", title: text.version, width: "3.5rem", isName: true, cell: ({ version }) => version },
              {
                id: "state",
                title: text.outcome,
                width: "7rem",
                cell: ({ state }) => <Badge tone={STATE_TONES[state]}>{text[`state_${state}`]}</Badge>,
              },
              {
                id: "because",
                title: text.because,
                width: "minmax(5rem, 3fr)",
                cell: ({ because = "", by }) => (
                  <span title={because}>
                    {because} <span class="muted">{by === undefined ? text.automatic : text.by(by)}</span>
                  </span>
                ),
              },
              {
                id: "ended",
                title: text.ended,
                width: "7rem",
                isRight: true,
                priority: 2,
                cell: ({ endedAt = "" }) => <span title={formatTime(endedAt)}>{formatAgo(endedAt)}</span>,
              },
            ]}
          />
        )}
      </Loaded>
    </Card>
  );
}
