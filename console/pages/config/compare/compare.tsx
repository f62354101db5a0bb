/** The same app and profile in other environments: whether they differ, in what, and taking values there. */
import { Send } from "lucide";
import { useSignal } from "@preact/signals";
import type { DiffResult, SetList, SetSummary } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { cliOf } from "../../../data/commands.ts";
import { useQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { commonText } from "../../../text/common.ts";
import { setIdOf, setPathOf } from "../core/names.ts";
import { historyText } from "../history-text.ts";
import { Differences } from "../release/differences.tsx";
import type { ConfigSet } from "../use-set.ts";
import { PromoteDialog } from "./promote.tsx";

export default function CompareView({ set }: { readonly set: ConfigSet }) {
  const all = useResource<SetList>("/v1/config", ["config"]);
  return <Loaded of={all}>{({ sets }) => <Environments set={set} sets={sets} />}</Loaded>;
}

interface EnvironmentRow {
  readonly namespace: string;
  readonly summary: SetSummary | undefined;
}

/** All environments that there are; those without the set come last. */
function environmentsOf(set: ConfigSet, sets: readonly SetSummary[]): EnvironmentRow[] {
  const { app, profile, namespace: own } = set.name;
  const names = [...new Set(sets.map(({ namespace }) => namespace))].filter((namespace) => namespace !== own);
  return names
    .map((namespace) => ({
      namespace,
      summary: sets.find((one) => one.namespace === namespace && one.app === app && one.profile === profile),
    }))
    .toSorted((one, other) => Number(one.summary === undefined) - Number(other.summary === undefined));
}

function Environments({ set, sets }: { readonly set: ConfigSet; readonly sets: readonly SetSummary[] }) {
  const text = historyText();
  const rows = environmentsOf(set, sets);
  const [wanted, choose] = useQuery("with");
  const isPromoting = useSignal(false);
  const chosen = rows.find(({ namespace }) => namespace === wanted) ?? rows.find(({ summary }) => summary);
  return (
    <>
      <Card
        isFlush
        title={text.environments}
        actions={
          <Button
            icon={Send}
            needs="config:publish"
            isDisabled={!set.summary}
            aria-haspopup="dialog"
            onClick={() => (isPromoting.value = true)}
          >
            {text.promote}
          </Button>
        }
      >
        <DataTable
          id="environments."
          label={text.environments}
          rows={rows}
          keyOf={({ namespace }) => namespace}
          onChoose={({ namespace }) => choose(namespace)}
          isChosen={({ namespace }) => namespace === chosen?.namespace}
          empty={<p class="config-none muted">{text.onlyOne}</p>}
          columns={[
            {
              id: "namespace",
              title: text.environment,
              width: "minmax(7rem, 2fr)",
              isName: true,
              cell: ({ namespace }) => <span class="mono">{namespace}</span>,
              sort: ({ namespace }) => namespace,
            },
            {
              id: "state",
              title: commonText().status,
              width: "minmax(7rem, 1fr)",
              cell: ({ summary }) => <StateBadge set={set} summary={summary} />,
            },
            {
              id: "version",
              title: text.version,
              width: "4.5rem",
              isRight: true,
              cell: ({ summary }) => summary?.version ?? "–",
            },
          ]}
        />
      </Card>
      {chosen?.summary && set.summary && (
        <EnvironmentDiff key={chosen.namespace} set={set} namespace={chosen.namespace} />
      )}
      {isPromoting.value && (
        <PromoteDialog
          set={set}
          target={chosen?.namespace ?? ""}
          keys={undefined}
          onClose={() => (isPromoting.value = false)}
        />
      )}
    </>
  );
}

function StateBadge({ set, summary }: { readonly set: ConfigSet; readonly summary: SetSummary | undefined }) {
  const text = historyText();
  if (!summary) return <Badge>{text.notThere}</Badge>;
  return summary.hash === set.summary?.hash ? (
    <Badge>{text.same}</Badge>
  ) : (
    <Badge tone="accent">{text.different}</Badge>
  );
}

/** From there to here: what a promotion would change there. */
function EnvironmentDiff({ set, namespace }: { readonly set: ConfigSet; readonly namespace: string }) {
  const text = historyText();
  const chosen = useSignal<ReadonlySet<string>>(new Set());
  const isPromoting = useSignal(false);
  const there = { ...set.name, namespace };
  const path = `${setPathOf(there)}/diff?toNamespace=${encodeURIComponent(set.name.namespace)}`;
  const diff = useResource<DiffResult>(path, ["config"]);
  const toggle = (key: string) => {
    const next = new Set(chosen.value);
    if (!next.delete(key)) next.add(key);
    chosen.value = next;
  };
  return (
    <Card
      isFlush
      title={`${namespace} → ${set.name.namespace}`}
      actions={
        <>
          <CopyAs cli={cliOf("config", "diff", setIdOf(there), set.id)} call={{ path }} />
          <Button
            icon={Send}
            kind="primary"
            needs="config:publish"
            aria-haspopup="dialog"
            isDisabled={!diff.data?.differences.length}
            onClick={() => (isPromoting.value = true)}
          >
            {text.promote}
          </Button>
        </>
      }
    >
      <Loaded of={diff}>
        {({ differences }) => (
          <Differences
            of={differences}
            labels={[namespace, set.name.namespace]}
            control={({ key, after }) => (
              <div class="config-control">
                <input
                  type="checkbox"
                  aria-label={text.choose(key)}
                  // A key that does not exist here cannot be taken there by itself.
                  disabled={after === undefined}
                  checked={chosen.value.has(key)}
                  onChange={() => toggle(key)}
                />
              </div>
            )}
          />
        )}
      </Loaded>
      {isPromoting.value && (
        <PromoteDialog
          set={set}
          target={namespace}
          keys={chosen.value.size > 0 ? [...chosen.value] : undefined}
          onClose={() => (isPromoting.value = false)}
        />
      )}
    </Card>
  );
}
