/** The layer of an effective config that a value comes from. */
import type { EffectiveConfig, SetName } from "#config-server/api";

type EffectiveItem = EffectiveConfig["items"][string];

/** `import`: a shared set; `base`: profile default; `label`: a variant by label; `own`: the set itself. */
export type OriginKind = "own" | "base" | "label" | "import";

export interface Origin {
  readonly kind: OriginKind;
  readonly set: SetName;
  readonly version: number;
}

const BASE_PROFILE = "default";

export function originOf(name: SetName, { origin }: Pick<EffectiveItem, "origin">): Origin {
  const set = { namespace: origin.namespace ?? name.namespace, app: origin.app ?? name.app, profile: origin.profile };
  const isShared = set.namespace !== name.namespace || set.app !== name.app;
  return { kind: isShared ? "import" : kindWithin(name.profile, set.profile), set, version: origin.version };
}

function kindWithin(wanted: string, found: string): OriginKind {
  if (found === wanted) return "own";
  return found === BASE_PROFILE ? "base" : found.includes("@") ? "label" : "base";
}
