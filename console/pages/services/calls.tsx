/** Calls of a service, in and out, and the processes that follow it. */
import type { Watcher } from "#registry/api";
import type { TrafficEdge, TrafficView } from "#traffic/api";
import { Card } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { linkTo } from "../../data/location.ts";
import { useResource, type Resource } from "../../data/resource.ts";
import { formatAgo, formatDuration, formatTime } from "../../data/time.ts";
import { formatRate } from "../../text/mod.ts";
import { ErrorShare } from "./parts.tsx";
import { servicesText } from "./text.ts";

interface CallsProps {
  readonly namespace: string;
  readonly service: string;
  readonly traffic: Resource<TrafficView>;
}

export function Calls({ namespace, service, traffic }: CallsProps) {
  const text = servicesText();
  return (
    <>
      <Loaded of={traffic} rows={4}>
        {({ edges }) => (
          <div class="grid calls">
            <Card isFlush title={text.callsIn} actions={<span class="muted">{text.lastHour}</span>}>
              <CallTable
                id="in"
                label={text.callsIn}
                name={text.caller}
                edges={edges.filter(({ to, toNamespace }) => to === service && toNamespace === namespace)}
                other={({ fromKind, from }) =>
                  fromKind === "gateway" ? undefined : { service: from, within: namespace }
                }
                none={text.noCallsIn}
              />
            </Card>
            <Card isFlush title={text.callsOut} actions={<span class="muted">{text.lastHour}</span>}>
              <CallTable
                id="out"
                label={text.callsOut}
                name={text.called}
                edges={edges.filter(({ from, fromKind }) => from === service && fromKind === "service")}
                other={({ to, toNamespace }) => ({ service: to, within: toNamespace })}
                none={text.noCallsOut}
              />
            </Card>
          </div>
        )}
      </Loaded>
      <Subscribers namespace={namespace} service={service} />
    </>
  );
}

interface OtherEnd {
  readonly service: string;
  readonly within: string;
}

interface CallTableProps {
  readonly id: string;
  readonly label: string;
  readonly name: string;
  readonly edges: readonly TrafficEdge[];
  /** The service at the other end; undefined: a gateway. */
  readonly other: (edge: TrafficEdge) => OtherEnd | undefined;
  readonly none: string;
}

function CallTable({ id, label, name, edges, other, none }: CallTableProps) {
  const text = servicesText();
  const nameOf = (edge: TrafficEdge) => other(edge)?.service ?? text.gateway;
  const columns: readonly TableColumn<TrafficEdge>[] = [
    {
      id: "name",
      title: name,
      width: "minmax(7rem, 2fr)",
      isName: true,
      cell: (edge) => <span title={nameOf(edge)}>{nameOf(edge)}</span>,
      sort: nameOf,
    },
    {
      id: "rps",
      title: text.requests,
      width: "5.5rem",
      isRight: true,
      cell: ({ rps }) => formatRate(rps),
      sort: ({ rps }) => rps,
    },
    {
      id: "errors",
      title: text.errors,
      width: "4.5rem",
      isRight: true,
      cell: (edge) => <ErrorShare load={edge} />,
      sort: ({ errors }) => errors,
    },
    {
      id: "p99",
      title: text.latency,
      width: "4.5rem",
      isRight: true,
      priority: 2,
      cell: ({ p99 }) => (p99 === null ? "–" : formatDuration(p99)),
      sort: ({ p99 }) => p99 ?? 0,
    },
  ];
  return (
    <DataTable
      id={id}
      label={label}
      rows={edges}
      keyOf={(edge) => `${edge.fromKind} ${edge.from} ${edge.toNamespace} ${edge.to}`}
      hrefOf={(edge) => {
        const end = other(edge);
        return end ? linkTo(`/services/${end.service}`, { namespace: end.within }) : linkTo("/routes");
      }}
      initialSort="-rps"
      columns={columns}
      empty={<p class="empty-note muted">{none}</p>}
    />
  );
}

function Subscribers({ namespace, service }: { readonly namespace: string; readonly service: string }) {
  const text = servicesText();
  const watches = useResource<{ readonly watchers: readonly Watcher[] }>(
    pathOf`/v1/watches?namespace=${namespace}&service=${service}`,
    [`service:${namespace}/${service}`],
  );
  const own = `${namespace}/${service}`;
  const columns: readonly TableColumn<Watcher>[] = [
    {
      id: "name",
      title: text.subscriber,
      width: "minmax(7rem, 1.5fr)",
      isName: true,
      cell: ({ subscriber }) => subscriber ?? <span class="muted">{text.unnamed}</span>,
      sort: ({ subscriber = "" }) => subscriber,
    },
    {
      id: "principal",
      title: text.principal,
      width: "minmax(7rem, 1.5fr)",
      cell: ({ principal }) => <span title={principal}>{principal}</span>,
      sort: ({ principal }) => principal,
    },
    {
      id: "topics",
      title: text.subscribedTo,
      width: "minmax(7rem, 1fr)",
      priority: 2,
      cell: ({ topics }) => (topics.includes(own) ? text.thisService : text.everything),
    },
    {
      id: "since",
      title: text.since,
      width: "7rem",
      priority: 2,
      cell: ({ since }) => <span title={formatTime(since)}>{formatAgo(since)}</span>,
      sort: ({ since }) => since,
    },
    {
      id: "seen",
      title: text.behind,
      width: "7rem",
      isRight: true,
      priority: 3,
      cell: ({ seenRevision, sentRevision }) => (seenRevision === 0 ? "–" : `${seenRevision} / ${sentRevision}`),
    },
  ];
  return (
    <Card isFlush title={text.subscribers}>
      <Loaded of={watches} rows={2}>
        {({ watchers }) => (
          <DataTable
            id="watch"
            label={text.subscribers}
            rows={watchers}
            keyOf={({ id }) => id}
            columns={columns}
            empty={<p class="empty-note muted">{text.noSubscribers}</p>}
          />
        )}
      </Loaded>
    </Card>
  );
}
