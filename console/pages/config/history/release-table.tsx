/** The releases of a set with their authors, reasons and origins. */
import { Undo2 } from "lucide";
import { useSignal } from "@preact/signals";
import type { ReleaseSummary } from "#config-server/api";
import { Badge, type Tone } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { DataTable } from "../../../components/table.tsx";
import { setQuery, useQuery } from "../../../data/location.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { commonText } from "../../../text/common.ts";
import { historyText } from "../history-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { RollbackDialog } from "./rollback.tsx";

interface ReleaseTableProps {
  readonly set: ConfigSet;
  readonly releases: readonly ReleaseSummary[];
}

export function ReleaseTable({ set, releases }: ReleaseTableProps) {
  const text = historyText();
  const target = useSignal<number | undefined>(undefined);
  const [shown] = useQuery("b");
  const live = set.summary?.version;
  return (
    <>
      <DataTable
        label={text.releases}
        rows={releases}
        keyOf={({ version }) => String(version)}
        onChoose={({ version }) => setQuery({ a: "", b: String(version) })}
        isChosen={({ version }) => version === (Number(shown) || live)}
        columns={[
          { id: "version", title: text.version, width: "4rem", isName: true, cell: ({ version }) => version },
          {
            id: "reason",
            title: text.reason,
            width: "minmax(10rem, 3fr)",
            cell: (release) => <ReasonCell release={release} isLive={release.version === live} />,
          },
          {
            id: "author",
            title: text.author,
            width: "minmax(5rem, 0.7fr)",
            priority: 2,
            cell: ({ author }) => <span title={author}>{author}</span>,
          },
          {
            id: "at",
            title: text.when,
            width: "7.5rem",
            priority: 2,
            cell: ({ createdAt }) => <span title={formatTime(createdAt)}>{formatAgo(createdAt)}</span>,
          },
          {
            id: "actions",
            title: commonText().actions,
            width: "2.5rem",
            isRight: true,
            cell: ({ version }) =>
              version !== live && (
                <Button
                  kind="quiet"
                  isSmall
                  icon={Undo2}
                  needs="config:publish"
                  label={text.rollbackTo(version)}
                  onClick={(event) => {
                    event.stopPropagation();
                    target.value = version;
                  }}
                />
              ),
          },
        ]}
      />
      {target.value !== undefined && (
        <RollbackDialog set={set} version={target.value} onClose={() => (target.value = undefined)} />
      )}
    </>
  );
}

const ROLLOUT_TONES: Readonly<Record<NonNullable<ReleaseSummary["rollout"]>, Tone>> = {
  running: "moving",
  paused: "warn",
  completed: "idle",
  rolledBack: "bad",
  superseded: "idle",
};

function ReasonCell({ release, isLive }: { readonly release: ReleaseSummary; readonly isLive: boolean }) {
  const text = historyText();
  const { reason, rollbackOf, emergency, rollout, approvedBy = [], promotedFrom, source } = release;
  return (
    <span class="config-key">
      {isLive && <Badge tone="accent">{text.live}</Badge>}
      {emergency && <Badge tone="warn">{text.emergency}</Badge>}
      {rollbackOf !== undefined && <Badge>{text.rollbackOf(rollbackOf)}</Badge>}
      {rollout && <Badge tone={ROLLOUT_TONES[rollout]}>{text[`rolledOut_${rollout}`]}</Badge>}
      <span class={reason === "" ? "muted truncate" : "truncate"} title={reason}>
        {reason || text.noReason}
      </span>
      {approvedBy.length > 0 && <span class="muted">{text.approvedBy(approvedBy.join(", "))}</span>}
      {promotedFrom !== undefined && <span class="muted">{text.promotedFrom(promotedFrom)}</span>}
      {source && <code class="muted">{text.source(source.name, source.commit.slice(0, 8))}</code>}
    </span>
  );
}
