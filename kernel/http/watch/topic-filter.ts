/**
 * The part of a watch that its caller may see. Principals with the same rights and limits share one filter, so that a change is decided
 * once for all of them, however many there are and however many policies they have.
 */
import type { Action, Rights } from "#authorization";
import type { Principal } from "../principal.ts";

/** Whether a watch shows what is published to these topics. */
export type TopicFilter = (topics: readonly string[]) => boolean;

const filters = new WeakMap<Rights, Map<string, TopicFilter>>();

/** The filter of an action for all principals like this one. */
export function sharedFilter({ rights, limits }: Principal, action: Action, make: () => TopicFilter): TopicFilter {
  let known = filters.get(rights);
  if (!known) filters.set(rights, (known = new Map()));
  const key = JSON.stringify([action, limits ?? null]);
  let filter = known.get(key);
  if (!filter) known.set(key, (filter = make()));
  return filter;
}

/** Whether a filter shows what is published to these topics. Readers that share a filter share the decision. */
export function decidedOnce(topics: readonly string[]): (sees: TopicFilter | undefined) => boolean {
  const decided = new Map<TopicFilter, boolean>();
  return (sees) => {
    if (sees === undefined) return true;
    let shown = decided.get(sees);
    if (shown === undefined) decided.set(sees, (shown = sees(topics)));
    return shown;
  };
}
