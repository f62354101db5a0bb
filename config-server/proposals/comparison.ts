/** The differences between two states of a set, or between two sets. */
import type { DiffResult, SetName } from "../api.ts";
import { withChanges } from "../core/change.ts";
import { diffItems } from "../core/diff.ts";
import { setId } from "../core/keys.ts";
import type { StoredItems } from "../core/sealed.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import type { Drafts } from "./drafts.ts";

/** A state of a set: a version, the live version, or the live version with the drafts of one author. */
export type SetState = { readonly version: number } | "live" | { readonly drafts: string };

/** A state of one set. */
export interface ComparedState {
  readonly name: SetName;
  readonly state: SetState;
}

interface ComparisonParts {
  readonly config: ConfigServer;
  readonly drafts: Drafts;
}

/** @throws CONFIG_RELEASE_NOT_FOUND */
export async function compareStates(
  parts: ComparisonParts,
  from: ComparedState,
  to: ComparedState,
): Promise<DiffResult> {
  const [before, after] = await Promise.all([itemsAt(parts, from), itemsAt(parts, to)]);
  const compare = ![from.state, to.state].some((state) => typeof state === "object" && "drafts" in state);
  const same = await parts.config.secrets.same(
    { name: from.name, items: before },
    { name: to.name, items: after },
    { compare },
  );
  return { from: labelOf(from), to: labelOf(to), differences: diffItems(before, after, same) };
}

async function itemsAt({ config, drafts }: ComparisonParts, { name, state }: ComparedState): Promise<StoredItems> {
  if (typeof state === "object" && "version" in state) return (await config.releases.read(name, state.version)).items;
  const { items } = await config.releases.liveItems(name);
  if (state === "live") return items;
  const changes = await drafts.stored(name, state.drafts);
  return withChanges(items, Object.fromEntries(changes.map(({ key, item }) => [key, item])));
}

function labelOf({ name, state }: ComparedState): string {
  const at = state === "live" ? state : "version" in state ? String(state.version) : `drafts of ${state.drafts}`;
  return `${setId(name)}@${at}`;
}
