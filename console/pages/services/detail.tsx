/** One service: its state, instances, calls, policy and changes. */
import { TriangleAlert } from "lucide";
import { useMemo } from "preact/hooks";
import type { InstanceList, ServiceView } from "#registry/api";
import type { TrafficEdge, TrafficView } from "#traffic/api";
import { CopyAs } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { PageHeader, Stat, Tabs } from "../../components/layout.tsx";
import { healthWords, HealthBar, ServiceBadge } from "../../components/service-state.tsx";
import { Loaded, Problem } from "../../components/states.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace, useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { errorPercent, loadByService, serviceState } from "../../data/services.ts";
import { formatDuration } from "../../data/time.ts";
import { formatNumber, formatRate } from "../../text/mod.ts";
import { Calls } from "./calls.tsx";
import { instanceRows, loadByInstance } from "./core.ts";
import { useHealthHistory } from "./history.ts";
import { InstanceTable } from "./instances.tsx";
import { Policy } from "./policy.tsx";
import { ServiceChanges } from "./service-changes.tsx";
import { servicesText } from "./text.ts";

const VIEWS = [
  ["instances", "viewInstances"],
  ["calls", "viewCalls"],
  ["policy", "viewPolicy"],
  ["changes", "viewChanges"],
] as const;

export function ServiceDetail({ service }: { readonly service: string }) {
  const text = servicesText();
  const [namespace] = useNamespace();
  const [view] = useQuery("view", "instances");
  const topics = [`service:${namespace}/${service}`];
  const path = pathOf`/v1/services/${service}?namespace=${namespace}`;
  const state = useResource<ServiceView>(path, topics);
  const traffic = useResource<TrafficView>(pathOf`/v1/traffic?namespace=${namespace}&service=${service}&minutes=60`, [
    `traffic:${namespace}`,
  ]);
  const edges = traffic.data?.edges ?? [];
  return (
    <>
      <PageHeader
        title={service}
        crumbs={[[text.title, linkTo("/services")]]}
        badge={state.data && <ServiceBadge state={serviceState(state.data)} />}
      >
        <CopyAs cli={cliOf("services", "show", service, ...namespaceWords(namespace))} call={{ path }} />
      </PageHeader>
      {state.problem && state.problem.status !== 404 && (
        <Problem problem={state.problem} onRetry={() => void state.reload()} />
      )}
      {state.data?.panic === true && (
        <p class="notice panic">
          <Icon of={TriangleAlert} /> {text.panic} {state.data.reason}
        </p>
      )}
      {state.data && <ServiceFigures view={state.data} edges={edges} namespace={namespace} />}
      <Tabs
        label={service}
        tabs={VIEWS.map(([id, name]) => ({
          href: linkTo(`/services/${service}`, id === "instances" ? {} : { view: id }),
          name: text[name],
          isCurrent: id === view,
        }))}
      />
      {view === "calls" ? (
        <Calls namespace={namespace} service={service} traffic={traffic} />
      ) : view === "policy" ? (
        <Policy namespace={namespace} service={service} state={state} />
      ) : view === "changes" ? (
        <ServiceChanges namespace={namespace} service={service} />
      ) : (
        <Instances namespace={namespace} service={service} edges={edges} healthy={healthyOf(state.data)} />
      )}
    </>
  );
}

function healthyOf(view: ServiceView | undefined): number {
  return view ? view.passing + view.warning : 0;
}

interface ServiceFiguresProps {
  readonly view: ServiceView;
  readonly edges: readonly TrafficEdge[];
  readonly namespace: string;
}

function ServiceFigures({ view, edges, namespace }: ServiceFiguresProps) {
  const text = servicesText();
  const load = useMemo(() => loadByService(edges, namespace).get(view.service), [edges, namespace, view.service]);
  const percent = load ? errorPercent(load) : null;
  return (
    <div class="stats">
      <Stat
        label={text.healthy}
        value={formatNumber(healthyOf(view))}
        unit={text.ofAll(view.instances)}
        note={healthWords(view)}
      >
        <HealthBar of={view} />
      </Stat>
      <Stat label={text.requests} value={load ? formatRate(load.rps) : "–"} />
      <Stat
        label={text.errors}
        value={percent === null ? "–" : formatRate(percent)}
        {...(percent === null ? {} : { unit: "%" })}
      />
      <Stat label={text.latency} value={typeof load?.p99 === "number" ? formatDuration(load.p99) : "–"} />
    </div>
  );
}

interface InstancesProps {
  readonly namespace: string;
  readonly service: string;
  readonly edges: readonly TrafficEdge[];
  readonly healthy: number;
}

function Instances({ namespace, service, edges, healthy }: InstancesProps) {
  const instances = useResource<InstanceList>(pathOf`/v1/services/${service}/instances?namespace=${namespace}`, [
    `service:${namespace}/${service}`,
  ]);
  const history = useHealthHistory(namespace, service);
  const rows = useMemo(
    () => instanceRows(instances.data?.instances ?? [], history.instances, loadByInstance(edges, service)),
    [instances.data, history.instances, edges, service],
  );
  const reload = async () => {
    history.reload();
    await instances.reload();
  };
  return (
    <>
      {history.problem && history.problem.status !== 404 && <Problem problem={history.problem} />}
      <Loaded of={instances}>
        {() => (
          <InstanceTable
            namespace={namespace}
            service={service}
            rows={rows}
            history={history}
            healthy={healthy}
            onDone={reload}
          />
        )}
      </Loaded>
    </>
  );
}
