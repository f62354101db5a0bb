/** The locks of a namespace, as a table with a tree of their names above. */
import { Lock } from "lucide";
import type { LockSummary } from "#locks/api";
import { CopyAs } from "../../components/copy.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card, PageHeader } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace, useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { formatNumber } from "../../text/mod.ts";
import { type AllLocks, LOCKS_READ_MAX, readLocks } from "./lock-list.ts";
import { LockBadge, lockStateName } from "./state.tsx";
import { locksText } from "./text.ts";
import { NameTree } from "./tree-bar.tsx";

export function LockListView() {
  const text = locksText();
  const [namespace] = useNamespace();
  const [prefix, setPrefix] = useQuery("prefix");
  const [filter, setFilter] = useQuery("q");
  const path = `/v1/locks?namespace=${encodeURIComponent(namespace)}${prefix === "" ? "" : `&prefix=${encodeURIComponent(prefix)}`}`;
  const locks = useResource<AllLocks>(path, ["locks"], readLocks);
  const cli = cliOf("locks", "ls", ...namespaceWords(namespace), ...(prefix === "" ? [] : ["--prefix", prefix]));
  return (
    <>
      <PageHeader title={text.title} subtitle={text.subtitle}>
        <CopyAs cli={cli} call={{ path }} />
      </PageHeader>
      <Loaded of={locks}>
        {(all) => (
          <Card
            isFlush
            title={text.lockCount(all.locks.length)}
            actions={<SearchField value={filter} onInput={setFilter} />}
          >
            <NameTree names={all.locks.map(({ name }) => name)} prefix={prefix} onPrefix={setPrefix} />
            <LockTable locks={all.locks} filter={filter} isWhole={prefix === ""} />
            {all.isCut && <p class="lock-note">{text.tooMany(LOCKS_READ_MAX)}</p>}
          </Card>
        )}
      </Loaded>
    </>
  );
}

interface LockTableProps {
  readonly locks: readonly LockSummary[];
  readonly filter: string;
  /** Whether the list has all locks of the namespace. */
  readonly isWhole: boolean;
}

function LockTable({ locks, filter, isWhole }: LockTableProps) {
  const text = locksText();
  const wanted = filter.toLowerCase();
  const rows = locks.filter(({ name, holder }) =>
    [name, holder?.value ?? "", holder?.session ?? ""].some((part) => part.toLowerCase().includes(wanted)),
  );
  return (
    <DataTable
      label={text.title}
      rows={rows}
      keyOf={({ name }) => name}
      hrefOf={({ name }) => linkTo(`/locks/${encodeURIComponent(name)}`)}
      initialSort="name"
      columns={lockColumns()}
      empty={
        locks.length === 0 && isWhole ? (
          <EmptyState
            icon={Lock}
            title={text.emptyTitle}
            command={`posthouse lock nightly/backup -- sh -c 'echo "the lock is ours"; sleep 60'`}
          >
            {text.emptyText}
          </EmptyState>
        ) : (
          <p class="lock-note">{commonText().nothingMatches}</p>
        )
      }
    />
  );
}

function lockColumns(): readonly TableColumn<LockSummary>[] {
  const text = locksText();
  return [
    {
      id: "name",
      title: commonText().name,
      width: "minmax(9rem, 2fr)",
      isName: true,
      cell: ({ name }) => (
        <span class="mono" title={name}>
          {name}
        </span>
      ),
      sort: ({ name }) => name,
    },
    {
      id: "state",
      title: commonText().status,
      width: "6.5rem",
      cell: (lock) => <LockBadge lock={lock} />,
      sort: (lock) => lockStateName(lock),
    },
    {
      id: "holder",
      title: text.holder,
      width: "minmax(8rem, 1.5fr)",
      priority: 2,
      cell: ({ holder }) =>
        holder && (
          <span class="mono" title={holder.value ?? holder.session}>
            {holder.value ?? holder.session}
          </span>
        ),
      sort: ({ holder }) => holder?.value ?? holder?.session ?? "",
    },
    {
      id: "waiting",
      title: text.waiting,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: ({ waiting }) => (waiting === 0 ? <span class="muted">–</span> : formatNumber(waiting)),
      sort: ({ waiting }) => waiting,
    },
    {
      id: "since",
      title: text.since,
      width: "8rem",
      priority: 2,
      cell: ({ holder, delayedUntil }) =>
        holder ? (
          <span title={formatTime(holder.since)}>{formatAgo(holder.since)}</span>
        ) : (
          delayedUntil !== undefined && <span class="muted">{formatAgo(delayedUntil)}</span>
        ),
      sort: ({ holder }) => (holder ? Date.parse(holder.since) : 0),
    },
    {
      id: "token",
      title: text.token,
      width: "8rem",
      isRight: true,
      priority: 3,
      cell: ({ holder }) => holder && <span class="mono">{holder.token}</span>,
      sort: ({ holder }) => holder?.token ?? 0,
    },
  ];
}
