/** The releases of gateway.yaml, and going back to an earlier one. */
import { RotateCcw, Rocket } from "lucide";
import { useSignal } from "@preact/signals";
import type { DiffResult, ReleaseList, ReleaseSummary } from "#config-server/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { DiffView } from "../../components/diff-view.tsx";
import { TextField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { GATEWAY_KEY, gatewayPath, gatewaySet } from "./data.ts";
import { RoutesFrame } from "./frame.tsx";
import { InForce } from "./in-force.tsx";
import { useGatewaySource } from "./source.ts";
import { editText } from "./text-edit.ts";

/** Releases that are read at once: weeks of changes. The page of the config set has all of them. */
const RELEASES_READ = 100;

export default function RouteReleasesView() {
  const text = editText();
  const [namespace] = useNamespace();
  const path = `${gatewayPath(namespace)}/releases?limit=${RELEASES_READ}`;
  const list = useResource<ReleaseList>(path, [`config:${gatewaySet(namespace)}`, `rollouts:${gatewaySet(namespace)}`]);
  const live = useGatewaySource();
  const chosen = useSignal<ReleaseSummary | undefined>(undefined);
  const version = live.data?.version ?? 0;
  return (
    <RoutesFrame
      part="releases"
      actions={<CopyAs cli={cliOf("config", "history", "gateway", ...namespaceWords(namespace))} call={{ path }} />}
    >
      <Card isFlush title={text.releases}>
        <Loaded of={list}>
          {({ releases }) => (
            <DataTable
              label={text.releases}
              rows={releases}
              keyOf={(release) => String(release.version)}
              initialSort="-version"
              columns={releaseColumns(version, (release) => (chosen.value = release))}
              empty={
                <EmptyState
                  icon={Rocket}
                  title={text.noReleases}
                  command={cliOf("config", "put", "gateway", GATEWAY_KEY, GATEWAY_KEY, ...namespaceWords(namespace))}
                >
                  {text.noReleasesText}
                </EmptyState>
              }
            />
          )}
        </Loaded>
      </Card>
      <InForce />
      {chosen.value && (
        <RollbackDialog
          to={chosen.value.version}
          live={version}
          onClose={() => (chosen.value = undefined)}
          onDone={async () => {
            await Promise.all([list.reload(), live.reload()]);
          }}
        />
      )}
    </RoutesFrame>
  );
}

function releaseColumns(
  live: number,
  onRollback: (release: ReleaseSummary) => void,
): readonly TableColumn<ReleaseSummary>[] {
  const text = editText();
  return [
    {
      id: "version",
      title: text.version,
      width: "8rem",
      isName: true,
      cell: ({ version }) => (
        <span class="route-title">
          {version} {version === live && <Badge tone="accent">{text.live}</Badge>}
        </span>
      ),
      sort: ({ version }) => version,
    },
    {
      id: "reason",
      title: commonText().reason,
      width: "minmax(8rem, 2fr)",
      priority: 2,
      cell: ({ reason, rollbackOf }) => {
        const words =
          rollbackOf === undefined ? reason : `${text.rollbackOf(rollbackOf)}${reason === "" ? "" : `: ${reason}`}`;
        return <span title={words}>{words === "" ? <span class="muted">–</span> : words}</span>;
      },
    },
    { id: "author", title: text.author, width: "minmax(6rem, 1fr)", priority: 2, cell: ({ author }) => author },
    {
      id: "at",
      title: text.at,
      width: "8rem",
      priority: 2,
      cell: ({ createdAt }) => <span title={formatTime(createdAt)}>{formatAgo(createdAt)}</span>,
      sort: ({ createdAt }) => Date.parse(createdAt),
    },
    {
      id: "actions",
      title: commonText().actions,
      width: "minmax(6.5rem, max-content)",
      isRight: true,
      cell: (release) =>
        release.version !== live && (
          <Button kind="quiet" isSmall icon={RotateCcw} needs="config:publish" onClick={() => onRollback(release)}>
            {text.rollback}
          </Button>
        ),
    },
  ];
}

interface RollbackDialogProps {
  readonly to: number;
  readonly live: number;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

function RollbackDialog({ to, live, onClose, onDone }: RollbackDialogProps) {
  const text = editText();
  const [namespace] = useNamespace();
  const reason = useSignal("");
  const path = gatewayPath(namespace);
  const diff = useResource<DiffResult>(`${path}/diff?from=live&to=${to}`);
  const why = reason.value.trim();
  return (
    <ActionDialog
      title={text.rollbackTitle(to)}
      confirm={text.rollbackConfirm}
      needs="config:publish"
      width="72rem"
      call={{
        method: "POST",
        path: `${path}/rollback`,
        body: {
          toVersion: to,
          ...(live === 0 ? {} : { expectedVersion: live }),
          ...(why === "" ? {} : { reason: why }),
        },
      }}
      cli={cliOf(
        "config",
        "rollback",
        "gateway",
        String(to),
        ...(why === "" ? [] : ["--reason", why]),
        ...namespaceWords(namespace),
      )}
      done={text.rollbackDone}
      onClose={onClose}
      onDone={onDone}
    >
      <p class="muted">{text.rollbackText}</p>
      <Loaded of={diff} rows={3}>
        {({ differences }) => (
          <>
            {differences.length === 0 && <DiffView before="" after="" format="yaml" />}
            {differences.map(({ key, before, after }) => (
              <section key={key}>
                <h3 class="mono">{key}</h3>
                <DiffView
                  before={before?.value ?? ""}
                  after={after?.value ?? ""}
                  format={after?.format ?? before?.format ?? "yaml"}
                  labels={[text.versionName(live), text.versionName(to)]}
                />
              </section>
            ))}
          </>
        )}
      </Loaded>
      <TextField
        label={commonText().reason}
        hint={commonText().reasonHint}
        value={reason.value}
        onInput={(next) => (reason.value = next)}
      />
    </ActionDialog>
  );
}
