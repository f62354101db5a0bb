/** Agents and gateways that joined: what each is bound to, and removing one. */
import { Server, TriangleAlert } from "lucide";
import { useSignal } from "@preact/signals";
import type { NodeList, NodeView } from "#identity/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { linkTo, useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { certificatesText } from "./text.ts";

export default function NodesPart() {
  const text = certificatesText();
  const list = useResource<NodeList>("/v1/nodes");
  useRereading(list);
  const [words, setWords] = useQuery("q");
  const removed = useSignal<NodeView | undefined>(undefined);
  return (
    <Loaded of={list}>
      {({ nodes }) => (
        <>
          <Card isFlush title={text.nodes(nodes.length)} actions={<SearchField value={words} onInput={setWords} />}>
            {nodes.length === 0 ? (
              <EmptyState
                icon={Server}
                title={text.noNodes}
                command="posthouse join-token create --kind agent"
                action={<Button href={linkTo("/access", { view: "join" })}>{text.toAccess}</Button>}
              >
                {text.noNodesText}
              </EmptyState>
            ) : (
              <DataTable
                label={text.view_nodes}
                rows={nodes.filter(({ name, kind }) => `${kind} ${name}`.includes(words.trim().toLowerCase()))}
                keyOf={({ kind, name }) => `${kind}/${name}`}
                initialSort="ends"
                columns={nodeColumns((node) => (removed.value = node))}
                empty={<p class="certificates-note">{commonText().nothingMatches}</p>}
              />
            )}
          </Card>
          {removed.value && (
            <RemoveDialog node={removed.value} onClose={() => (removed.value = undefined)} onDone={list.reload} />
          )}
        </>
      )}
    </Loaded>
  );
}

interface RemoveDialogProps {
  readonly node: NodeView;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

function RemoveDialog({ node: { kind, name }, onClose, onDone }: RemoveDialogProps) {
  const text = certificatesText();
  return (
    <ActionDialog
      title={text.removeTitle(name)}
      confirm={text.remove}
      isDangerous
      needs="identity:manage"
      call={{ method: "DELETE", path: pathOf`/v1/nodes/${kind}/${name}` }}
      cli={cliOf("node", "rm", kind, name)}
      done={text.removeDone}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text.removeText}</p>
    </ActionDialog>
  );
}

/** What a node is bound to, in one line. */
function boundText({ namespaces, apps, services }: NodeView): string {
  const text = certificatesText();
  const parts = [
    [text.namespaces, namespaces],
    [text.apps, apps],
    [text.services, services],
  ] as const;
  return parts.flatMap(([label, names]) => (names ? [`${label}: ${names.join(", ")}`] : [])).join(" · ");
}

function nodeColumns(onRemove: (node: NodeView) => void): readonly TableColumn<NodeView>[] {
  const text = certificatesText();
  return [
    {
      id: "name",
      title: text.node,
      width: "minmax(5rem, 1.5fr)",
      isName: true,
      cell: ({ name, spiffeId }) => <span title={spiffeId}>{name}</span>,
      sort: ({ name }) => name,
    },
    {
      id: "kind",
      title: text.kind,
      width: "5.5rem",
      priority: 2,
      cell: ({ kind }) => <span class="muted">{text[`kind_${kind}`]}</span>,
      sort: ({ kind }) => kind,
    },
    {
      id: "limits",
      title: text.limits,
      width: "minmax(10rem, 2fr)",
      priority: 2,
      cell: (node) => {
        const bound = boundText(node);
        return bound === "" ? <span class="muted">{text.noLimits}</span> : <span title={bound}>{bound}</span>;
      },
      sort: boundText,
    },
    {
      id: "ends",
      title: text.ends,
      width: "minmax(5.5rem, 8rem)",
      cell: ({ expiresAt }) =>
        expiresAt === undefined ? (
          <Badge tone="warn" icon={TriangleAlert} title={text.noCertificateTitle}>
            {text.noCertificate}
          </Badge>
        ) : (
          <span title={formatTime(expiresAt)}>{formatAgo(expiresAt)}</span>
        ),
      sort: ({ expiresAt }) => (expiresAt === undefined ? 0 : Date.parse(expiresAt)),
    },
    {
      id: "joined",
      title: text.joined,
      width: "8rem",
      priority: 3,
      cell: ({ joinedAt }) => <span title={formatTime(joinedAt)}>{formatAgo(joinedAt)}</span>,
      sort: ({ joinedAt }) => Date.parse(joinedAt),
    },
    {
      id: "by",
      title: text.joinedBy,
      width: "minmax(6rem, 1fr)",
      priority: 3,
      cell: ({ by }) => <span class="muted">{by}</span>,
      sort: ({ by }) => by,
    },
    {
      id: "remove",
      title: commonText().actions,
      isTitleHidden: true,
      width: "5rem",
      isRight: true,
      cell: (node) => (
        <Button kind="danger" isSmall needs="identity:manage" onClick={() => onRemove(node)}>
          {text.remove}
        </Button>
      ),
    },
  ];
}
