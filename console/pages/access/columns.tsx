/** The columns of the list of tokens, and the marks that the panel shows as well. */
import { Clock, TimerOff } from "lucide";
import type { TokenSummary } from "#access/api";
import { Badge, type Tone } from "../../components/badge.tsx";
import type { TableColumn } from "../../components/table.tsx";
import { sessionState } from "../../data/api.ts";
import { formatAgo, formatTime, now } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { expiryState, LIMIT_KINDS, type LimitKind, TOKEN_POLICIES, tokenPolicy } from "./core.ts";
import { accessText } from "./text.ts";

/** Whether the browser signed in with this token. */
export function isOwnToken({ id }: TokenSummary): boolean {
  const state = sessionState.value;
  return state.kind === "in" && state.session.tokenId === id;
}

/** The policy that allows everything has a color of its own; the names of policies are those of the API. */
export function PolicyBadges({ policies }: Pick<TokenSummary, "policies">) {
  return policies.map((policy) => {
    const tone: Tone = policy === "operator" ? "accent" : "idle";
    return (
      <Badge key={policy} tone={tone}>
        {policy}
      </Badge>
    );
  });
}

export function Expiry({ token }: { readonly token: TokenSummary }) {
  const text = accessText();
  const state = expiryState(token, now.value);
  if (token.expiresAt === undefined) return <span class="muted">{text.never}</span>;
  const title = formatTime(token.expiresAt);
  if (state === "expired") {
    return (
      <Badge tone="bad" icon={TimerOff} title={title}>
        {text.expired}
      </Badge>
    );
  }
  const when = formatAgo(token.expiresAt);
  if (state === "later") return <span title={title}>{when}</span>;
  return (
    <Badge tone="warn" icon={Clock} title={title}>
      {when}
    </Badge>
  );
}

/** When a token was last used, and where from. */
export function LastUse({ token: { lastUsedAt, lastUsedFrom } }: { readonly token: TokenSummary }) {
  if (lastUsedAt === undefined) return <span class="muted">{accessText().neverUsed}</span>;
  const from = lastUsedFrom === undefined ? "" : ` · ${lastUsedFrom}`;
  return <span title={`${formatTime(lastUsedAt)}${from}`}>{formatAgo(lastUsedAt)}</span>;
}

/** Limits in one line, such as `Namespaces: prod`. */
function limitText(token: Pick<TokenSummary, LimitKind>): string {
  const text = accessText();
  return LIMIT_KINDS.flatMap((kind) =>
    token[kind] === undefined ? [] : [`${text[kind]}: ${token[kind].join(", ")}`],
  ).join(" · ");
}

/** Limits in one line, or a word that there are none. */
export function LimitsCell({ of }: { readonly of: Pick<TokenSummary, LimitKind> }) {
  const limits = limitText(of);
  return limits === "" ? <span class="muted">{accessText().noLimits}</span> : <span title={limits}>{limits}</span>;
}

function NameCell({ token }: { readonly token: TokenSummary }) {
  const text = accessText();
  return (
    <span class="token-name">
      <span class="truncate" title={token.name}>
        {token.name}
      </span>
      {isOwnToken(token) && (
        <Badge tone="moving" title={text.ownTitle}>
          {text.own}
        </Badge>
      )}
    </span>
  );
}

export function tokenColumns(): readonly TableColumn<TokenSummary>[] {
  const text = accessText();
  return [
    {
      id: "name",
      title: commonText().name,
      width: "minmax(5.5rem, 1.5fr)",
      isName: true,
      cell: (token) => <NameCell token={token} />,
      sort: ({ name }) => name,
    },
    {
      id: "policies",
      title: text.policies,
      width: "minmax(5rem, 12rem)",
      cell: ({ policies }) => (
        <span class="badges" title={policies.join(", ")}>
          <PolicyBadges policies={policies} />
        </span>
      ),
      sort: (token) => TOKEN_POLICIES.findIndex((policy) => policy === tokenPolicy(token)),
    },
    {
      id: "limits",
      title: text.limits,
      width: "minmax(10rem, 2fr)",
      priority: 2,
      cell: (token) => <LimitsCell of={token} />,
      sort: limitText,
    },
    {
      id: "expires",
      title: text.expires,
      width: "6rem",
      cell: (token) => <Expiry token={token} />,
      sort: ({ expiresAt }) => (expiresAt === undefined ? Infinity : Date.parse(expiresAt)),
    },
    {
      id: "created",
      title: text.created,
      width: "8rem",
      priority: 3,
      cell: ({ createdAt }) => <span title={formatTime(createdAt)}>{formatAgo(createdAt)}</span>,
      sort: ({ createdAt }) => Date.parse(createdAt),
    },
    {
      id: "used",
      title: text.lastUsed,
      width: "8rem",
      priority: 2,
      cell: (token) => <LastUse token={token} />,
      sort: ({ lastUsedAt }) => (lastUsedAt === undefined ? 0 : Date.parse(lastUsedAt)),
    },
    {
      id: "id",
      title: text.id,
      width: "10rem",
      priority: 3,
      cell: ({ id }) => <span class="mono muted">{id}</span>,
    },
  ];
}
