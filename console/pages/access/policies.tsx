/** Policies: built-in ones and one's own, where each is used, and changing them. */
import { Plus } from "lucide";
import { useSignal } from "@preact/signals";
import type { PolicyList, PolicySummary } from "#access/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf } from "../../data/commands.ts";
import { useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatNumber } from "../../text/mod.ts";
import { commonText } from "../../text/common.ts";
import { AccessFrame } from "./frame.tsx";
import { FIRST_POLICY, PolicyEditor, type PolicyStart } from "./policy-edit.tsx";
import { PolicyPanel } from "./policy-panel.tsx";
import { viewsText } from "./text-views.ts";

const PATH = "/v1/policies";

export default function PoliciesView() {
  const text = viewsText();
  const list = useResource<PolicyList>(PATH, ["access"]);
  const [words, setWords] = useQuery("q");
  const [chosen, setChosen] = useQuery("policy");
  const edited = useSignal<PolicyStart | undefined>(undefined);
  const filter = words.trim().toLowerCase();
  return (
    <>
      <AccessFrame view="policies" cli={cliOf("policy", "ls")} call={{ path: PATH }}>
        <Button kind="primary" icon={Plus} needs="access:manage" onClick={() => (edited.value = FIRST_POLICY)}>
          {text.newPolicy}
        </Button>
      </AccessFrame>
      <Loaded of={list}>
        {({ policies }) => (
          <>
            <Card
              isFlush
              title={text.policies(policies.length)}
              actions={<SearchField value={words} onInput={setWords} />}
            >
              <DataTable
                label={text.view_policies}
                rows={policies.filter(({ name, description = "" }) =>
                  `${name} ${description}`.toLowerCase().includes(filter),
                )}
                keyOf={({ name }) => name}
                onChoose={({ name }) => setChosen(name)}
                isChosen={({ name }) => name === chosen}
                columns={policyColumns()}
                empty={<p class="access-note">{commonText().nothingMatches}</p>}
              />
            </Card>
            {chosen !== "" && (
              <PolicyPanel
                of={policies.find(({ name }) => name === chosen)}
                onClose={() => setChosen("")}
                onEdit={(start) => {
                  setChosen("");
                  edited.value = start;
                }}
                onDone={list.reload}
              />
            )}
          </>
        )}
      </Loaded>
      {edited.value && (
        <PolicyEditor start={edited.value} onClose={() => (edited.value = undefined)} onDone={list.reload} />
      )}
    </>
  );
}

function policyColumns(): readonly TableColumn<PolicySummary>[] {
  const text = viewsText();
  return [
    {
      id: "name",
      title: text.policy,
      width: "minmax(5.5rem, 12rem)",
      isName: true,
      cell: ({ name }) => <span title={name}>{name}</span>,
      sort: ({ name }) => name,
    },
    {
      id: "kind",
      title: text.kind,
      width: "5rem",
      cell: ({ builtIn }) => (
        <Badge tone={builtIn ? "idle" : "accent"}>{builtIn ? text.builtIn : text.ownPolicy}</Badge>
      ),
      sort: ({ builtIn }) => (builtIn ? 0 : 1),
    },
    {
      id: "description",
      title: text.description,
      width: "minmax(10rem, 3fr)",
      priority: 2,
      cell: ({ description = "" }) => (
        <span class="muted" title={description}>
          {description}
        </span>
      ),
    },
    {
      id: "rules",
      title: text.rules,
      width: "5rem",
      isRight: true,
      priority: 2,
      cell: ({ rules }) => formatNumber(rules.length),
      sort: ({ rules }) => rules.length,
    },
    {
      id: "users",
      title: text.usedBy,
      width: "4rem",
      isRight: true,
      cell: ({ usedBy }) =>
        usedBy.length === 0 ? (
          <span class="muted">–</span>
        ) : (
          <span title={usedBy.join("\n")}>{formatNumber(usedBy.length)}</span>
        ),
      sort: ({ usedBy }) => usedBy.length,
    },
  ];
}
