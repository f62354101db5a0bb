/** Drafts of a set. The server lists those of all authors; each author changes only their own. */
import { useMemo } from "preact/hooks";
import type { Draft } from "#config-server/api";
import { sessionState } from "../../data/api.ts";
import { type Resource, useResource } from "../../data/resource.ts";
import type { ConfigSet } from "./use-set.ts";

export function principalName(): string {
  const state = sessionState.value;
  return state.kind === "in" ? state.session.name : "";
}

export function useDrafts(set: ConfigSet): Resource<{ readonly drafts: readonly Draft[] }> {
  return useResource(`${set.path}/drafts`, ["config"]);
}

export function useOwnDrafts(set: ConfigSet): readonly Draft[] {
  const author = principalName();
  const { data } = useDrafts(set);
  return useMemo(() => (data?.drafts ?? []).filter((draft) => draft.author === author), [data, author]);
}
