/** An explanation: the result first, then each step, each candidate with the reason why it lost, and the endpoints. */
import { Ban, Check, CircleX, MoveRight, Reply } from "lucide";
import type { ExplainAnswer } from "#gateway/api";
import { Badge, HealthBadge, type HealthStatus } from "../../components/badge.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card, Facts } from "../../components/layout.tsx";
import { DataTable } from "../../components/table.tsx";
import { linkTo } from "../../data/location.ts";
import { language } from "../../text/mod.ts";
import { commonText } from "../../text/common.ts";
import { chineseReason } from "./core/reasons.ts";
import { routesText } from "./text.ts";
import { testText } from "./text-test.ts";

export function ExplanationView({ of: answer }: { readonly of: ExplainAnswer }) {
  return (
    <>
      <OutcomeCard answer={answer} />
      <StepsCard steps={answer.steps} />
      <CandidatesCard candidates={answer.candidates} />
      {answer.endpoints.length > 0 && <EndpointsCard answer={answer} />}
    </>
  );
}

function clusterName(key: string): string {
  return key.replace(/^(service|cluster):/, "");
}

const OUTCOMES = { forward: MoveRight, answer: Reply, refuse: Ban } as const;

function OutcomeCard({ answer: { outcome, request } }: { readonly answer: ExplainAnswer }) {
  const text = testText();
  const { kind, route, cluster = "", status = 0 } = outcome;
  const title = {
    forward: text.forwarded(clusterName(cluster)),
    answer: text.answered(status),
    refuse: text.refused(status),
  }[kind];
  const headers = Object.entries(outcome.headers ?? {});
  return (
    <Card title={text.outcome}>
      <p class={`route-outcome ${kind}`} role="status">
        <Icon of={OUTCOMES[kind]} size={20} />
        <b>{title}</b>
        <span class="mono muted">
          {request.method} {request.host}
          {request.path}
        </span>
      </p>
      <Facts
        of={[
          ...(route === undefined
            ? []
            : [[text.route, <a href={linkTo(`/routes/at/${encodeURIComponent(route)}`)}>{route}</a>] as const]),
          ...(outcome.endpoint === undefined
            ? []
            : [
                [
                  text.endpoint,
                  <>
                    <span class="mono">{outcome.endpoint}</span> <span class="muted">{text.endpointNote}</span>
                  </>,
                ] as const,
              ]),
          ...(outcome.target === undefined ? [] : [[text.target, <span class="mono">{outcome.target}</span>] as const]),
          ...(outcome.mirrors === undefined || outcome.mirrors.length === 0
            ? []
            : [[text.mirrors, outcome.mirrors.map(clusterName).join(", ")] as const]),
          ...(outcome.code === undefined
            ? []
            : [
                [
                  text.code,
                  <a class="mono" href={`/errors/${outcome.code}`} target="_blank" rel="noreferrer">
                    {outcome.code}
                  </a>,
                ] as const,
              ]),
          ...(outcome.detail === undefined ? [] : [[text.detail, outcome.detail] as const]),
        ]}
      />
      {headers.length > 0 && (
        <details class="route-more">
          <summary>
            {kind === "forward" ? text.sent : text.answerHeaders} ({headers.length})
          </summary>
          <Facts
            of={headers.map(([name, value]) => [
              name,
              <span key={name} class="mono">
                {value}
              </span>,
            ])}
          />
        </details>
      )}
    </Card>
  );
}

const VERDICTS = { pass: ["idle", Check], refuse: ["bad", Ban], answer: ["accent", Reply] } as const;

function StepsCard({ steps }: { readonly steps: ExplainAnswer["steps"] }) {
  const text = testText();
  const nameOf = (step: string) => {
    const name = `step_${step}`;
    return name in text ? String(text[name as keyof typeof text]) : step;
  };
  return (
    <Card isFlush title={text.steps} actions={<span class="muted">{text.limitsUnused}</span>}>
      {steps.length === 0 ? (
        <p class="route-note">{text.noSteps}</p>
      ) : (
        <ol class="list route-steps">
          {steps.map(({ step, verdict, detail }, index) => {
            const [tone, icon] = VERDICTS[verdict];
            return (
              <li key={index}>
                <b>{nameOf(step)}</b>
                <span class="what mono">{detail}</span>
                <Badge tone={tone} icon={icon}>
                  {text[verdict]}
                </Badge>
              </li>
            );
          })}
        </ol>
      )}
    </Card>
  );
}

