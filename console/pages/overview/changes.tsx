/** Recent changes, by what they are about. */
import { useSignal } from "@preact/signals";
import type { Change } from "#timeline/api";
import { Button } from "../../components/button.tsx";
import { ChangeList } from "../../components/change-list.tsx";
import { Segmented } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { useQuery } from "../../data/location.ts";
import { overviewText } from "./text.ts";

export type ChangeGroup = "releases" | "instances" | "others";

export function changeGroup({ kind }: Change): ChangeGroup {
  if (kind.startsWith("config-") || kind.startsWith("rollout-")) return "releases";
  return kind.startsWith("instance-") ? "instances" : "others";
}

/** Changes shown at first, and with each step. */
const STEP = 12;

export function RecentChanges({ changes }: { readonly changes: readonly Change[] }) {
  const text = overviewText();
  const [group, setGroup] = useQuery("changes", "all");
  const most = useSignal(STEP);
  const chosen = changes.filter((change) => group === "all" || changeGroup(change) === group);
  return (
    <Card
      isFlush
      title={text.changes}
      actions={
        <Segmented
          label={text.changes}
          value={group}
          options={[
            ["all", text.changesAll],
            ["releases", text.changesReleases],
            ["instances", text.changesInstances],
            ["others", text.changesOthers],
          ]}
          onChange={setGroup}
        />
      }
    >
      {chosen.length === 0 ? (
        <p class="more muted">{text.noChanges}</p>
      ) : (
        <ChangeList changes={chosen.slice(0, most.value)} />
      )}
      {chosen.length > most.value && (
        <div class="more">
          <Button isSmall onClick={() => (most.value += STEP)}>
            {text.olderChanges}
          </Button>
        </div>
      )}
    </Card>
  );
}
