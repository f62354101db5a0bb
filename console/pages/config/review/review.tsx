/** Drafts and proposals of a set: what its authors are about to change, and what others think of it. */
import { useQuery } from "../../../data/location.ts";
import type { ConfigSet } from "../use-set.ts";
import { DraftsView } from "./drafts.tsx";
import { ProposalList } from "./proposal-list.tsx";
import { ProposalView } from "./proposal.tsx";

export default function ReviewView({ set }: { readonly set: ConfigSet }) {
  const [proposal] = useQuery("proposal");
  if (proposal !== "") return <ProposalView key={proposal} set={set} id={proposal} />;
  return (
    <>
      <DraftsView set={set} />
      <ProposalList set={set} />
    </>
  );
}