type Candidate = ExplainAnswer["candidates"][number] & { readonly order: number };

function CandidatesCard({ candidates }: { readonly candidates: ExplainAnswer["candidates"] }) {
  const text = testText();
  const rows = candidates.map((candidate, index): Candidate => ({ ...candidate, order: index + 1 }));
  const reasonOf = ({ reason }: Candidate) => (language.value === "zh" ? chineseReason(reason) : reason);
  return (
    <Card isFlush title={text.candidates}>
      <DataTable
        id="routes-"
        label={text.candidates}
        rows={rows}
        keyOf={({ order }) => String(order)}
        isChosen={({ verdict }) => verdict === "chosen"}
        empty={<p class="route-note">{text.noCandidates}</p>}
        columns={[
          {
            id: "route",
            title: text.route,
            width: "minmax(6rem, 1fr)",
            isName: true,
            cell: ({ route }) => (
              <a href={linkTo(`/routes/at/${encodeURIComponent(route)}`)} title={route}>
                {route}
              </a>
            ),
          },
          {
            id: "verdict",
            title: text.verdict,
            width: "6.5rem",
            priority: 2,
            cell: ({ verdict }) =>
              verdict === "chosen" ? (
                <Badge tone="accent" icon={Check}>
                  {text.chosen}
                </Badge>
              ) : (
                <Badge icon={CircleX}>{text.lost}</Badge>
              ),
          },
          {
            id: "why",
            title: text.why,
            width: "minmax(7rem, 2fr)",
            cell: (candidate) => <span title={reasonOf(candidate)}>{reasonOf(candidate)}</span>,
          },
          {
            id: "match",
            title: routesText().match,
            width: "minmax(8rem, 1.2fr)",
            priority: 2,
            cell: ({ host, path }) => (
              <span class="mono" title={`${host} ${path}`}>
                {host !== "*" && <span class="muted">{host} </span>}
                {path}
              </span>
            ),
          },
          {
            id: "priority",
            title: routesText().priority,
            width: "4.5rem",
            isRight: true,
            priority: 3,
            cell: ({ priority }) => priority,
          },
        ]}
      />
    </Card>
  );
}

function EndpointsCard({ answer: { endpoints, clusters = {} } }: { readonly answer: ExplainAnswer }) {
  const text = testText();
  const [view] = Object.values(clusters);
  return (
    <Card
      isFlush
      title={text.endpoints}
      actions={view && <span class="muted">{text.seen(view.breaker.requests.now, view.breaker.requests.max)}</span>}
    >
      <DataTable
        id="endpoints-"
        label={text.endpoints}
        rows={endpoints}
        keyOf={({ cluster, id }) => `${cluster} ${id}`}
        columns={[
          {
            id: "instance",
            title: text.instance,
            width: "minmax(7rem, 1fr)",
            isName: true,
            cell: ({ id }) => <span title={id}>{id}</span>,
            sort: ({ id }) => id,
          },
          {
            id: "status",
            title: commonText().status,
            width: "7rem",
            cell: ({ status, lifecycle }) => (
              <HealthBadge status={lifecycle === "draining" ? "draining" : (status as HealthStatus)} />
            ),
            sort: ({ status }) => status,
          },
          {
            id: "usable",
            title: text.usable,
            width: "6rem",
            priority: 2,
            cell: ({ usable }) => (usable ? text.usable : <span class="muted">{text.notUsable}</span>),
            sort: ({ usable }) => Number(usable),
          },
          {
            id: "address",
            title: text.address,
            width: "minmax(8rem, 1fr)",
            priority: 2,
            cell: ({ address }) => <span class="mono">{address}</span>,
          },
          {
            id: "weight",
            title: text.weight,
            width: "4rem",
            isRight: true,
            priority: 3,
            cell: ({ weight }) => weight,
            sort: ({ weight }) => weight,
          },
        ]}
      />
    </Card>
  );
}
