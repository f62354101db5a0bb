/**
 * The two audiences of a config: instances of the app receive secrets in the clear, other readers receive them masked. Frames,
 * response bytes and tags are made once per audience.
 */
import type { EffectiveConfig } from "../api.ts";
import { hasSecrets, maskedConfig } from "../core/secrecy.ts";
import type { Audience } from "../core/watch-frames.ts";

const secretive = new WeakMap<EffectiveConfig, boolean>();

/** Computed once per config, since every response needs it. */
function hasSecretsOnce(config: EffectiveConfig): boolean {
  let found = secretive.get(config);
  if (found === undefined) secretive.set(config, (found = hasSecrets(config)));
  return found;
}

/** Whether a response contains secrets in the clear, and so must not be cached. */
export function hasClearSecrets(config: EffectiveConfig, audience: Audience): boolean {
  return audience === "instances" && hasSecretsOnce(config);
}

/** The tag of a config. Its masked form has a tag of its own. */
export function tagOf(config: EffectiveConfig, audience: Audience): string {
  return `${config.releaseKey}${audience === "others" && hasSecretsOnce(config) ? ".masked" : ""}`;
}

/** Masked configs, each made once. */
export class Shown {
  readonly #masked = new WeakMap<EffectiveConfig, EffectiveConfig>();

  of(config: EffectiveConfig, audience: Audience): EffectiveConfig {
    if (audience === "instances") return config;
    let shown = this.#masked.get(config);
    if (!shown) this.#masked.set(config, (shown = maskedConfig(config)));
    return shown;
  }
}
