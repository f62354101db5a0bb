/** Proposals of a set, newest first. */
import { CircleCheck, CircleDot, CircleX, Undo2 } from "lucide";
import type { Proposal } from "#config-server/api";
import { Badge, type Tone } from "../../../components/badge.tsx";
import type { IconNode } from "../../../components/icon.tsx";
import { Card } from "../../../components/layout.tsx";
import { Loaded } from "../../../components/states.tsx";
import { DataTable } from "../../../components/table.tsx";
import { linkTo } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { commonText } from "../../../text/common.ts";
import { setPageOf } from "../core/names.ts";
import { reviewText } from "../review-text.ts";
import type { ConfigSet } from "../use-set.ts";

type Shown = Proposal["state"] | "approved";

const STATES: Readonly<Record<Shown, readonly [Tone, IconNode]>> = {
  open: ["moving", CircleDot],
  approved: ["good", CircleCheck],
  rejected: ["bad", CircleX],
  withdrawn: ["idle", Undo2],
  published: ["idle", CircleCheck],
};

/** Approved: open, and approved by another person than its author. */
export function shownState({ state, reviews, author }: Proposal): Shown {
  const isApproved = reviews.some(({ verdict, reviewer }) => verdict === "approve" && reviewer !== author);
  return state === "open" && isApproved ? "approved" : state;
}

export function ProposalBadge({ proposal }: { readonly proposal: Proposal }) {
  const state = shownState(proposal);
  const [tone, icon] = STATES[state];
  return (
    <Badge tone={tone} icon={icon}>
      {reviewText()[`state_${state}`]}
    </Badge>
  );
}

export function ProposalList({ set }: { readonly set: ConfigSet }) {
  const text = reviewText();
  const list = useResource<{ readonly proposals: readonly Proposal[] }>(`${set.path}/proposals`, ["config"]);
  return (
    <Card isFlush title={text.proposals}>
      <Loaded of={list}>
        {({ proposals }) => (
          <DataTable
            id="proposals."
            label={text.proposals}
            rows={proposals}
            keyOf={({ id }) => id}
            hrefOf={({ id }) => linkTo(setPageOf(set.name), { tab: "review", proposal: id })}
            empty={<p class="config-none muted">{text.noProposals}</p>}
            columns={[
              {
                id: "reason",
                title: commonText().reason,
                width: "minmax(8rem, 2fr)",
                isName: true,
                cell: ({ reason }) => <span title={reason}>{reason || text.noReason}</span>,
              },
              {
                id: "state",
                title: commonText().status,
                width: "7rem",
                cell: (proposal) => <ProposalBadge proposal={proposal} />,
                sort: shownState,
              },
              {
                id: "author",
                title: text.author,
                width: "minmax(5rem, 0.7fr)",
                priority: 2,
                cell: ({ author }) => author,
              },
              {
                id: "keys",
                title: text.keys,
                width: "minmax(6rem, 1fr)",
                priority: 3,
                cell: ({ changes }) => <code>{Object.keys(changes).join(", ")}</code>,
              },
              {
                id: "at",
                title: text.updated,
                width: "7rem",
                isRight: true,
                priority: 2,
                cell: ({ createdAt }) => <span title={formatTime(createdAt)}>{formatAgo(createdAt)}</span>,
                sort: ({ createdAt }) => createdAt,
              },
            ]}
          />
        )}
      </Loaded>
    </Card>
  );
}
