/** Join tokens: letting one machine join, the ones that wait, and those that were used. */
import { Plus, Ticket } from "lucide";
import { useSignal } from "@preact/signals";
import type { IssuedJoinToken, JoinTokenList, JoinTokenSummary } from "#identity/api";
import { Badge, type Tone } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { linkTo } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime, now } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { LimitsCell } from "./columns.tsx";
import { AccessFrame } from "./frame.tsx";
import { joinState } from "./join-core.ts";
import { JoinCommandDialog, JoinDialog } from "./join-create.tsx";
import { viewsText } from "./text-views.ts";

const PATH = "/v1/join-tokens";

export default function JoinView() {
  const text = viewsText();
  const list = useResource<JoinTokenList>(PATH);
  useRereading(list);
  const isCreating = useSignal(false);
  /** Kept only while its dialog is open. */
  const issued = useSignal<IssuedJoinToken | undefined>(undefined);
  const revoked = useSignal<JoinTokenSummary | undefined>(undefined);
  return (
    <>
      <AccessFrame view="join" cli={cliOf("join-token", "ls")} call={{ path: PATH }}>
        <Button kind="primary" icon={Plus} needs="identity:manage" onClick={() => (isCreating.value = true)}>
          {text.newJoin}
        </Button>
      </AccessFrame>
      <Loaded of={list}>
        {({ joinTokens }) => (
          <Card
            isFlush
            title={text.joinTokens(joinTokens.length)}
            actions={
              <Button isSmall href={linkTo("/certificates", { view: "nodes" })}>
                {text.toNodes}
              </Button>
            }
          >
            <DataTable
              label={text.view_join}
              rows={joinTokens}
              keyOf={({ id }) => id}
              initialSort="-expires"
              columns={joinColumns((token) => (revoked.value = token))}
              empty={
                <EmptyState icon={Ticket} title={text.noJoins} command="posthouse join-token create --kind agent">
                  {text.noJoinsText}
                </EmptyState>
              }
            />
          </Card>
        )}
      </Loaded>
      {isCreating.value && (
        <JoinDialog
          onClose={() => (isCreating.value = false)}
          onIssued={(token) => {
            issued.value = token;
            void list.reload();
          }}
        />
      )}
      {issued.value && <JoinCommandDialog issued={issued.value} onClose={() => (issued.value = undefined)} />}
      {revoked.value && (
        <ActionDialog
          title={text.revokeTitle}
          confirm={text.revoke}
          isDangerous
          needs="identity:manage"
          call={{ method: "DELETE", path: pathOf`/v1/join-tokens/${revoked.value.id}` }}
          cli={cliOf("join-token", "revoke", revoked.value.id)}
          done={text.revoked}
          onClose={() => (revoked.value = undefined)}
          onDone={list.reload}
        >
          <p>{text.revokeText}</p>
        </ActionDialog>
      )}
    </>
  );
}

const TONES: Readonly<Record<ReturnType<typeof joinState>, Tone>> = { open: "moving", used: "good", expired: "idle" };

function joinColumns(onRevoke: (token: JoinTokenSummary) => void): readonly TableColumn<JoinTokenSummary>[] {
  const text = viewsText();
  return [
    {
      id: "machine",
      title: text.machine,
      width: "minmax(5rem, 1.5fr)",
      isName: true,
      cell: ({ name, used }) => used?.name ?? name ?? <span class="muted">{text.anyName}</span>,
      sort: ({ name = "", used }) => used?.name ?? name,
    },
    {
      id: "kind",
      title: text.kind,
      width: "6rem",
      priority: 2,
      cell: ({ kind }) => <span class="muted">{text[`kind_${kind}`]}</span>,
      sort: ({ kind }) => kind,
    },
    {
      id: "state",
      title: text.state,
      width: "minmax(5.5rem, 6.5rem)",
      cell: (token) => {
        const state = joinState(token, now.value);
        return <Badge tone={TONES[state]}>{text[state]}</Badge>;
      },
      sort: (token) => joinState(token, now.value),
    },
    {
      id: "limits",
      title: text.limits,
      width: "minmax(10rem, 2fr)",
      priority: 2,
      cell: (token) => <LimitsCell of={token} />,
    },
    {
      id: "expires",
      title: text.expires,
      width: "7rem",
      priority: 2,
      cell: ({ expiresAt }) => <span title={formatTime(expiresAt)}>{formatAgo(expiresAt)}</span>,
      sort: ({ expiresAt }) => Date.parse(expiresAt),
    },
    {
      id: "by",
      title: text.createdBy,
      width: "8rem",
      priority: 3,
      cell: ({ by }) => <span class="muted">{by}</span>,
      sort: ({ by }) => by,
    },
    {
      id: "revoke",
      title: commonText().actions,
      isTitleHidden: true,
      width: "4.5rem",
      isRight: true,
      cell: (token) =>
        joinState(token, now.value) === "open" && (
          <Button kind="danger" isSmall needs="identity:manage" onClick={() => onRevoke(token)}>
            {text.revoke}
          </Button>
        ),
    },
  ];
}
