/** A set of config as templates are rendered from. */
import type { EffectiveConfig } from "#config-server/api";

type Format = EffectiveConfig["items"][string]["format"];

export function config(app: string, items: Record<string, [Format, string]>, revision = 1): EffectiveConfig {
  const origin = { profile: "default", version: 1 };
  return {
    namespace: "default",
    app,
    profile: "default",
    releaseKey: `${app}-${revision}`,
    revision,
    items: Object.fromEntries(Object.entries(items).map(([key, [format, value]]) => [key, { format, value, origin }])),
  };
}
