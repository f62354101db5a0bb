/** Recent refusals: who asked for what, and why it was refused. */
import { CircleCheck } from "lucide";
import type { Denial, DenialList } from "#authorization/api";
import { Badge } from "../../components/badge.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf } from "../../data/commands.ts";
import { useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { AccessFrame } from "./frame.tsx";
import { viewsText } from "./text-views.ts";

const PATH = "/v1/acl/denials";

export default function DenialsView() {
  const text = viewsText();
  const list = useResource<DenialList>(PATH);
  useRereading(list);
  const [words, setWords] = useQuery("q");
  const filter = words.trim().toLowerCase();
  return (
    <>
      <AccessFrame view="denials" cli={cliOf("acl", "denials")} call={{ path: PATH }} />
      <Loaded of={list}>
        {({ denials }) => (
          <Card isFlush title={text.denials(denials.length)} actions={<SearchField value={words} onInput={setWords} />}>
            {denials.length === 0 ? (
              <EmptyState icon={CircleCheck} title={text.noDenials} command="posthouse acl test config:publish">
                {text.noDenialsText}
              </EmptyState>
            ) : (
              <DataTable
                label={text.view_denials}
                rows={denials.filter((denial) => searchText(denial).includes(filter))}
                keyOf={({ requestId, at }) => `${requestId} ${at}`}
                initialSort="-when"
                columns={denialColumns()}
                empty={<p class="access-note">{commonText().nothingMatches}</p>}
              />
            )}
            <p class="access-note">{text.denialsNote}</p>
          </Card>
        )}
      </Loaded>
    </>
  );
}

function searchText({ principal, address, action, route, code = "" }: Denial): string {
  return `${principal?.name ?? ""} ${address} ${action ?? ""} ${route} ${code}`.toLowerCase();
}

function denialColumns(): readonly TableColumn<Denial>[] {
  const text = viewsText();
  return [
    {
      id: "when",
      title: text.when,
      width: "minmax(5rem, 7rem)",
      cell: ({ at }) => <span title={formatTime(at)}>{formatAgo(at)}</span>,
      sort: ({ at }) => Date.parse(at),
    },
    {
      id: "caller",
      title: text.caller,
      width: "minmax(4.5rem, 1fr)",
      isName: true,
      cell: ({ principal }) =>
        principal ? (
          <span title={principal.id}>{principal.name}</span>
        ) : (
          <span class="muted">{text.unknownCaller}</span>
        ),
      sort: ({ principal }) => principal?.name ?? "",
    },
    {
      id: "refused",
      title: text.refused,
      width: "minmax(5.5rem, 2fr)",
      cell: ({ action, resource, method, route }) => {
        const named = Object.values(resource ?? {}).join(" / ");
        return (
          <span title={`${method} ${route}`}>
            <span class="mono">{action ?? `${method} ${route}`}</span> <span class="muted">{named}</span>
          </span>
        );
      },
      sort: ({ action, route }) => action ?? route,
    },
    {
      id: "why",
      title: text.why,
      width: "minmax(9rem, 1.5fr)",
      priority: 2,
      cell: ({ code = "", rule, status }) => (
        <span class="muted" title={code}>
          {rule ? text.byRule(rule.policy, rule.index) : <span class="mono">{code || status}</span>}
        </span>
      ),
      sort: ({ code = "" }) => code,
    },
    {
      id: "address",
      title: text.address,
      width: "9rem",
      priority: 3,
      cell: ({ address }) => <span class="mono muted">{address}</span>,
      sort: ({ address }) => address,
    },
    {
      id: "status",
      title: commonText().status,
      width: "5rem",
      priority: 2,
      isRight: true,
      cell: ({ status }) => <Badge tone={status === 401 ? "warn" : "idle"}>{status}</Badge>,
      sort: ({ status }) => status,
    },
  ];
}
