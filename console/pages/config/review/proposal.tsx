/** One proposal: its changes against the live version, its reviews, and the decision about it. */
import { Check, Rocket, Undo2, X } from "lucide";
import { useSignal } from "@preact/signals";
import type { Difference, Proposal } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { cliOf } from "../../../data/commands.ts";
import { linkTo } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { setPageOf } from "../core/names.ts";
import { Differences } from "../release/differences.tsx";
import { reviewText } from "../review-text.ts";
import { setText } from "../set-text.ts";
import { principalName } from "../use-drafts.ts";
import type { ConfigSet } from "../use-set.ts";
import { ProposalDecision, type Decision } from "./proposal-decision.tsx";
import { ProposalBadge } from "./proposal-list.tsx";

interface ProposalViewProps {
  readonly set: ConfigSet;
  readonly id: string;
}

export function ProposalView({ set, id }: ProposalViewProps) {
  const text = reviewText();
  const resource = useResource<Proposal>(`${set.path}/proposals/${encodeURIComponent(id)}`, ["config"]);
  const decision = useSignal<Decision | undefined>(undefined);
  return (
    <>
      <p>
        <a href={linkTo(setPageOf(set.name), { tab: "review" })}>← {text.back}</a>
      </p>
      <Loaded of={resource}>
        {(proposal) => (
          <>
            <Card
              title={
                <span class="config-environment">
                  {proposal.reason || text.noReason} <ProposalBadge proposal={proposal} />
                </span>
              }
              actions={
                <>
                  <CopyAs
                    cli={cliOf("config", "proposals", "show", set.id, id)}
                    call={{ path: `${set.path}/proposals/${encodeURIComponent(id)}` }}
                  />
                  <ProposalActions proposal={proposal} onDecide={(next) => (decision.value = next)} />
                </>
              }
            >
              <ProposalFacts proposal={proposal} />
              <Differences of={differencesOf(proposal, set)} labels={[setText().liveSide, text.proposal]} />
            </Card>
            <Reviews proposal={proposal} />
            {decision.value && (
              <ProposalDecision
                set={set}
                proposal={proposal}
                decision={decision.value}
                onClose={() => (decision.value = undefined)}
                onDone={async () => {
                  await Promise.all([resource.reload(), set.reload()]);
                }}
              />
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

/** While it is open, against what is live now; later there is only its own side. */
function differencesOf({ changes, state }: Proposal, set: ConfigSet): Difference[] {
  return Object.entries(changes).map(([key, after]) => {
    const before = state === "open" ? set.live?.items[key] : undefined;
    return {
      key,
      kind: after === null ? "removed" : before ? "changed" : "added",
      ...(before ? { before } : {}),
      ...(after ? { after } : {}),
    };
  });
}

interface ProposalActionsProps {
  readonly proposal: Proposal;
  readonly onDecide: (decision: Decision) => void;
}

function ProposalActions({ proposal, onDecide }: ProposalActionsProps) {
  const text = reviewText();
  if (proposal.state !== "open") return null;
  const isOwn = proposal.author === principalName();
  return (
    <>
      {isOwn ? (
        <Button icon={Undo2} needs="config:draft" aria-haspopup="dialog" onClick={() => onDecide("withdraw")}>
          {text.withdraw}
        </Button>
      ) : (
        <>
          <Button
            icon={X}
            kind="danger"
            needs="config:review"
            aria-haspopup="dialog"
            onClick={() => onDecide("reject")}
          >
            {text.reject}
          </Button>
          <Button icon={Check} needs="config:review" aria-haspopup="dialog" onClick={() => onDecide("approve")}>
            {text.approve}
          </Button>
        </>
      )}
      <Button
        icon={Rocket}
        kind="primary"
        needs="config:publish"
        aria-haspopup="dialog"
        onClick={() => onDecide("publish")}
      >
        {text.publish}
      </Button>
    </>
  );
}

function ProposalFacts({ proposal }: { readonly proposal: Proposal }) {
  const text = reviewText();
  const { author, createdAt, baseVersion, version, promotedFrom, state } = proposal;
  return (
    <p class="muted">
      {author} · <span title={formatTime(createdAt)}>{formatAgo(createdAt)}</span> · {text.openedAs(baseVersion)}
      {version !== undefined && <> · {text.publishedAs(version)}</>}
      {promotedFrom !== undefined && <> · {text.promotedFrom(promotedFrom)}</>}
      {state === "open" && author === principalName() && <> · {text.own}</>}
    </p>
  );
}

function Reviews({ proposal: { reviews } }: { readonly proposal: Proposal }) {
  const text = reviewText();
  return (
    <Card isFlush title={text.reviews}>
      {reviews.length === 0 ? (
        <p class="config-none muted">{text.noReviews}</p>
      ) : (
        <ul class="list">
          {reviews.map(({ reviewer, verdict, comment, at }) => (
            <li key={reviewer}>
              <Badge tone={verdict === "approve" ? "good" : "bad"} icon={verdict === "approve" ? Check : X}>
                {verdict === "approve" ? text.approve : text.reject}
              </Badge>
              <span class="what">
                <strong>{reviewer}</strong> {comment}
              </span>
              <span class="when" title={formatTime(at)}>
                {formatAgo(at)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
