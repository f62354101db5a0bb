/** One config set: its header, and the view that the tab in the URL names. */
import { Download, FilePlus2, FileText } from "lucide";
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import type { SetName } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { PageHeader, Tabs } from "../../../components/layout.tsx";
import { lazyPart } from "../../../components/lazy-part.tsx";
import { EmptyState, Problem, Skeleton } from "../../../components/states.tsx";
import { cliOf } from "../../../data/commands.ts";
import { linkTo, setQuery, useQuery } from "../../../data/location.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { setPageOf } from "../core/names.ts";
import { EditKey } from "../edit/edit-key.tsx";
import { NewKeyDialog } from "../edit/new-key.tsx";
import { setText } from "../set-text.ts";
import { configText } from "../text.ts";
import { type ConfigSet, isAbsent, useConfigSet } from "../use-set.ts";
import { ValuesView } from "../values/values.tsx";

interface ViewProps {
  readonly set: ConfigSet;
}

const VIEWS = {
  values: ValuesView,
  review: lazyPart(() => import("../review/review.tsx")),
  history: lazyPart(() => import("../history/history.tsx")),
  rollout: lazyPart(() => import("../rollout/rollout.tsx")),
  subscribers: lazyPart(() => import("../subscribers/subscribers.tsx")),
  compare: lazyPart(() => import("../compare/compare.tsx")),
  flags: lazyPart(() => import("../flags/flags.tsx")),
} as const satisfies Readonly<Record<string, ComponentType<ViewProps>>>;
type ViewName = keyof typeof VIEWS;

const FLAGS_KEYS = ["flags.yaml", "flags.json"];

export default function SetPage({ name }: { readonly name: SetName }) {
  const set = useConfigSet(name);
  const [tab] = useQuery("tab", "values");
  const [edited] = useQuery("edit");
  const isNaming = useSignal(false);
  const hasFlags = FLAGS_KEYS.some((key) => set.effective.data?.items[key] !== undefined);
  const shown = (Object.keys(VIEWS) as ViewName[]).filter((one) => one !== "flags" || hasFlags);
  const view = shown.find((one) => one === tab) ?? "values";
  const View = VIEWS[view];
  return (
    <>
      <SetHeader set={set} onNewKey={() => (isNaming.value = true)} />
      <Tabs
        label={setText().views}
        tabs={shown.map((one) => ({
          href: linkTo(setPageOf(name), one === "values" ? {} : { tab: one }),
          name: setText()[`tab_${one}`],
          isCurrent: one === view,
        }))}
      />
      {set.problem && <Problem problem={set.problem} onRetry={() => void set.reload()} />}
      {edited !== "" && set.isKnown ? (
        <EditKey key={edited} set={set} name={edited} />
      ) : set.isKnown ? (
        <SetBody set={set} view={view}>
          <View set={set} />
        </SetBody>
      ) : (
        !set.problem && <Skeleton />
      )}
      {isNaming.value && (
        <NewKeyDialog
          onClose={() => (isNaming.value = false)}
          onNamed={(key) => setQuery({ tab: "", key: "", edit: key })}
        />
      )}
    </>
  );
}

/** Views that also say something about a set without a release: drafts of its first key. */
const ALSO_EMPTY: ReadonlySet<ViewName> = new Set(["review", "compare"]);

interface SetBodyProps extends ViewProps {
  readonly view: ViewName;
  readonly children: preact.ComponentChildren;
}

function SetBody({ set, view, children }: SetBodyProps) {
  const text = setText();
  const isEmpty = !set.summary && isAbsent(set.effective.problem);
  if (!isEmpty || ALSO_EMPTY.has(view)) return <>{children}</>;
  const { namespace, app, profile } = set.name;
  return (
    <EmptyState
      icon={FileText}
      title={text.emptyTitle}
      command={cliOf("config", "put", `${namespace}/${app}/${profile}`, "app.yaml", "./app.yaml")}
      action={
        <Button kind="primary" needs="config:draft" icon={FilePlus2} onClick={() => setQuery({ edit: "app.yaml" })}>
          {text.editTitle("app.yaml")}
        </Button>
      }
    >
      {text.emptyText}
    </EmptyState>
  );
}

interface SetHeaderProps extends ViewProps {
  readonly onNewKey: () => void;
}

function SetHeader({ set, onNewKey }: SetHeaderProps) {
  const text = setText();
  const { namespace, app, profile } = set.name;
  const { summary, live } = set;
  return (
    <PageHeader
      crumbs={[
        [configText().title, linkTo("/config")],
        [namespace, linkTo("/config", { namespace })],
      ]}
      title={`${app} / ${profile}`}
      badge={
        <>
          {summary && <Badge tone="accent">{text.version(summary.version)}</Badge>}
          {!summary && set.isKnown && <Badge>{text.notReleased}</Badge>}
          {summary?.rollout !== undefined && (
            <a href={linkTo(setPageOf(set.name), { tab: "rollout" })}>
              <Badge tone="moving">{text.rolloutRuns(summary.rollout)}</Badge>
            </a>
          )}
          {set.needsReview && <Badge>{configText().reviewRequired}</Badge>}
        </>
      }
      subtitle={
        live ? (
          <span title={formatTime(live.createdAt)}>
            {text.releasedBy(live.author, formatAgo(live.createdAt))}
            {live.reason !== "" && <> · {live.reason}</>}
          </span>
        ) : (
          set.effective.data && text.inherited
        )
      }
    >
      <CopyAs cli={cliOf("config", "get", set.id)} call={{ path: set.path }} />
      {summary && (
        <Button icon={Download} href={`${set.path}/export`}>
          {text.export}
        </Button>
      )}
      <Button icon={FilePlus2} kind="primary" needs="config:draft" onClick={onNewKey}>
        {text.newKey}
      </Button>
    </PageHeader>
  );
}
