/** The releases of a set, the differences of any two, and rolling back. */
import { ArrowLeftRight, Undo2 } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { DiffResult, ReleaseList, ReleaseSummary } from "#config-server/api";
import { Button } from "../../../components/button.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { SelectField } from "../../../components/field.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { ApiProblem, readApi } from "../../../data/api.ts";
import { cliOf } from "../../../data/commands.ts";
import { setQuery, useQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { historyText } from "../history-text.ts";
import { Differences } from "../release/differences.tsx";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { ReleaseTable } from "./release-table.tsx";
import { RollbackDialog } from "./rollback.tsx";

/** Releases of one page. */
const PAGE = 50;

export default function HistoryView({ set }: { readonly set: ConfigSet }) {
  const text = historyText();
  const newest = useResource<ReleaseList>(`${set.path}/releases?limit=${PAGE}`, ["config", "rollouts"]);
  const older = useOlder(set, newest.data);
  const releases = [...(newest.data?.releases ?? []), ...older.releases];
  return (
    <Loaded of={newest}>
      {() => (
        <>
          <Card
            isFlush
            title={text.releases}
            actions={<CopyAs cli={cliOf("config", "history", set.id)} call={{ path: `${set.path}/releases` }} />}
          >
            <div class="config-releases">
              <ReleaseTable set={set} releases={releases} />
              {older.more && (
                <div class="config-none">
                  <Button onClick={() => void older.load()}>{text.older}</Button>
                </div>
              )}
            </div>
          </Card>
          <Comparison set={set} releases={releases} />
        </>
      )}
    </Loaded>
  );
}

/** Pages after the first, which are only read when asked for. */
function useOlder(set: ConfigSet, first: ReleaseList | undefined) {
  const pages = useSignal<readonly ReleaseList[]>([]);
  const before = (pages.value.at(-1) ?? first)?.before;
  // Releases that have moved from the first page into a later one would be shown twice.
  const last = first?.releases.at(-1)?.version ?? 0;
  useEffect(() => {
    pages.value = [];
  }, [last]);
  return {
    releases: pages.value.flatMap(({ releases }) => releases),
    more: before !== undefined,
    load: async () => {
      try {
        const next = await readApi<ReleaseList>(`${set.path}/releases?limit=${PAGE}&before=${before}`);
        pages.value = [...pages.value, next];
      } catch (error) {
        if (!(error instanceof ApiProblem)) throw error;
      }
    },
  };
}

interface ComparisonProps {
  readonly set: ConfigSet;
  readonly releases: readonly ReleaseSummary[];
}

/** A and B are in the URL; first they are the live version and the one before. */
function Comparison({ set, releases }: ComparisonProps) {
  const text = historyText();
  const [chosenA] = useQuery("a");
  const [chosenB] = useQuery("b");
  const isRollingBack = useSignal(false);
  const versions = releases.map(({ version }) => version);
  const b = Number(chosenB) || (set.summary?.version ?? versions[0] ?? 0);
  const a = Number(chosenA) || (versions.find((version) => version < b) ?? 0);
  const diff = useResource<DiffResult>(a > 0 && a !== b ? `${set.path}/diff?from=${a}&to=${b}` : undefined);
  const options = [...new Set([...versions, a, b])]
    .filter((version) => version > 0)
    .map((version) => optionOf(set, version));
  if (versions.length === 0) return null;
  const live = set.summary?.version;
  return (
    <Card
      title={text.compare}
      actions={
        <>
          <CopyAs
            cli={cliOf("config", "diff", set.id, "--from", String(a), "--to", String(b))}
            call={{ path: `${set.path}/diff?from=${a}&to=${b}` }}
          />
          {live !== undefined && b !== live && (
            <Button
              icon={Undo2}
              needs="config:publish"
              aria-haspopup="dialog"
              onClick={() => (isRollingBack.value = true)}
            >
              {text.rollbackTo(b)}
            </Button>
          )}
        </>
      }
    >
      <Pickers a={a} b={b} options={options} />
      {a === 0 ? (
        <p class="muted">{text.first}</p>
      ) : a === b ? (
        <p class="muted">{text.beforeFirst}</p>
      ) : (
        <Loaded of={diff} rows={3}>
          {({ differences }) => (
            <Differences of={differences} labels={[setText().versionSide(a), setText().versionSide(b)]} />
          )}
        </Loaded>
      )}
      {isRollingBack.value && <RollbackDialog set={set} version={b} onClose={() => (isRollingBack.value = false)} />}
    </Card>
  );
}

interface PickersProps {
  readonly a: number;
  readonly b: number;
  readonly options: readonly (readonly [string, string])[];
}

function Pickers({ a, b, options }: PickersProps) {
  const text = historyText();
  return (
    <div class="config-pickers">
      <SelectField
        label={text.from}
        value={String(a)}
        options={options}
        onChange={(next) => setQuery({ a: next, b: String(b) })}
      />
      <Button
        kind="quiet"
        icon={ArrowLeftRight}
        label={text.swap}
        isDisabled={a === 0}
        onClick={() => setQuery({ a: String(b), b: String(a) })}
      />
      <SelectField
        label={text.to}
        value={String(b)}
        options={options}
        onChange={(next) => setQuery({ a: String(a), b: next })}
      />
    </div>
  );
}

function optionOf(set: ConfigSet, version: number): readonly [string, string] {
  const word = setText().versionSide(version);
  return [String(version), version === set.summary?.version ? `${word} · ${historyText().live}` : word];
}
