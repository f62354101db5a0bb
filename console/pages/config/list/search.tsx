/** Where a text occurs in live keys and values, in all environments. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { SearchResult } from "#config-server/api";
import { CopyAs } from "../../../components/copy.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { cliOf } from "../../../data/commands.ts";
import { linkTo } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { commonText } from "../../../text/common.ts";
import { setIdOf, setPageOf } from "../core/names.ts";
import { configText } from "../text.ts";

type Hit = SearchResult["hits"][number];

/** Milliseconds of a pause in typing after which the search begins. */
const PAUSE_MS = 250;

export function ConfigSearch({ text: wanted }: { readonly text: string }) {
  const text = configText();
  const settled = useSignal(wanted);
  useEffect(() => {
    const timer = setTimeout(() => (settled.value = wanted), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [wanted]);
  const path = `/v1/config-search?${new URLSearchParams({ text: settled.value.slice(0, 256) })}`;
  const result = useResource<SearchResult>(path, ["config"]);
  return (
    <Card
      isFlush
      title={result.data ? text.found(result.data.hits.length, result.data.more) : text.search}
      actions={<CopyAs cli={cliOf("config", "search", settled.value)} call={{ path }} />}
    >
      <Loaded of={result} rows={3}>
        {({ hits }) => (
          <DataTable
            id="search."
            label={text.search}
            rows={hits}
            keyOf={(hit) => `${setIdOf(hit)}/${hit.key}:${hit.line}`}
            hrefOf={(hit) => linkTo(setPageOf(hit), { key: hit.key })}
            empty={<p class="config-none muted">{commonText().nothingMatches}</p>}
            columns={[
              {
                id: "set",
                title: text.set,
                width: "minmax(9rem, 1.2fr)",
                isName: true,
                cell: (hit) => <span title={setIdOf(hit)}>{setIdOf(hit)}</span>,
                sort: setIdOf,
              },
              { id: "key", title: text.key, width: "minmax(6rem, 1fr)", cell: ({ key }) => <code>{key}</code> },
              {
                id: "line",
                title: text.line,
                width: "3rem",
                isRight: true,
                priority: 2,
                cell: ({ line }) => line || "–",
              },
              {
                id: "text",
                title: text.match,
                width: "minmax(8rem, 3fr)",
                cell: (hit) => <Found hit={hit} wanted={settled.value} />,
              },
            ]}
          />
        )}
      </Loaded>
    </Card>
  );
}

/** The line with the wanted text marked. */
function Found({ hit, wanted }: { readonly hit: Hit; readonly wanted: string }) {
  const line = hit.line === 0 ? hit.key : hit.text.trim();
  const at = line.toLowerCase().indexOf(wanted.toLowerCase());
  if (at < 0) return <code>{line}</code>;
  const end = at + wanted.length;
  // The start of a long line is left out, so that the match is visible.
  const from = at > 40 ? at - 20 : 0;
  return (
    <code title={line}>
      {from > 0 && "…"}
      {line.slice(from, at)}
      <mark>{line.slice(at, end)}</mark>
      {line.slice(end)}
    </code>
  );
}
