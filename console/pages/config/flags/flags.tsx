/** The feature flags of a set, what each one gives for a context, and the definition of the chosen one. */
import { Pencil } from "lucide";
import { useSignal } from "@preact/signals";
import type { Evaluation, FlagDefinition, FlagSetView } from "#flags/core";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { SearchField } from "../../../components/field.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { setQuery, useQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { commonText } from "../../../text/common.ts";
import { valueWords } from "../core/flag-words.ts";
import { flagsText } from "../flags-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { FlagDetail } from "./flag-detail.tsx";
import { ContextTester, useEvaluations } from "./tester.tsx";

interface FlagRow {
  readonly key: string;
  readonly flag: FlagDefinition;
  readonly evaluation: Evaluation | undefined;
}

export default function FlagsView({ set }: { readonly set: ConfigSet }) {
  const path = set.path.replace("/v1/config/", "/v1/flags/");
  const view = useResource<FlagSetView>(path, ["config"]);
  return (
    <Loaded of={view}>
      {(data) => <FlagSet key={String(data.release["releaseKey"])} set={set} path={path} view={data} />}
    </Loaded>
  );
}

interface FlagSetProps {
  readonly set: ConfigSet;
  readonly path: string;
  readonly view: FlagSetView;
}

function FlagSet({ set, path, view: { document } }: FlagSetProps) {
  const text = flagsText();
  const filter = useSignal("");
  const [chosen, choose] = useQuery("flag");
  const tester = useEvaluations(`${path}/ofrep/v1/evaluate/flags`);
  const rows = Object.entries(document.flags).map(([key, flag]): FlagRow => ({
    key,
    flag,
    evaluation: tester.evaluations.find((one) => one.key === key),
  }));
  const shown = rows.filter(({ key, flag }) =>
    `${key} ${flag.description ?? ""}`.toLowerCase().includes(filter.value.toLowerCase()),
  );
  const row = rows.find(({ key }) => key === chosen) ?? rows[0];
  const file = ["flags.yaml", "flags.json"].find((key) => set.effective.data?.items[key]) ?? "flags.yaml";
  return (
    <div class="flags">
      <div class="flags-main">
        <Card
          isFlush
          title={
            <>
              {text.flags} <span class="count">{rows.length}</span>
            </>
          }
          actions={
            <>
              <SearchField value={filter.value} onInput={(value) => (filter.value = value)} />
              <CopyAs call={{ path }} />
              <Button icon={Pencil} needs="config:draft" onClick={() => setQuery({ edit: file })}>
                {text.edit}
              </Button>
            </>
          }
        >
          <FlagTable rows={shown} all={rows.length} chosen={row?.key} onChoose={choose} />
        </Card>
        {row && (
          <FlagDetail
            key={row.key}
            name={row.key}
            flag={row.flag}
            segments={document.segments ?? {}}
            evaluation={row.evaluation}
          />
        )}
      </div>
      <ContextTester tester={tester} />
    </div>
  );
}

interface FlagTableProps {
  readonly rows: readonly FlagRow[];
  readonly all: number;
  readonly chosen: string | undefined;
  readonly onChoose: (key: string) => void;
}

function FlagTable({ rows, all, chosen, onChoose }: FlagTableProps) {
  const text = flagsText();
  return (
    <DataTable
      id="flags."
      label={text.flags}
      rows={rows}
      keyOf={({ key }) => key}
      onChoose={({ key }) => onChoose(key)}
      isChosen={({ key }) => key === chosen}
      empty={<p class="config-none muted">{all === 0 ? text.noFlags : commonText().nothingMatches}</p>}
      columns={[
        {
          id: "flag",
          title: text.flag,
          width: "minmax(7rem, 2fr)",
          isName: true,
          cell: ({ key, flag }) => (
            <span title={flag.description ?? key}>
              <code>{key}</code>
            </span>
          ),
          sort: ({ key }) => key,
        },
        {
          id: "state",
          title: text.state,
          width: "5.5rem",
          priority: 2,
          cell: ({ flag }) => <FlagState flag={flag} />,
          sort: ({ flag }) => flag.state ?? "enabled",
        },
        {
          id: "rules",
          title: text.rules,
          width: "4.5rem",
          isRight: true,
          priority: 2,
          cell: ({ flag }) => flag.rules?.length ?? 0,
          sort: ({ flag }) => flag.rules?.length ?? 0,
        },
        {
          id: "result",
          title: text.result,
          width: "minmax(8rem, 2fr)",
          cell: ({ evaluation }) => <Result of={evaluation} />,
        },
      ]}
    />
  );
}

export function FlagState({ flag }: { readonly flag: FlagDefinition }) {
  const text = flagsText();
  return flag.state === "disabled" ? <Badge>{text.disabled}</Badge> : <Badge tone="accent">{text.enabled}</Badge>;
}

function Result({ of }: { readonly of: Evaluation | undefined }) {
  const text = flagsText();
  if (!of) return <span class="muted">…</span>;
  if ("errorCode" in of) return <span title={of.errorDetails}>{text[`error_${of.errorCode}`]}</span>;
  return (
    <span title={valueWords(of.value)}>
      <code>{of.variant}</code> <span class="muted">{text[`reason_${of.reason}`]}</span>
    </span>
  );
}
