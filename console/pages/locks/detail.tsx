/** One lock: its holder, its queue, and how it was last broken. */
import { Hourglass, LockOpen, Unlink } from "lucide";
import { useSignal } from "@preact/signals";
import type { Lock, LockHolder, LockWaiter } from "#locks/api";
import { Button } from "../../components/button.tsx";
import { CopyAs, CopyButton } from "../../components/copy.tsx";
import { Card, Facts, PageHeader } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { BreakLock } from "./break.tsx";
import { LockBadge } from "./state.tsx";
import { stepsOf } from "./tree.ts";
import { locksText } from "./text.ts";

export function LockView({ name }: { readonly name: string }) {
  const text = locksText();
  const [namespace] = useNamespace();
  const isBreaking = useSignal(false);
  const path = pathOf`/v1/locks/${name}?namespace=${namespace}`;
  const lock = useResource<Lock>(path, [`locks:${namespace}/${name}`]);
  const holder = lock.data?.holder;
  const crumbs = stepsOf(name.includes("/") ? name.slice(0, name.lastIndexOf("/") + 1) : "");
  return (
    <>
      <PageHeader
        title={<span class="mono">{name}</span>}
        crumbs={[
          [text.title, linkTo("/locks")],
          ...crumbs.map((step) => [step.name, linkTo("/locks", { prefix: step.prefix })] as const),
        ]}
        badge={lock.data && <LockBadge lock={lock.data} />}
      >
        <CopyAs cli={cliOf("locks", "ls", "--prefix", name, ...namespaceWords(namespace))} call={{ path }} />
        <Button
          kind="danger"
          icon={Unlink}
          needs="locks:break"
          isDisabled={!holder}
          onClick={() => (isBreaking.value = true)}
        >
          {text.break}
        </Button>
      </PageHeader>
      <Loaded of={lock} rows={4}>
        {(one) => <LockParts lock={one} />}
      </Loaded>
      {isBreaking.value && holder && (
        <BreakLock
          lock={{ namespace, name }}
          delaySeconds={holder.lockDelaySeconds}
          onClose={() => (isBreaking.value = false)}
          onDone={lock.reload}
        />
      )}
    </>
  );
}

function LockParts({ lock }: { readonly lock: Lock }) {
  const text = locksText();
  const { holder, waiters, waiting, broken, delayedUntil } = lock;
  return (
    <>
      <div class="grid">
        {holder ? (
          <HolderCard holder={holder} />
        ) : (
          <Card isFlush>
            {delayedUntil === undefined ? (
              <EmptyState icon={LockOpen} title={text.unheldTitle}>
                {waiting === 0 ? text.unheldText : text.unheldQueue}
              </EmptyState>
            ) : (
              <EmptyState icon={Hourglass} title={text.delayed}>
                {text.delayedUntil(formatAgo(delayedUntil))}
              </EmptyState>
            )}
          </Card>
        )}
        {broken && (
          <Card title={text.brokenTitle}>
            <Facts
              of={[
                [text.brokenBy, broken.by],
                [text.brokenAt, `${formatTime(broken.at)} (${formatAgo(broken.at)})`],
                [commonText().reason, broken.reason],
                [text.brokenFrom, <span class="mono">{broken.session}</span>],
              ]}
            />
          </Card>
        )}
      </div>
      <QueueCard waiters={waiters} waiting={waiting} />
    </>
  );
}

function HolderCard({ holder }: { readonly holder: LockHolder }) {
  const text = locksText();
  return (
    <Card title={text.holder}>
      <Facts
        of={[
          ...(holder.value === undefined ? [] : [[text.value, <span class="mono">{holder.value}</span>] as const]),
          [text.session, <span class="mono">{holder.session}</span>],
          [text.since, `${formatTime(holder.since)} (${formatAgo(holder.since)})`],
          [
            text.token,
            <span class="with-note">
              <span class="mono">{holder.token}</span>
              <CopyButton text={String(holder.token)} />
              <span class="muted">{text.tokenHint}</span>
            </span>,
          ],
          [
            text.delay,
            <span class="with-note">
              {text.seconds(holder.lockDelaySeconds)} <span class="muted">{text.delayHint}</span>
            </span>,
          ],
        ]}
      />
    </Card>
  );
}

function QueueCard({ waiters, waiting }: { readonly waiters: readonly LockWaiter[]; readonly waiting: number }) {
  const text = locksText();
  const rows = waiters.map((waiter, index) => ({ ...waiter, place: index + 1 }));
  return (
    <Card isFlush title={waiting === 0 ? text.queue : `${text.queue} (${waiting})`}>
      <DataTable
        label={text.queue}
        rows={rows}
        keyOf={({ session }) => session}
        empty={<p class="lock-note">{text.noQueue}</p>}
        columns={[
          { id: "place", title: text.place, width: "4rem", isRight: true, cell: ({ place }) => place },
          {
            id: "session",
            title: text.session,
            width: "minmax(10rem, 1fr)",
            isName: true,
            cell: ({ session }) => (
              <span class="mono" title={session}>
                {session}
              </span>
            ),
          },
          {
            id: "value",
            title: text.value,
            width: "minmax(8rem, 1fr)",
            priority: 2,
            cell: ({ value }) => (
              <span class="mono" title={value}>
                {value}
              </span>
            ),
          },
          {
            id: "since",
            title: text.since,
            width: "9rem",
            cell: ({ since }) => <span title={formatTime(since)}>{formatAgo(since)}</span>,
          },
        ]}
      />
      {waiters.length < waiting && <p class="lock-note">{text.queueMore(waiters.length, waiting)}</p>}
    </Card>
  );
}
