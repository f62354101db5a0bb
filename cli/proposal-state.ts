/** The state of a proposal for people: an open one is also approved or not. */
import type { Proposal } from "#config-server/api";

export function proposalState({ state, reviews }: Pick<Proposal, "state" | "reviews">): string {
  return state === "open" && reviews.some(({ verdict }) => verdict === "approve") ? "approved" : state;
}
