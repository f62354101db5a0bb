/** Everything about one instance, beside the list: checks with their output, facts, what happened, and actions. */
import type { Health, HealthTransition, Instance } from "#registry/api";
import { HealthBadge } from "../../components/badge.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Facts } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { pathOf } from "../../data/api.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatClock, formatTime } from "../../data/time.ts";
import { stateWord } from "../../text/changes.ts";
import { InstanceActions } from "./actions.tsx";
import { rowStatus, type InstanceRow } from "./core.ts";
import type { KnownHistory } from "./history.ts";
import { addressOf, InstanceRibbon } from "./parts.tsx";
import { servicesText } from "./text.ts";

interface InstancePanelProps {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  /** Absent: neither registered nor in the history. */
  readonly row: InstanceRow | undefined;
  readonly history: KnownHistory;
  readonly healthy: number;
  /** The weights of all other instances that receive requests. */
  readonly others: number;
  readonly onDone: () => Promise<void>;
  readonly onClose: () => void;
}

export function InstancePanel(props: InstancePanelProps) {
  const { namespace, service, id, row, history, healthy, others, onDone, onClose } = props;
  const text = servicesText();
  const instance = row?.instance;
  return (
    <Dialog
      title={id}
      isSide
      width="38rem"
      onClose={onClose}
      {...(instance === undefined
        ? {}
        : { footer: <InstanceActions instance={instance} healthy={healthy} others={others} onDone={onDone} /> })}
    >
      {row === undefined ? (
        <p class="muted">{text.unknownInstance}</p>
      ) : (
        <>
          <div class="actions">
            <HealthBadge status={row.status} />
            {row.since !== undefined && (
              <span class="muted" title={formatTime(row.since)}>
                {formatAgo(row.since)}
              </span>
            )}
          </div>
          {instance === undefined && <p class="muted">{text.goneText}</p>}
          <section class="panel-part">
            <h3>{text.lastDay}</h3>
            <InstanceRibbon row={row} history={history} />
          </section>
          {instance && <Checks namespace={namespace} service={service} id={id} />}
          <Transitions row={row} />
          {instance && <InstanceFacts instance={instance} />}
        </>
      )}
    </Dialog>
  );
}

interface ChecksProps {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

function Checks({ namespace, service, id }: ChecksProps) {
  const text = servicesText();
  const health = useResource<Health>(pathOf`/v1/services/${service}/instances/${id}/health?namespace=${namespace}`, [
    `service:${namespace}/${service}`,
  ]);
  return (
    <section class="panel-part">
      <h3>{text.checks}</h3>
      <Loaded of={health} rows={2}>
        {({ checks }) =>
          checks.length === 0 ? (
            <p class="muted">{text.noChecks}</p>
          ) : (
            <ul class="checks">
              {checks.map((check) => (
                <li key={check.id}>
                  <div class="actions">
                    <HealthBadge status={check.status} />
                    <b>{check.id}</b>
                    <span class="tag">{check.type}</span>
                    {check.since !== undefined && (
                      <span class="muted" title={formatTime(check.since)}>
                        {formatAgo(check.since)}
                      </span>
                    )}
                  </div>
                  <pre class="output">{check.output ?? text.noOutput}</pre>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </section>
  );
}

/** Transitions that are listed; the ribbon shows all of them. */
const LISTED_MAX = 30;

function Transitions({ row: { history } }: { readonly row: InstanceRow }) {
  const text = servicesText();
  const transitions = (history?.transitions ?? []).slice(-LISTED_MAX).toReversed();
  return (
    <section class="panel-part">
      <h3>{text.historyTitle}</h3>
      {transitions.length === 0 && <p class="muted">{text.noHistory}</p>}
      <ol class="transitions">
        {transitions.map((transition, index) => (
          <li key={index}>
            <time dateTime={transition.at} title={formatTime(transition.at)}>
              {formatClock(transition.at)}
            </time>
            <HealthBadge status={rowStatus(transition)} />
            <span class="what">
              {causeText(transition)}
              {transition.output !== undefined && <span class="muted mono"> {transition.output}</span>}
            </span>
          </li>
        ))}
      </ol>
      {history?.cutAt !== undefined && <p class="muted">{text.cutText(formatTime(history.cutAt))}</p>}
    </section>
  );
}

function causeText({ cause, check }: HealthTransition): string {
  const text = servicesText();
  return check === undefined ? text[`cause_${cause}`] : `${text[`cause_${cause}`]} ${check}`;
}

function InstanceFacts({ instance }: { readonly instance: Instance }) {
  const text = servicesText();
  const facts: readonly (readonly [string, string | undefined])[] = [
    [text.address, addressOf(instance)],
    [text.protocol, instance.protocol],
    [text.ports, instance.ports.map(({ name, port }) => `${name} ${port}`).join(", ")],
    [text.lifecycle, stateWord(instance.lifecycle)],
    [text.drainUntil, instance.drainUntil && formatTime(instance.drainUntil)],
    [text.version, instance.version],
    [text.zone, instance.zone],
    [text.weight, String(instance.weight)],
    [text.tags, instance.tags.join(", ")],
    [text.owner, instance.owner],
    [text.registeredBy, instance.registeredBy],
    [text.session, instance.session],
  ];
  const metadata = Object.entries(instance.metadata);
  return (
    <>
      <Facts of={facts.filter(([, value]) => value !== undefined && value !== "")} />
      {metadata.length > 0 && (
        <section class="panel-part">
          <h3>{text.metadata}</h3>
          <Facts of={metadata.map(([name, value]) => [name, <span class="mono">{value}</span>])} />
        </section>
      )}
    </>
  );
}
