/** The releases of a set, newest first, by page, each with the state of its rollout. */
import { decodeJson } from "#base";
import type { Store } from "#store";
import type { ReleaseList, RolloutState, RolloutView, SetName } from "../api.ts";
import { releaseKey, releasesPrefix, rolloutKey, rolloutsPrefix } from "../core/keys.ts";
import { latestOf, type ReleaseRecord } from "../core/release.ts";
import type { LiveRecord } from "../core/rollout.ts";

/** Releases of one page of the history. */
export const HISTORY_PAGE_MAX = 100;

export interface HistoryPage {
  /** Only releases below this number. */
  readonly before: number | undefined;
  readonly limit: number;
}

/** `live`: the current pointer of the set. */
export async function readHistory(
  store: Store,
  { name, live }: { name: SetName; live: LiveRecord },
  { before, limit }: HistoryPage,
): Promise<ReleaseList> {
  const newest = Math.min(latestOf(live), (before ?? Infinity) - 1);
  const oldest = Math.max(1, newest - limit + 1);
  if (newest < 1) return { releases: [] };
  const limits = { limit: newest - oldest + 1 };
  // Not every release has a rollout, so a page has at most as many rollouts as releases.
  const [page, ended] = await Promise.all([
    store.range({ prefix: releasesPrefix(name), after: releaseKey(name, oldest - 1), ...limits }),
    store.range({ prefix: rolloutsPrefix(name), after: rolloutKey(name, oldest - 1), ...limits }),
  ]);
  const states = new Map<number, RolloutState>();
  for (const { value } of ended.entries) {
    const { version, state } = decodeJson<RolloutView>(value);
    states.set(version, state);
  }
  if (live.rollout) states.set(live.rollout.version, live.rollout.state);
  const releases = page.entries
    .map((entry) => {
      const record: ReleaseRecord & { items?: unknown; parts?: number } = decodeJson(entry.value);
      const { items: _items, parts: _parts, ...summary } = record;
      const rollout = states.get(summary.version);
      return rollout === undefined ? summary : { ...summary, rollout };
    })
    .toReversed();
  return { releases, ...(oldest > 1 ? { before: oldest } : {}) };
}
