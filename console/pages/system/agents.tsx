/** The agents of a namespace, which are the owners of its instances. */
import { Server } from "lucide";
import type { Instance } from "#registry/api";
import { CopyAs } from "../../components/copy.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { HealthBar } from "../../components/service-state.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { useNamespace, useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { commonText } from "../../text/common.ts";
import { formatNumber } from "../../text/mod.ts";
import { type AgentRow, agentRows } from "./core.ts";
import { readInstances } from "./data.ts";
import { systemText } from "./text.ts";

const NO_AGENT_COMMAND = "posthouse up --roles agent --control-urls http://127.0.0.1:8500";

export function AgentsView() {
  const text = systemText();
  const [namespace] = useNamespace();
  const [filter, setFilter] = useQuery("q");
  const path = `/v1/services?namespace=${encodeURIComponent(namespace)}`;
  const instances = useResource<readonly Instance[]>(path, [`services:${namespace}`], readInstances);
  return (
    <Loaded of={instances} rows={3}>
      {(all) => {
        const agents = agentRows(all);
        const rows = agents.filter(({ name, services }) => [name, ...services].some((word) => word.includes(filter)));
        return (
          <Card
            isFlush
            title={`${text.view_agents} (${formatNumber(agents.length)})`}
            actions={
              <>
                <SearchField value={filter} onInput={setFilter} />
                <CopyAs cli={cliOf("agents", ...namespaceWords(namespace))} call={{ path }} />
              </>
            }
          >
            <DataTable
              label={text.view_agents}
              id="agents-"
              rows={rows}
              keyOf={({ name }) => name}
              initialSort="name"
              columns={agentColumns()}
              empty={
                agents.length === 0 ? (
                  <EmptyState icon={Server} title={text.noAgents} command={NO_AGENT_COMMAND}>
                    {text.noAgentsText}
                  </EmptyState>
                ) : (
                  <p class="system-note">{commonText().nothingMatches}</p>
                )
              }
            />
          </Card>
        );
      }}
    </Loaded>
  );
}

function AgentHealth({ agent }: { readonly agent: AgentRow }) {
  const { instances, passing } = agent;
  return (
    <span class="agent-health">
      <HealthBar of={agent} />
      {systemText().healthCounts(passing, instances - passing)}
    </span>
  );
}

function agentColumns(): readonly TableColumn<AgentRow>[] {
  const text = systemText();
  return [
    {
      id: "name",
      title: text.agent,
      width: "minmax(8rem, 1.2fr)",
      isName: true,
      cell: ({ name }) => (
        <span class="mono" title={name}>
          {name}
        </span>
      ),
      sort: ({ name }) => name,
    },
    {
      id: "health",
      title: text.health,
      width: "minmax(9rem, 14rem)",
      cell: (agent) => <AgentHealth agent={agent} />,
      sort: ({ instances, passing }) => instances - passing,
    },
    {
      id: "instances",
      title: text.instances,
      width: "6rem",
      isRight: true,
      priority: 2,
      cell: ({ instances }) => formatNumber(instances),
      sort: ({ instances }) => instances,
    },
    {
      id: "services",
      title: text.services,
      width: "minmax(8rem, 2fr)",
      priority: 2,
      cell: ({ services }) => <span title={services.join(", ")}>{services.join(", ")}</span>,
    },
  ];
}
