/**
 * What one instance is told: the live release of profile `default`, overlaid key by key by that of its own profile.
 * Every value says which release it came from.
 */
import { canonicalJson } from "#base";
import type { EffectiveConfig, Release, SetName } from "../api.ts";

/** The profile that all others of an app stand on. */
export const BASE_PROFILE = "default";

/** A live release and the store revision that made it live. */
export interface LiveRelease {
  readonly release: Release;
  readonly revision: number;
}

/** Sets whose releases make up the effective config, the later over the earlier. */
export function layersOf(name: SetName): SetName[] {
  return name.profile === BASE_PROFILE ? [name] : [{ ...name, profile: BASE_PROFILE }, name];
}

/** Merges the layers, in their order; `releaseKey` names the layers' versions and so the content. */
export function resolve(
  name: SetName,
  layers: readonly (LiveRelease | undefined)[],
  hash: (text: string) => string,
): EffectiveConfig {
  const items: EffectiveConfig["items"] = {};
  let revision = 0;
  for (const layer of layers) {
    if (!layer) continue;
    revision = Math.max(revision, layer.revision);
    const { profile, version } = layer.release;
    for (const [key, item] of Object.entries(layer.release.items)) {
      items[key] = { format: item.format, value: item.value, origin: { profile, version } };
    }
  }
  const identity = layers.map((layer) => layer && [layer.release.profile, layer.release.version, layer.release.hash]);
  return { ...name, releaseKey: hash(canonicalJson([name, identity])).slice(0, 32), revision, items };
}
