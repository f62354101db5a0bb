/** Issued certificates: those that end first, what is left of each life, and revoking one. */
import { BadgeCheck, Clock } from "lucide";
import type { AuthorityView, CertificateList, CertificateSummary } from "#identity/api";
import { SearchField } from "../../components/field.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime, now } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { lifeOf, matchesCertificate, replacedSerials, workloadOf } from "./core.ts";
import { LifeBar } from "./life.tsx";
import { CertificatePanel } from "./panel.tsx";
import { certificatesText } from "./text.ts";

/** As many as the server returns at once. */
const PATH = "/v1/certificates?limit=1000";
const REREAD_MS = 30_000;

export function IssuedView({ authority }: { readonly authority: AuthorityView }) {
  const list = useResource<CertificateList>(PATH);
  useRereading(list, REREAD_MS);
  const [chosen, setChosen] = useQuery("serial");
  if (authority.state === "none") return <NoAuthority />;
  return (
    <Loaded of={list}>
      {({ certificates, more }) => {
        const replaced = replacedSerials(certificates);
        return (
          <>
            <LateNotice of={certificates} replaced={replaced} />
            <IssuedCard of={certificates} replaced={replaced} more={more} chosen={chosen} onChoose={setChosen} />
            {chosen !== "" && (
              <CertificatePanel
                of={certificates.find(({ serial }) => serial === chosen)}
                onClose={() => setChosen("")}
                onDone={list.reload}
              />
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function NoAuthority() {
  const text = certificatesText();
  return (
    <Card isFlush>
      <EmptyState icon={BadgeCheck} title={text.noneTitle} command="posthouse join-token create --kind agent">
        {text.noneText}
      </EmptyState>
    </Card>
  );
}

interface LateNoticeProps {
  readonly of: readonly CertificateSummary[];
  readonly replaced: ReadonlySet<string>;
}

function LateNotice({ of, replaced }: LateNoticeProps) {
  const text = certificatesText();
  const late = of.filter((one) => !replaced.has(one.serial) && lifeOf(one, now.value).state === "late");
  if (late.length === 0) return null;
  return (
    <div class="notice certificates-late" role="status">
      <Icon of={Clock} />
      <div>
        <b>{text.lateNotice(late.length)}</b>: {late.map(({ spiffeId }) => workloadOf(spiffeId).name).join(", ")}
        <p>{text.lateText}</p>
      </div>
    </div>
  );
}

interface IssuedCardProps extends LateNoticeProps {
  readonly more: number;
  readonly chosen: string;
  readonly onChoose: (serial: string) => void;
}

function IssuedCard({ of, replaced, more, chosen, onChoose }: IssuedCardProps) {
  const text = certificatesText();
  const [words, setWords] = useQuery("q");
  return (
    <Card isFlush title={text.issued(of.length + more)} actions={<SearchField value={words} onInput={setWords} />}>
      {of.length === 0 ? (
        <EmptyState icon={BadgeCheck} title={text.noIssued} command="posthouse join-token create --kind agent">
          {text.noIssuedText}
        </EmptyState>
      ) : (
        <DataTable
          label={text.view_issued}
          rows={of.filter((one) => matchesCertificate(one, words))}
          keyOf={({ serial }) => serial}
          onChoose={({ serial }) => onChoose(serial)}
          isChosen={({ serial }) => serial === chosen}
          initialSort="ends"
          columns={certificateColumns(replaced)}
          empty={<p class="certificates-note">{commonText().nothingMatches}</p>}
        />
      )}
      {more > 0 && <p class="certificates-note">{text.more(more)}</p>}
    </Card>
  );
}

function certificateColumns(replaced: ReadonlySet<string>): readonly TableColumn<CertificateSummary>[] {
  const text = certificatesText();
  return [
    {
      id: "workload",
      title: text.workload,
      width: "minmax(5rem, 2fr)",
      isName: true,
      cell: ({ spiffeId }) => {
        const { namespace, name } = workloadOf(spiffeId);
        return (
          <span title={spiffeId}>
            {namespace !== undefined && <span class="muted">{namespace} / </span>}
            {name}
          </span>
        );
      },
      sort: ({ spiffeId }) => spiffeId,
    },
    {
      id: "kind",
      title: text.kind,
      width: "5.5rem",
      priority: 2,
      cell: ({ spiffeId }) => <span class="muted">{text[`kind_${workloadOf(spiffeId).kind}`]}</span>,
      sort: ({ spiffeId }) => workloadOf(spiffeId).kind,
    },
    {
      id: "life",
      title: text.life,
      width: "minmax(6.5rem, 15rem)",
      cell: (one) => <LifeBar of={one} isReplaced={replaced.has(one.serial)} />,
      sort: (one) => lifeOf(one, now.value).share,
    },
    {
      id: "ends",
      title: text.ends,
      width: "5rem",
      cell: ({ expiresAt }) => <span title={formatTime(expiresAt)}>{formatAgo(expiresAt)}</span>,
      // Those that nobody waits for come last.
      sort: (one) => {
        const isOver = replaced.has(one.serial) || one.revoked !== undefined;
        return Date.parse(one.expiresAt) + (isOver ? OVER_MS : 0);
      },
    },
    {
      id: "by",
      title: text.by,
      width: "minmax(6rem, 1fr)",
      priority: 2,
      cell: ({ by }) => (
        <span class="muted" title={by}>
          {by}
        </span>
      ),
      sort: ({ by }) => by,
    },
    {
      id: "serial",
      title: text.serial,
      width: "9rem",
      priority: 3,
      cell: ({ serial }) => (
        <span class="mono muted" title={serial}>
          {serial}
        </span>
      ),
    },
  ];
}

/** Milliseconds beyond every certificate's end. */
const OVER_MS = 1e14;
