/** The calls of the last hour with the verdict of the rules, as released and as changed. */
import { Waypoints } from "lucide";
import type { ServiceRulesAnswer } from "#sidecar/api";
import { SearchField, Segmented } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { linkTo, useQuery } from "../../data/location.ts";
import { formatNumber } from "../../text/mod.ts";
import { CALL_FILTERS, type CallFilter, type JudgedCall, matchesCall } from "./core.ts";
import { rulesText } from "./text.ts";
import { reasonOf, VerdictBadge } from "./verdict.tsx";

interface CallsCardProps {
  readonly calls: readonly JudgedCall[];
  /** As they are written now. */
  readonly rules: ServiceRulesAnswer;
  readonly live: ServiceRulesAnswer;
  readonly isChanged: boolean;
}

export function CallsCard({ calls, rules, live, isChanged }: CallsCardProps) {
  const text = rulesText();
  const [words, setWords] = useQuery("q");
  const [chosen, setFilter] = useQuery("verdict", "all");
  const filter: CallFilter = CALL_FILTERS.find((one) => one === chosen) ?? "all";
  const shown = calls.filter((call) => matchesCall(call, filter, words));
  const filters = CALL_FILTERS.filter((one) => one !== "changed" || isChanged);
  return (
    <Card
      isFlush
      title={text.calls}
      actions={
        <span class="actions">
          <Segmented
            label={text.filter}
            value={filter}
            options={filters.map((one) => [one, text[`filter_${one}`]] as const)}
            onChange={setFilter}
          />
          <SearchField value={words} onInput={setWords} />
        </span>
      }
    >
      {calls.length === 0 ? (
        <EmptyState icon={Waypoints} title={text.noCalls}>
          {text.noCallsText}
        </EmptyState>
      ) : (
        <DataTable
          label={text.calls}
          rows={shown}
          keyOf={({ from, to }) => `${from}>${to}`}
          columns={callColumns(rules, isChanged)}
          initialSort={isChanged ? "then" : "now"}
          empty={<p class="rules-note">{text.noMatch}</p>}
        />
      )}
      {live.omitted > 0 && <p class="rules-note">{text.omitted(live.omitted)}</p>}
    </Card>
  );
}

/** The denied ones first. */
const rankOf = ({ allowed, reportOnly }: { readonly allowed: boolean; readonly reportOnly: boolean }) =>
  allowed ? 2 : reportOnly ? 1 : 0;

function callColumns(rules: ServiceRulesAnswer, isChanged: boolean): readonly TableColumn<JudgedCall>[] {
  const text = rulesText();
  return [
    {
      id: "from",
      title: text.caller,
      width: "minmax(4.5rem, 1.4fr)",
      isName: true,
      cell: ({ from }) => (
        <span class="mono" title={from}>
          {from}
        </span>
      ),
      sort: ({ from }) => from,
    },
    {
      id: "to",
      title: text.destination,
      width: "minmax(4.5rem, 1.4fr)",
      cell: ({ to }) => (
        <a class="mono" title={to} href={linkTo(`/services/${to}`)}>
          {to}
        </a>
      ),
      sort: ({ to }) => to,
    },
    {
      id: "requests",
      title: text.requests,
      width: "7rem",
      isRight: true,
      priority: 2,
      cell: ({ requests }) => formatNumber(requests),
      sort: ({ requests }) => requests,
    },
    {
      id: "now",
      title: text.now,
      width: "minmax(6rem, 11rem)",
      ...(isChanged ? { priority: 2 as const } : {}),
      cell: (call) => <VerdictBadge of={call} />,
      sort: rankOf,
    },
    ...(isChanged
      ? [
          {
            id: "then",
            title: text.then,
            width: "minmax(6rem, 11rem)",
            cell: (call: JudgedCall) => <VerdictBadge of={call.then ?? call} />,
            sort: (call: JudgedCall) => rankOf(call.then ?? call),
          },
        ]
      : []),
    {
      id: "why",
      title: text.decidedBy,
      width: "minmax(10rem, 2fr)",
      priority: 2,
      cell: (call) => {
        const why = reasonOf(call.then ?? call, call.to, rules);
        return (
          <span class="muted" title={why}>
            {why}
          </span>
        );
      },
    },
  ];
}
