/** A host's acknowledgement of one set: all its files have the release, one of them could not, or nothing yet. */
import type { EffectiveConfig, LocalFile } from "../api.ts";

export interface FileStanding {
  readonly path: string;
  /** Absent for a template. */
  readonly key: string | undefined;
  readonly state: LocalFile["state"];
  /** The release of the set that its state is about; undefined while a look is under way. */
  readonly looked: string | undefined;
  readonly error: string | undefined;
}

export interface SetStanding {
  readonly name: { readonly namespace: string; readonly app: string; readonly profile: string };
  /** Undefined: some file is not settled yet, or nothing is released. */
  readonly acknowledgement:
    | { readonly releaseKey: string; readonly outcome: "applied" | "failed"; readonly error?: string }
    | undefined;
}

/** The first failure is acknowledged at once; success only when every file is written, checked and reloaded. */
export function standingOf(
  { namespace, app, profile }: SetStanding["name"],
  config: EffectiveConfig | undefined,
  files: readonly FileStanding[],
): SetStanding {
  const name = { namespace, app, profile };
  if (!config || config.revision === 0) return { name, acknowledgement: undefined };
  const { releaseKey } = config;
  const settled = files.filter(
    ({ looked, state }) => looked === releaseKey && state !== "reloading" && state !== "waiting",
  );
  // A key that the release lacks is a file that this host wants and does not receive.
  const errors = settled.flatMap(({ path, key, state, error }) => {
    if (state === "absent") return [`${path}: the release has no key "${key}"; the file stays as it was`];
    return state === "failed" ? [error ?? `${path} failed`] : [];
  });
  const [error] = errors;
  if (error !== undefined) return { name, acknowledgement: { releaseKey, outcome: "failed", error } };
  const isComplete = settled.length === files.length;
  return { name, acknowledgement: isComplete ? { releaseKey, outcome: "applied" } : undefined };
}
