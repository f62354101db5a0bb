/** Every component in its states, for a look at the whole design at `/ui/components`. */
import { Boxes, Plus, Trash2 } from "lucide";
import { useSignal } from "@preact/signals";
import { Badge, HealthBadge, type HealthStatus } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CommandBlock, CopyAs } from "../../components/copy.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { SearchField, Segmented, SelectField, TextField } from "../../components/field.tsx";
import { Card, Facts, PageHeader, Stat, Tabs } from "../../components/layout.tsx";
import { Ribbon } from "../../components/ribbon.tsx";
import { Spark } from "../../components/spark.tsx";
import { EmptyState, Problem, Skeleton } from "../../components/states.tsx";
import { DataTable } from "../../components/table.tsx";
import { showToast } from "../../components/toast.tsx";
import { ApiProblem } from "../../data/api.ts";
import { useQuery } from "../../data/location.ts";
import { CodeSamples } from "./code.tsx";
import { ObserveSamples } from "./observe.tsx";
import { componentsText } from "./text.ts";

const STATUSES: readonly HealthStatus[] = ["passing", "warning", "critical", "unknown", "draining", "absent"];
const LONG_NAME = "payments-reconciliation-worker-for-cross-border-settlements-v2";
const MINUTE_MS = 60_000;

interface SampleRow {
  readonly name: string;
  readonly status: HealthStatus;
  readonly instances: number;
}

export default function ComponentsPage() {
  const text = componentsText();
  const isOpen = useSignal(false);
  const filter = useSignal("");
  const [view, setView] = useQuery("view", "few");
  const count = view === "many" ? 10_000 : view === "none" ? 0 : 8;
  const rows = Array.from({ length: count }, (_, index): SampleRow => ({
    name: index === 1 ? LONG_NAME : `service-${index}`,
    status: STATUSES[index % STATUSES.length] ?? "unknown",
    instances: (index * 7) % 23,
  })).filter(({ name }) => name.includes(filter.value));
  return (
    <>
      <PageHeader title={text.title} subtitle={text.subtitle} crumbs={[[text.title, "/ui/components"]]}>
        <CopyAs cli="posthouse services ls" call={{ path: "/v1/services" }} />
        <Button icon={Trash2} kind="danger" onClick={() => (isOpen.value = true)}>
          {text.remove}
        </Button>
        <Button icon={Plus} kind="primary" onClick={() => showToast(text.done, "good", "posthouse services ls")}>
          {text.create}
        </Button>
      </PageHeader>
      <Tabs
        label={text.title}
        tabs={["few", "many", "none"].map((id) => ({
          href: `/ui/components?view=${id}`,
          name: id,
          isCurrent: id === view,
        }))}
      />
      <div class="stats">
        <Stat label={text.services} value="12" note={<HealthBadge status="passing" />} />
        <Stat label={text.rate} value="1,204" unit="req/s">
          <Spark label={text.rate} values={[3, 5, 4, 8, 9, 7, 12, 11, 14, 9, 10, 12]} />
        </Stat>
        <Stat label={text.errors} value="0.2" unit="%" note={<Badge tone="warn">+0.1 %</Badge>} />
      </div>
      <Card
        isFlush
        title={text.table}
        actions={
          <>
            <SearchField value={filter.value} onInput={(value) => (filter.value = value)} />
            <Segmented
              label={text.table}
              value={view}
              options={[
                ["few", "8"],
                ["many", "10,000"],
                ["none", "0"],
              ]}
              onChange={setView}
            />
          </>
        }
      >
        <DataTable
          label={text.table}
          rows={rows}
          keyOf={({ name }) => name}
          hrefOf={({ name }) => `/ui/components?view=${view}#${name}`}
          initialSort="name"
          columns={[
            {
              id: "name",
              title: text.name,
              width: "minmax(8rem, 2fr)",
              isName: true,
              cell: ({ name }) => name,
              sort: ({ name }) => name,
            },
            {
              id: "status",
              title: text.status,
              width: "7.5rem",
              cell: ({ status }) => <HealthBadge status={status} />,
              sort: ({ status }) => status,
            },
            {
              id: "instances",
              title: text.instances,
              width: "6rem",
              isRight: true,
              priority: 2,
              cell: ({ instances }) => instances,
              sort: ({ instances }) => instances,
            },
          ]}
          empty={
            <EmptyState icon={Boxes} title={text.emptyTitle} command="posthouse up --demo">
              {text.emptyText}
            </EmptyState>
          }
        />
      </Card>
      <div class="grid">
        <Card title={text.states}>
          <div class="actions">
            {STATUSES.map((status) => (
              <HealthBadge key={status} status={status} />
            ))}
          </div>
          <Ribbon label={LONG_NAME} parts={sampleParts()} />
          <Facts
            of={[
              [text.name, <span class="mono">{LONG_NAME}</span>],
              [text.status, <HealthBadge status="critical" />],
            ]}
          />
        </Card>
        <Card title={text.fields}>
          <TextField label={text.name} value="orders" hint={text.emptyText} onInput={() => undefined} />
          <TextField label={text.name} value="Orders!" error={text.invalid} onInput={() => undefined} />
          <SelectField label={text.status} value="a" options={[["a", text.name]]} onChange={() => undefined} />
        </Card>
        <Card title={text.problems}>
          <Problem
            problem={
              new ApiProblem(409, { code: "CONFIG_CONFLICT", title: "Config was changed", detail: text.invalid })
            }
            onRetry={() => undefined}
          />
          <CommandBlock command="posthouse config put orders app.yaml ./app.yaml --reason 'raise the limit'" />
        </Card>
        <Card title={text.loading} isFlush>
          <Skeleton />
        </Card>
      </div>
      <ObserveSamples />
      <CodeSamples />
      {isOpen.value && (
        <ActionDialog
          title={`${text.remove} ${LONG_NAME}?`}
          confirm={text.remove}
          isDangerous
          call={{ method: "DELETE", path: "/v1/nothing" }}
          cli="posthouse services deregister orders orders-1"
          done={text.done}
          onClose={() => (isOpen.value = false)}
        >
          <p>{text.removeText}</p>
        </ActionDialog>
      )}
    </>
  );
}

function sampleParts() {
  const lengths = [300, 4, 60, 200, 12, 30];
  let at = 0;
  return lengths.map((length, index) => {
    const from = at;
    at += length * MINUTE_MS;
    return { status: STATUSES[index] ?? "unknown", from, to: at };
  });
}
