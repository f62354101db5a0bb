/** What a host has to say of one set: that all its files stand for a release, that one could not be taken, or nothing yet. */
import type { EffectiveConfig, LocalFile } from "../api.ts";

export interface FileStanding {
  readonly path: string;
  /** Absent for a template. */
  readonly key: string | undefined;
  readonly state: LocalFile["state"];
  /** The release of the set that its state is about; undefined while it is being looked at. */
  readonly looked: string | undefined;
  readonly error: string | undefined;
}

export interface SetStanding {
  readonly name: { readonly namespace: string; readonly app: string; readonly profile: string };
  /** Undefined: some file is still on its way, or nothing is released. */
  readonly said:
    | { readonly releaseKey: string; readonly outcome: "applied" | "failed"; readonly error?: string }
    | undefined;
}

/** One failure is said at once; that it is applied only when every file stands, checked and reloaded. */
export function standingOf(
  { namespace, app, profile }: SetStanding["name"],
  config: EffectiveConfig | undefined,
  files: readonly FileStanding[],
): SetStanding {
  const name = { namespace, app, profile };
  if (!config || config.revision === 0) return { name, said: undefined };
  const { releaseKey } = config;
  const settled = files.filter(
    ({ looked, state }) => looked === releaseKey && state !== "reloading" && state !== "waiting",
  );
  // A key that the release lacks is a file that this host wants and does not get.
  const errors = settled.flatMap(({ path, key, state, error }) => {
    if (state === "absent") return [`${path}: the release has no key "${key}"; the file stays as it was`];
    return state === "failed" ? [error ?? `${path} failed`] : [];
  });
  const [error] = errors;
  if (error !== undefined) return { name, said: { releaseKey, outcome: "failed", error } };
  return { name, said: settled.length === files.length ? { releaseKey, outcome: "applied" } : undefined };
}
