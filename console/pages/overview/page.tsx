/** The overview: what is wrong now, since when, and what changed before. */
import { Boxes } from "lucide";
import type { ServiceList } from "#registry/api";
import type { ChangeList, ProblemList } from "#timeline/api";
import type { TrafficView } from "#traffic/api";
import { CommandBlock, CopyAs } from "../../components/copy.tsx";
import { PageHeader } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useNamespace, useRange } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { RecentChanges } from "./changes.tsx";
import { Figures, TrafficCharts } from "./figures.tsx";
import { Problems } from "./problems.tsx";
import { overviewText } from "./text.ts";
import { Timeline } from "./timeline.tsx";
import "./overview.css";

const HOUR_MS = 3_600_000;
/** Changes that are read: a busy day. */
const CHANGES_READ = 300;

export default function OverviewPage() {
  const text = overviewText();
  const [namespace] = useNamespace();
  const [hours] = useRange();
  const within = `namespace=${encodeURIComponent(namespace)}`;
  const services = useResource<ServiceList>(`/v1/services?${within}`, ["services"]);
  const problems = useResource<ProblemList>(`/v1/problems?${within}`, ["problems"]);
  const changes = useResource<ChangeList>(`/v1/changes?${within}&limit=${CHANGES_READ}`, ["changes"]);
  const traffic = useResource<TrafficView>(`/v1/traffic?${within}&minutes=60`, [`traffic:${namespace}`]);
  const since = Date.now() - hours * HOUR_MS;
  const recent = (changes.data?.changes ?? []).filter(({ at }) => Date.parse(at) >= since);
  const isNew = services.data?.services.length === 0 && problems.data?.problems.length === 0;
  return (
    <>
      <PageHeader title={text.title}>
        <CopyAs cli="posthouse status" call={{ path: `/v1/problems?${within}` }} />
      </PageHeader>
      {isNew ? (
        <FirstSteps />
      ) : (
        <>
          <Loaded of={problems} rows={2}>
            {(list) => (
              <Problems
                list={list}
                changes={changes.data?.changes ?? []}
                services={services.data?.services.length ?? 0}
              />
            )}
          </Loaded>
          <Loaded of={services} rows={2}>
            {(list) => <Figures services={list.services} traffic={traffic.data} />}
          </Loaded>
        </>
      )}
      {(!isNew || recent.length > 0) && (
        <Timeline problems={problems.data?.problems ?? []} changes={recent} hours={hours} />
      )}
      {!isNew && (
        <Loaded of={traffic} rows={6}>
          {(view) => <TrafficCharts traffic={view} changes={recent} />}
        </Loaded>
      )}
      <Loaded of={changes}>{() => <RecentChanges changes={recent} />}</Loaded>
    </>
  );
}

/** Shown until the first service registers. */
function FirstSteps() {
  const text = overviewText();
  const register =
    `curl -X PUT ${location.origin}/v1/services/hello/instances/hello-1 -H "authorization: Bearer $POSTHOUSE_TOKEN" ` +
    `-H 'content-type: application/json' -d '{"address":"127.0.0.1","port":8080}'`;
  return (
    <section class="card">
      <EmptyState icon={Boxes} title={text.startTitle}>
        {text.startText}
      </EmptyState>
      <div class="first-steps">
        <p class="muted">{text.startRegister}</p>
        <CommandBlock command={register} />
        <p class="muted">{text.startDemo}</p>
        <CommandBlock command="npx posthouse up --demo" />
      </div>
    </section>
  );
}
