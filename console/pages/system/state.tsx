/** The state of the control plane: checks, problems, members, store and certificates. */
import { CircleAlert, CircleCheck, CircleDashed, CircleX } from "lucide";
import type { AcknowledgementList, SecretsStatus } from "#config-server/api";
import type { MemberList } from "#registry/api";
import type { SystemReport } from "#server/api";
import type { ProblemList } from "#timeline/api";
import { Badge, type Tone } from "../../components/badge.tsx";
import { CommandBlock } from "../../components/copy.tsx";
import type { IconNode } from "../../components/icon.tsx";
import { Card, Facts } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { SubjectLink } from "../../components/subject.tsx";
import { useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { can } from "../../data/session.ts";
import { formatAgo, formatTime, now } from "../../data/time.ts";
import { problemHints, problemTitle } from "../../text/changes.ts";
import { formatNumber } from "../../text/mod.ts";
import { type CheckFacts, type CheckLevel, SYSTEM_CHECKS } from "./checks.ts";
import type { Readiness } from "./data.ts";
import { systemText } from "./text.ts";

interface StateViewProps {
  readonly readiness: Readiness | undefined;
  readonly report: SystemReport | undefined;
}

export function StateView({ readiness, report }: StateViewProps) {
  return (
    <>
      <SystemProblems />
      <div class="grid system-grid">
        <ChecksCard readiness={readiness} report={report} />
        <div class="system-side">
          <MembersCard />
          {report && <StoreCard report={report} />}
        </div>
      </div>
    </>
  );
}

/** Subjects of problems that are about the control plane and not about a service. */
const OWN_SUBJECTS = new Set(["member", "gateway", "store", "certificate", "token", "policy", "binding"]);

function SystemProblems() {
  const text = systemText();
  const [namespace] = useNamespace();
  const { data } = useResource<ProblemList>(`/v1/problems?namespace=${encodeURIComponent(namespace)}`, ["problems"]);
  const own = (data?.problems ?? []).filter(
    ({ subject, kind }) => OWN_SUBJECTS.has(subject.type) || kind === "secret-unreadable",
  );
  if (own.length === 0) return null;
  return (
    <Card isFlush title={text.problems}>
      <ul class="list">
        {own.map(({ id, severity, subject, kind, text: detail }) => (
          <li key={id}>
            <LevelBadge level={severity === "critical" ? "fail" : "warn"} />
            <div class="what">
              <SubjectLink of={subject} /> {problemTitle(kind)}
              <p class="muted">{problemHints()[kind] ?? detail}</p>
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}

const LEVELS: Readonly<Record<CheckLevel, readonly [Tone, IconNode]>> = {
  ok: ["good", CircleCheck],
  warn: ["warn", CircleAlert],
  fail: ["bad", CircleX],
  skip: ["idle", CircleDashed],
};

function LevelBadge({ level }: { readonly level: CheckLevel }) {
  const [tone, icon] = LEVELS[level];
  return (
    <Badge tone={tone} icon={icon}>
      {systemText()[`level_${level}`]}
    </Badge>
  );
}

function ChecksCard({ readiness, report }: StateViewProps) {
  const text = systemText();
  const [namespace] = useNamespace();
  const seesKeys = can("config:keys");
  const secrets = useResource<SecretsStatus>(seesKeys ? "/v1/config-secrets" : undefined, ["config"]);
  const gateways = useResource<AcknowledgementList>(acknowledgementsPath(namespace), ["rollouts", "config"]);
  const facts: CheckFacts = {
    namespace,
    nowMs: now.value,
    readiness,
    report,
    secrets: seesKeys ? secrets.data : "hidden",
    gateways: gateways.data,
    ago: formatAgo,
  };
  return (
    <Card title={text.checks}>
      <ul class="system-checks">
        {SYSTEM_CHECKS.map(({ id, run }) => {
          const finding = run(facts, text);
          return (
            <li key={id}>
              <b>{text[`check_${id}`]}</b>
              {finding ? <LevelBadge level={finding.level} /> : <span class="skeleton" />}
              <span class="detail">{finding?.detail}</span>
            </li>
          );
        })}
      </ul>
      <p class="muted">{text.checksText}</p>
      <CommandBlock command="posthouse doctor" />
    </Card>
  );
}

/** Where the gateways of a namespace acknowledge. */
export function acknowledgementsPath(namespace: string): string {
  return `/v1/config/${encodeURIComponent(namespace)}/gateway/default/acknowledgements`;
}

function MembersCard() {
  const text = systemText();
  const members = useResource<MemberList>("/v1/members", ["members"]);
  const count = members.data?.members.length;
  return (
    <Card isFlush title={count === undefined ? text.members : `${text.members} (${formatNumber(count)})`}>
      <Loaded of={members} rows={2}>
        {({ members: list }) => (
          <ul class="list">
            {list.map(({ id, self }) => (
              <li key={id}>
                <span class="mono what">{id}</span>
                {self && <span class="muted">{text.self}</span>}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}

function StoreCard({ report: { store, certificates } }: { readonly report: SystemReport }) {
  const text = systemText();
  return (
    <Card title={`${text.store} · ${text.check_certificates}`}>
      <Facts
        of={[
          [text.store, store ? text[`engine_${store.engine}`] : text.storeSilent],
          ...(store ? [[text.historyFrom, formatNumber(store.compactedRevision)] as const] : []),
          ...certificates.map(
            ({ name, expiresAt }) => [name, `${formatTime(expiresAt)} (${formatAgo(expiresAt)})`] as const,
          ),
        ]}
      />
    </Card>
  );
}
