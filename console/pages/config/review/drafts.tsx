/** The reader's drafts, to be proposed or released all together or some of them; and which drafts others have. */
import { FilePen, GitPullRequest, Pencil, Rocket } from "lucide";
import { useSignal } from "@preact/signals";
import type { DiffResult, Difference, Draft } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { Card } from "../../../components/layout.tsx";
import { EmptyState, Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { cliOf } from "../../../data/commands.ts";
import { setQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { changesOf } from "../core/changes.ts";
import { Differences } from "../release/differences.tsx";
import { ReleaseDialog } from "../release/release-dialog.tsx";
import { reviewText } from "../review-text.ts";
import { setText } from "../set-text.ts";
import { configText } from "../text.ts";
import { principalName, useDrafts } from "../use-drafts.ts";
import type { ConfigSet } from "../use-set.ts";
import { ProposeDialog } from "./propose.tsx";

export function DraftsView({ set }: { readonly set: ConfigSet }) {
  const all = useDrafts(set);
  const author = principalName();
  return (
    <Loaded of={all}>
      {({ drafts }) => {
        const [mine, others] = [true, false].map((isMine) =>
          drafts.filter((draft) => (draft.author === author) === isMine),
        ) as [Draft[], Draft[]];
        return (
          <>
            <OwnDrafts set={set} drafts={mine} reload={all.reload} />
            {others.length > 0 && <OthersDrafts drafts={others} />}
          </>
        );
      }}
    </Loaded>
  );
}

interface OwnDraftsProps {
  readonly set: ConfigSet;
  readonly drafts: readonly Draft[];
  readonly reload: () => Promise<void>;
}

function OwnDrafts({ set, drafts, reload }: OwnDraftsProps) {
  const text = reviewText();
  const left = useSignal<ReadonlySet<string>>(new Set());
  const dialog = useSignal<"propose" | "release" | undefined>(undefined);
  const stamp = drafts.map(({ key, updatedAt }) => `${key}@${updatedAt}`).join();
  // The server compares. The path changes with the drafts, so they are compared again.
  const diff = useResource<DiffResult>(
    drafts.length > 0 && set.summary ? `${set.path}/diff?to=drafts#${stamp}` : undefined,
    ["config"],
  );
  const chosen = drafts.filter(({ key }) => !left.value.has(key));
  const close = () => (dialog.value = undefined);
  const done = () => {
    left.value = new Set();
    void reload();
  };
  if (drafts.length === 0) {
    return (
      <EmptyState
        icon={FilePen}
        title={text.noDrafts}
        command={cliOf("config", "drafts", "set", set.id, "app.yaml", "./app.yaml")}
      >
        {text.noDraftsText}
      </EmptyState>
    );
  }
  const toggle = (key: string) => {
    const next = new Set(left.value);
    if (!next.delete(key)) next.add(key);
    left.value = next;
  };
  return (
    <Card
      isFlush
      title={
        <>
          {text.myDrafts} <span class="count">{drafts.length}</span>
        </>
      }
      actions={<DraftActions isNone={chosen.length === 0} onOpen={(next) => (dialog.value = next)} />}
    >
      <Differences
        of={diff.data?.differences.length ? diff.data.differences : drafts.map(bareDifference)}
        labels={[setText().liveSide, setText().draftSide]}
        control={({ key }) => (
          <DraftControl
            set={set}
            draft={drafts.find((one) => one.key === key)}
            isChosen={!left.value.has(key)}
            onToggle={() => toggle(key)}
          />
        )}
      />
      {dialog.value === "propose" && (
        <ProposeDialog set={set} keys={chosen.map(({ key }) => key)} onClose={close} onDone={done} />
      )}
      {dialog.value === "release" && (
        <ReleaseDialog
          set={set}
          changes={changesOf(chosen)}
          version={Math.min(...chosen.map(({ baseVersion }) => baseVersion))}
          drafts={chosen.map(({ key }) => key)}
          onClose={close}
          onDone={done}
        />
      )}
    </Card>
  );
}

interface DraftActionsProps {
  readonly isNone: boolean;
  readonly onOpen: (dialog: "propose" | "release") => void;
}

function DraftActions({ isNone, onOpen }: DraftActionsProps) {
  const text = reviewText();
  return (
    <>
      <Button
        icon={Rocket}
        needs="config:publish"
        aria-haspopup="dialog"
        isDisabled={isNone}
        onClick={() => onOpen("release")}
      >
        {text.release}
      </Button>
      <Button
        kind="primary"
        icon={GitPullRequest}
        needs="config:draft"
        aria-haspopup="dialog"
        isDisabled={isNone}
        onClick={() => onOpen("propose")}
      >
        {text.propose}
      </Button>
    </>
  );
}

/** A draft in a set without a release, or one that equals the live value. */
function bareDifference({ key, item }: Draft): Difference {
  return { key, kind: item ? "added" : "removed", ...(item ? { after: item } : {}) };
}

interface DraftControlProps {
  readonly set: ConfigSet;
  readonly draft: Draft | undefined;
  readonly isChosen: boolean;
  readonly onToggle: () => void;
}

function DraftControl({ set, draft, isChosen, onToggle }: DraftControlProps) {
  const text = reviewText();
  if (!draft) return null;
  const isOutdated = draft.baseVersion !== (set.summary?.version ?? 0);
  return (
    <div class="config-control">
      <input type="checkbox" aria-label={text.choose(draft.key)} checked={isChosen} onChange={onToggle} />
      <span class="config-control-end">
        {isOutdated && (
          <span class="where-wide">
            <Badge title={text.outdatedLong}>{setText().based(draft.baseVersion)}</Badge>
          </span>
        )}
        <span class="muted where-wide" title={formatTime(draft.updatedAt)}>
          {formatAgo(draft.updatedAt)}
        </span>
        <Button
          kind="quiet"
          isSmall
          icon={Pencil}
          label={`${text.edit} ${draft.key}`}
          onClick={() => setQuery({ edit: draft.key })}
        />
      </span>
    </div>
  );
}

function OthersDrafts({ drafts }: { readonly drafts: readonly Draft[] }) {
  const text = reviewText();
  return (
    <Card
      isFlush
      title={
        <>
          {text.othersDrafts} <span class="count">{drafts.length}</span>
        </>
      }
    >
      <DataTable
        id="others."
        label={text.othersDrafts}
        rows={drafts}
        keyOf={({ author, key }) => `${author} ${key}`}
        columns={[
          {
            id: "key",
            title: configText().key,
            width: "minmax(7rem, 2fr)",
            isName: true,
            cell: ({ key }) => <code>{key}</code>,
          },
          {
            id: "author",
            title: text.author,
            width: "minmax(5rem, 1fr)",
            cell: ({ author }) => author,
            sort: ({ author }) => author,
          },
          {
            id: "updated",
            title: text.updated,
            width: "8rem",
            isRight: true,
            priority: 2,
            cell: ({ updatedAt }) => <span title={formatTime(updatedAt)}>{formatAgo(updatedAt)}</span>,
            sort: ({ updatedAt }) => updatedAt,
          },
        ]}
      />
    </Card>
  );
}
