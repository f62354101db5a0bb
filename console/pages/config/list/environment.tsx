/** The sets of one environment, and its rules. */
import { Eye, Settings2 } from "lucide";
import { useSignal } from "@preact/signals";
import type { Rules, SetSummary } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { Card } from "../../../components/layout.tsx";
import { DataTable, type TableColumn } from "../../../components/table.tsx";
import { linkTo } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { setIdOf, setPageOf } from "../core/names.ts";
import { configText } from "../text.ts";
import { RulesDialog } from "./rules-dialog.tsx";

interface EnvironmentProps {
  readonly namespace: string;
  readonly sets: readonly SetSummary[];
}

export function Environment({ namespace, sets }: EnvironmentProps) {
  const text = configText();
  const rules = useResource<Rules>(`/v1/config/${encodeURIComponent(namespace)}/rules`, ["config"]);
  const isEditing = useSignal(false);
  const isRolling = sets.some(({ rollout }) => rollout !== undefined);
  return (
    <Card
      isFlush
      title={<EnvironmentTitle namespace={namespace} count={sets.length} />}
      actions={
        <>
          {rules.data?.review === "required" && (
            <Badge tone="accent" icon={Eye}>
              {text.reviewRequired}
            </Badge>
          )}
          <Button
            kind="quiet"
            isSmall
            icon={Settings2}
            aria-haspopup="dialog"
            onClick={() => (isEditing.value = true)}
            label={text.rulesOf(namespace)}
          >
            {text.rules}
          </Button>
        </>
      }
    >
      <DataTable
        id={`${namespace}.`}
        label={namespace}
        rows={sets}
        keyOf={setIdOf}
        hrefOf={(set) => linkTo(setPageOf(set))}
        initialSort="app"
        columns={[
          {
            id: "app",
            title: text.app,
            width: "minmax(8rem, 2fr)",
            isName: true,
            cell: ({ app }) => <span title={app}>{app}</span>,
            sort: ({ app, profile }) => `${app} ${profile}`,
          },
          {
            id: "profile",
            title: text.profile,
            width: "minmax(5rem, 1fr)",
            cell: ({ profile }) => <span title={profile}>{profile}</span>,
            sort: ({ profile }) => profile,
          },
          ...(isRolling ? [rolloutColumn()] : []),
          {
            id: "version",
            title: text.version,
            width: "4.5rem",
            isRight: true,
            cell: ({ version }) => version,
            sort: ({ version }) => version,
          },
        ]}
      />
      {isEditing.value && <RulesDialog namespace={namespace} onClose={() => (isEditing.value = false)} />}
    </Card>
  );
}

function EnvironmentTitle({ namespace, count }: { readonly namespace: string; readonly count: number }) {
  return (
    <span class="config-environment">
      <span class="mono">{namespace}</span> <span class="count">{count}</span>
    </span>
  );
}

/** Only where there is a rollout: an empty column says nothing. */
function rolloutColumn(): TableColumn<SetSummary> {
  const text = configText();
  return {
    id: "rollout",
    title: text.rollout,
    width: "minmax(8rem, 1fr)",
    priority: 2,
    cell: ({ rollout }) => rollout !== undefined && <Badge tone="moving">{text.rolloutOf(rollout)}</Badge>,
    sort: ({ rollout = 0 }) => -rollout,
  };
}
