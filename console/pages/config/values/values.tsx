/** The effective config of a set: its keys, and the value of the chosen one. */
import { FilePen, KeyRound } from "lucide";
import { useSignal } from "@preact/signals";
import type { Draft, EffectiveConfig } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { SearchField } from "../../../components/field.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { useQuery } from "../../../data/location.ts";
import { commonText } from "../../../text/common.ts";
import { type Origin, originOf } from "../core/origin.ts";
import { setText } from "../set-text.ts";
import { type ConfigSet, isAbsent } from "../use-set.ts";
import { useOwnDrafts } from "../use-drafts.ts";
import { ValueCard } from "./value-card.tsx";

interface KeyRow {
  readonly key: string;
  readonly item: EffectiveConfig["items"][string];
  readonly origin: Origin;
  readonly draft: Draft | undefined;
}

export function ValuesView({ set }: { readonly set: ConfigSet }) {
  const text = setText();
  const filter = useSignal("");
  const [chosen, choose] = useQuery("key");
  const drafts = useOwnDrafts(set);
  const rows = rowsOf(set, set.effective.data, drafts);
  const shown = rows.filter(({ key }) => key.toLowerCase().includes(filter.value.toLowerCase()));
  const row = rows.find(({ key }) => key === chosen) ?? (chosen === "" ? rows[0] : undefined);
  const shownProblem = isAbsent(set.effective.problem) ? undefined : set.effective.problem;
  return (
    <div class="config-values">
      <Card
        isFlush
        title={
          <>
            {text.keys} <span class="count">{rows.length}</span>
          </>
        }
        actions={<SearchField value={filter.value} onInput={(value) => (filter.value = value)} />}
      >
        <Loaded of={{ ...set.effective, problem: shownProblem }}>
          {() => (
            <DataTable
              label={text.keys}
              rows={shown}
              keyOf={({ key }) => key}
              onChoose={({ key }) => choose(key)}
              isChosen={({ key }) => key === row?.key}
              initialSort="key"
              empty={<p class="config-none muted">{commonText().nothingMatches}</p>}
              columns={[
                {
                  id: "key",
                  title: text.key,
                  width: "minmax(6rem, 1fr)",
                  isName: true,
                  cell: (one) => <KeyCell row={one} />,
                  sort: ({ key }) => key,
                },
                {
                  id: "origin",
                  title: text.origin,
                  width: "minmax(4rem, max-content)",
                  cell: ({ origin }) => <span class="muted">{originWord(origin)}</span>,
                  sort: ({ origin }) => originWord(origin),
                },
              ]}
            />
          )}
        </Loaded>
      </Card>
      {row ? (
        <ValueCard key={row.key} set={set} name={row.key} item={row.item} origin={row.origin} draft={row.draft} />
      ) : (
        <p class="config-none muted">{chosen === "" ? text.chooseKey : text.keyMissing(chosen)}</p>
      )}
    </div>
  );
}

function KeyCell({ row: { key, item, draft } }: { readonly row: KeyRow }) {
  const text = setText();
  return (
    <span class="config-key" title={key}>
      <code class="truncate">{key}</code>
      {item.secret && (
        <Badge icon={KeyRound} title={text.secret}>
          {text.secret}
        </Badge>
      )}
      {draft && (
        <Badge tone="accent" icon={FilePen}>
          {draft.item ? text.drafted : text.removed}
        </Badge>
      )}
    </span>
  );
}

function originWord({ kind, set }: Origin): string {
  const text = setText();
  if (kind === "import") return set.app;
  return kind === "label" ? set.profile : text[`origin_${kind}`];
}

function rowsOf(set: ConfigSet, config: EffectiveConfig | undefined, drafts: readonly Draft[]): KeyRow[] {
  return Object.entries(config?.items ?? {}).map(([key, item]) => ({
    key,
    item,
    origin: originOf(set.name, item),
    draft: drafts.find((one) => one.key === key),
  }));
}
