/**
 * Who is told a config, and how: those that run the app in the clear, others with its secrets masked. What is made once for
 * many readers, a topic's frames, an answer's bytes and its tag, is made once for each of the two.
 */
import type { EffectiveConfig } from "../api.ts";
import { hasSecrets, maskedConfig } from "../core/secrecy.ts";
import type { Audience } from "../core/told.ts";

const secretive = new WeakMap<EffectiveConfig, boolean>();

/** Looked at once per config: it is asked of each reader's answer. */
function hasSecretsOnce(config: EffectiveConfig): boolean {
  let found = secretive.get(config);
  if (found === undefined) secretive.set(config, (found = hasSecrets(config)));
  return found;
}

/** Whether an answer holds secrets in the clear, and so must not be stored on its way. */
export function tellsSecrets(config: EffectiveConfig, audience: Audience): boolean {
  return audience === "instances" && hasSecretsOnce(config);
}

/** Tells contents apart, and what others are shown of one from what instances are told. */
export function tagOf(config: EffectiveConfig, audience: Audience): string {
  return `${config.releaseKey}${audience === "others" && hasSecretsOnce(config) ? ".masked" : ""}`;
}

/** Configs as they are shown, each made once. */
export class Shown {
  readonly #masked = new WeakMap<EffectiveConfig, EffectiveConfig>();

  of(config: EffectiveConfig, audience: Audience): EffectiveConfig {
    if (audience === "instances") return config;
    let shown = this.#masked.get(config);
    if (!shown) this.#masked.set(config, (shown = maskedConfig(config)));
    return shown;
  }
}
