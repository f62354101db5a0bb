/** Open watches of the registry at this member: who follows what, and the revision that it has applied. */
import { Radio } from "lucide";
import type { Watcher, WatcherList } from "#registry/api";
import { CopyAs } from "../../components/copy.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { useNamespace, useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { formatNumber } from "../../text/mod.ts";
import { upkeepText } from "./text-upkeep.ts";

export function WatchesView() {
  const text = upkeepText();
  const [namespace] = useNamespace();
  const [filter, setFilter] = useQuery("q");
  const path = `/v1/watches?namespace=${encodeURIComponent(namespace)}`;
  const list = useResource<WatcherList>(path, ["services"]);
  useRereading(list);
  return (
    <Loaded of={list} rows={3}>
      {({ watchers }) => (
        <Card
          isFlush
          title={text.watches(watchers.length)}
          actions={
            <>
              <SearchField value={filter} onInput={setFilter} />
              <CopyAs call={{ path }} />
            </>
          }
        >
          <DataTable
            label={text.topics}
            id="watches-"
            rows={watchers.filter((watcher) => matches(watcher, filter))}
            keyOf={({ id }) => id}
            initialSort="subscriber"
            columns={watchColumns()}
            empty={
              watchers.length === 0 ? (
                <EmptyState
                  icon={Radio}
                  title={text.noWatches}
                  command={cliOf("services", "watch", ...namespaceWords(namespace))}
                >
                  {text.noWatchesText}
                </EmptyState>
              ) : (
                <p class="system-note">{commonText().nothingMatches}</p>
              )
            }
          />
        </Card>
      )}
    </Loaded>
  );
}

function matches({ subscriber = "", principal, topics }: Watcher, filter: string): boolean {
  return [subscriber, principal, ...topics].some((word) => word.includes(filter));
}

/** Only a named watcher acknowledges what it has applied. */
function Seen({ watcher: { subscriber, seenRevision } }: { readonly watcher: Watcher }) {
  if (subscriber === undefined) return <span class="muted">{upkeepText().notAcknowledging}</span>;
  return <>{formatNumber(seenRevision)}</>;
}

function watchColumns(): readonly TableColumn<Watcher>[] {
  const text = upkeepText();
  return [
    {
      id: "subscriber",
      title: text.watcher,
      width: "minmax(8rem, 1.5fr)",
      isName: true,
      cell: ({ subscriber }) =>
        subscriber === undefined ? (
          <span class="muted">{text.anonymous}</span>
        ) : (
          <span class="mono" title={subscriber}>
            {subscriber}
          </span>
        ),
      sort: ({ subscriber = "" }) => subscriber,
    },
    {
      id: "topics",
      title: text.topics,
      width: "minmax(7rem, 2fr)",
      cell: ({ topics }) => (
        <span class="mono" title={topics.join(", ")}>
          {topics.join(", ")}
        </span>
      ),
    },
    {
      id: "principal",
      title: text.principal,
      width: "minmax(6rem, 1fr)",
      priority: 2,
      cell: ({ principal }) => <span title={principal}>{principal}</span>,
      sort: ({ principal }) => principal,
    },
    {
      id: "since",
      title: commonText().since,
      width: "7.5rem",
      priority: 2,
      cell: ({ since }) => <span title={formatTime(since)}>{formatAgo(since)}</span>,
      sort: ({ since }) => Date.parse(since),
    },
    {
      id: "sent",
      title: text.sent,
      width: "6rem",
      isRight: true,
      priority: 3,
      cell: ({ sentRevision }) => formatNumber(sentRevision),
      sort: ({ sentRevision }) => sentRevision,
    },
    {
      id: "seen",
      title: text.seen,
      width: "11rem",
      isRight: true,
      priority: 3,
      cell: (watcher) => <Seen watcher={watcher} />,
      sort: ({ seenRevision }) => seenRevision,
    },
  ];
}
