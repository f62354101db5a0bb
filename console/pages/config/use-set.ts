/** Data that the views of one config set share: its live release, its effective config, and the rules of its environment. */
import { useRef } from "preact/hooks";
import type { EffectiveConfig, Release, Rules, SetList, SetName, SetSummary } from "#config-server/api";
import type { ApiProblem } from "../../data/api.ts";
import { type Resource, useResource } from "../../data/resource.ts";
import { setIdOf, setPathOf } from "./core/names.ts";

export interface ConfigSet {
  readonly name: SetName;
  /** NAMESPACE/APP/PROFILE. */
  readonly id: string;
  /** The set in the control API. */
  readonly path: string;
  readonly summary: SetSummary | undefined;
  /** The live release of the set itself, with secrets masked. Absent: nothing is released. */
  readonly live: Release | undefined;
  readonly effective: Resource<EffectiveConfig>;
  readonly needsReview: boolean;
  /** False until it is known whether there is a live release. */
  readonly isKnown: boolean;
  readonly problem: ApiProblem | undefined;
  readonly reload: () => Promise<void>;
}

/** Problems which mean that nothing was released yet. */
const ABSENT = new Set(["CONFIG_SET_NOT_FOUND", "CONFIG_RELEASE_NOT_FOUND"]);

export function isAbsent(problem: ApiProblem | undefined): boolean {
  return problem !== undefined && ABSENT.has(problem.code);
}

export function useConfigSet(name: SetName): ConfigSet {
  const id = setIdOf(name);
  const path = setPathOf(name);
  const sets = useResource<SetList>(`/v1/config?namespace=${encodeURIComponent(name.namespace)}`, [
    "config",
    "rollouts",
  ]);
  const summary = sets.data?.sets.find(({ app, profile }) => app === name.app && profile === name.profile);
  const release = useResource<Release>(summary && `${path}/releases/${summary.version}`);
  const effective = useResource<EffectiveConfig>(path, ["config", "rollouts"]);
  const rules = useResource<Rules>(`/v1/config/${encodeURIComponent(name.namespace)}/rules`, ["config"]);
  // The release before stays until the next one is read, so that views do not flash.
  const last = useRef<Release | undefined>(undefined);
  if (release.data) last.current = release.data;
  if (last.current && setIdOf(last.current) !== id) last.current = undefined;
  const live = summary ? (release.data ?? last.current) : undefined;
  return {
    name,
    id,
    path,
    summary,
    live,
    effective,
    needsReview: rules.data?.review === "required",
    isKnown: sets.data !== undefined && (summary === undefined || live !== undefined),
    problem: sets.problem,
    reload: async () => {
      await Promise.all([sets.reload(), effective.reload(), rules.reload()]);
    },
  };
}
