/** Git branches and folders that are mirrored into config sets: their last commit, its problems, and steering them. */
import { CircleCheck, CircleDashed, CircleX, GitBranch, Unlink } from "lucide";
import { useSignal } from "@preact/signals";
import type { SourceList, SourceStatus } from "#config-server/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { Card, Facts } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { formatNumber } from "../../text/mod.ts";
import { upkeepText } from "./text-upkeep.ts";

const PATH = "/v1/config-sources";
const NEEDS = "config:publish";
/** Characters of a commit that people compare. */
const COMMIT_CHARACTERS = 12;
/** Problems of a commit that are listed; the command shows all of them. */
const PROBLEMS_MAX = 20;

type SourceAction = "sync" | "detach" | "attach";

export function SourcesView() {
  const text = upkeepText();
  const list = useResource<SourceList>(PATH, ["config"]);
  useRereading(list);
  return (
    <Loaded of={list} rows={3}>
      {({ sources }) =>
        sources.length === 0 ? (
          <Card isFlush>
            <EmptyState
              icon={GitBranch}
              title={text.noSources}
              command={"configSources:\n  - { name: platform, type: git, path: /srv/config.git, branch: main }"}
            >
              {text.noSourcesText}
            </EmptyState>
          </Card>
        ) : (
          <div class="grid">
            {sources.map((source) => (
              <SourceCard key={source.name} source={source} onDone={list.reload} />
            ))}
          </div>
        )
      }
    </Loaded>
  );
}

function SourceBadge({ source: { detached, error, released } }: { readonly source: SourceStatus }) {
  const text = upkeepText();
  if (detached) {
    return (
      <Badge tone="idle" icon={Unlink}>
        {text.source_detached}
      </Badge>
    );
  }
  if (error) {
    return (
      <Badge tone="bad" icon={CircleX}>
        {text.source_error}
      </Badge>
    );
  }
  return released ? (
    <Badge tone="good" icon={CircleCheck}>
      {text.source_live}
    </Badge>
  ) : (
    <Badge tone="idle" icon={CircleDashed}>
      {text.source_new}
    </Badge>
  );
}

interface SourceCardProps {
  readonly source: SourceStatus;
  readonly onDone: () => Promise<void>;
}

function SourceCard({ source, onDone }: SourceCardProps) {
  const text = upkeepText();
  const open = useSignal<SourceAction | undefined>(undefined);
  const { name, type, branch, sets, released, detached, error } = source;
  const actions: readonly SourceAction[] = detached ? ["attach"] : ["detach", "sync"];
  return (
    <Card
      title={name}
      actions={
        <span class="actions">
          <SourceBadge source={source} />
          <CopyAs cli={cliOf("config", "sources")} call={{ path: PATH }} />
        </span>
      }
    >
      <Facts
        of={[
          [text.type, type ?? text.elsewhere],
          ...(branch === undefined ? [] : [[text.branch, <span class="mono">{branch}</span>] as const]),
          [text.sets, formatNumber(sets)],
          ...(released === undefined
            ? []
            : [
                [
                  text.commit,
                  <span title={released.commit}>
                    <span class="mono">{released.commit.slice(0, COMMIT_CHARACTERS)}</span>{" "}
                    <span title={formatTime(released.at)}>{formatAgo(released.at)}</span>
                  </span>,
                ] as const,
              ]),
        ]}
      />
      {detached && <p class="muted">{text.detachedBy(detached.by, formatAgo(detached.at))}</p>}
      {error && !detached && <SourceError error={error} />}
      <span class="actions">
        {actions.map((action) => (
          <Button key={action} needs={NEEDS} onClick={() => (open.value = action)}>
            {text[action]}
          </Button>
        ))}
      </span>
      {open.value && (
        <SourceDialog name={name} action={open.value} onClose={() => (open.value = undefined)} onDone={onDone} />
      )}
    </Card>
  );
}

function SourceError({ error: { code, detail, problems } }: { readonly error: NonNullable<SourceStatus["error"]> }) {
  return (
    <div class="problem">
      <div>
        {detail}
        <div class="code mono">{code}</div>
        <ul>
          {problems.slice(0, PROBLEMS_MAX).map((problem) => (
            <li key={`${problem.file} ${problem.message}`}>
              <span class="mono">{problem.file}</span> {problem.message}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

interface SourceDialogProps {
  readonly name: string;
  readonly action: SourceAction;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

function SourceDialog({ name, action, onClose, onDone }: SourceDialogProps) {
  const text = upkeepText();
  const done = { sync: text.synced, detach: text.detached, attach: text.attached };
  return (
    <ActionDialog
      title={text[`${action}Title`](name)}
      confirm={text[action]}
      isDangerous={action === "detach"}
      needs={NEEDS}
      call={{ method: "POST", path: pathOf`/v1/config-sources/${name}/${action}` }}
      cli={cliOf("config", action, name)}
      done={done[action]}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text[`${action}Text`]}</p>
    </ActionDialog>
  );
}
