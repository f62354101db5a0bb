/** Browsers and devices that are signed in, and ending one. */
import { LogIn, Monitor, Terminal } from "lucide";
import { useSignal } from "@preact/signals";
import type { SignInSummaries, SignInSummary } from "#access/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { PolicyBadges } from "./columns.tsx";
import { AccessFrame } from "./frame.tsx";
import { viewsText } from "./text-views.ts";

const PATH = "/v1/sign-ins";
/** Milliseconds between readings: the last use is known to the minute. */
const REREAD_MS = 30_000;

export default function SignInsView() {
  const text = viewsText();
  const list = useResource<SignInSummaries>(PATH, ["access"]);
  useRereading(list, REREAD_MS);
  const [words, setWords] = useQuery("q");
  const ended = useSignal<SignInSummary | undefined>(undefined);
  const filter = words.trim().toLowerCase();
  return (
    <>
      <AccessFrame view="signins" cli={cliOf("session", "ls")} call={{ path: PATH }} />
      <Loaded of={list}>
        {({ signIns }) => (
          <Card isFlush title={text.signIns(signIns.length)} actions={<SearchField value={words} onInput={setWords} />}>
            {signIns.length === 0 ? (
              <EmptyState icon={LogIn} title={text.noSignIns} command="posthouse console">
                {text.noSignInsText}
              </EmptyState>
            ) : (
              <DataTable
                label={text.view_signins}
                rows={signIns.filter(({ name, address = "", device = "" }) =>
                  `${name} ${address} ${device}`.toLowerCase().includes(filter),
                )}
                keyOf={({ id }) => id}
                initialSort="-since"
                columns={signInColumns((signIn) => (ended.value = signIn))}
                empty={<p class="access-note">{commonText().nothingMatches}</p>}
              />
            )}
          </Card>
        )}
      </Loaded>
      {ended.value && (
        <ActionDialog
          title={text.endTitle(ended.value.name)}
          confirm={text.end}
          isDangerous
          needs="access:manage"
          call={{ method: "DELETE", path: pathOf`/v1/sign-ins/${ended.value.id}` }}
          cli={cliOf("session", "end", ended.value.id)}
          done={text.ended}
          onClose={() => (ended.value = undefined)}
          onDone={list.reload}
        >
          <p>{ended.value.isCaller ? text.endOwn : text.endText}</p>
        </ActionDialog>
      )}
    </>
  );
}

function signInColumns(onEnd: (signIn: SignInSummary) => void): readonly TableColumn<SignInSummary>[] {
  const text = viewsText();
  return [
    {
      id: "name",
      title: text.person,
      width: "minmax(5.5rem, 1.5fr)",
      isName: true,
      cell: ({ name, isCaller }) => (
        <span class="token-name">
          <span class="truncate" title={name}>
            {name}
          </span>
          {isCaller && <Badge tone="moving">{text.yours}</Badge>}
        </span>
      ),
      sort: ({ name }) => name,
    },
    {
      id: "kind",
      title: text.place,
      width: "minmax(5.5rem, 1fr)",
      cell: ({ kind, device }) => (
        <Badge icon={kind === "browser" ? Monitor : Terminal} {...(device === undefined ? {} : { title: device })}>
          {device ?? text[`kind_${kind}`]}
        </Badge>
      ),
      sort: ({ kind }) => kind,
    },
    {
      id: "method",
      title: text.method,
      width: "8rem",
      priority: 2,
      cell: ({ method }) => <span class="muted">{text[`method_${method}`]}</span>,
      sort: ({ method }) => method,
    },
    {
      id: "policies",
      title: text.view_policies,
      width: "minmax(10rem, 1fr)",
      priority: 2,
      cell: ({ policies }) => (
        <span class="badges">
          <PolicyBadges policies={policies} />
        </span>
      ),
    },
    timeColumn("since", text.since, ({ since }) => since),
    timeColumn("used", text.lastUsed, ({ lastUsedAt }) => lastUsedAt),
    {
      id: "address",
      title: text.address,
      width: "8rem",
      priority: 3,
      cell: ({ address = "–" }) => <span class="mono muted">{address}</span>,
      sort: ({ address = "" }) => address,
    },
    {
      id: "end",
      title: commonText().actions,
      isTitleHidden: true,
      width: "4rem",
      isRight: true,
      cell: (signIn) => (
        <Button kind="danger" isSmall needs="access:manage" onClick={() => onEnd(signIn)}>
          {text.end}
        </Button>
      ),
    },
  ];
}

function timeColumn(
  id: string,
  title: string,
  timeOf: (signIn: SignInSummary) => string | undefined,
): TableColumn<SignInSummary> {
  return {
    id,
    title,
    width: "7.5rem",
    priority: 3,
    cell: (signIn) => {
      const time = timeOf(signIn);
      return time === undefined ? (
        <span class="muted">–</span>
      ) : (
        <span title={formatTime(time)}>{formatAgo(time)}</span>
      );
    },
    sort: (signIn) => Date.parse(timeOf(signIn) ?? "") || 0,
  };
}
