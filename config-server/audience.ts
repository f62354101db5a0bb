/**
 * Who is told a config, and how: those that run the app in the clear, others with its secrets masked. What is made once for
 * many readers, a topic's frames, an answer's bytes and its tag, is made once for each of the two.
 */
import type { EffectiveConfig, SetName } from "./api.ts";
import { setId } from "./core/keys.ts";
import { hasSecrets, maskedConfig } from "./core/secrecy.ts";

export type Audience = "instances" | "others";

/** Said at the end of the topic of watches that want what changed only, and before that of those shown no secrets. */
const PATCHES = "#patches";
const MASKED = "#masked";

/** What a watch of a config subscribes to; with `patches` it is told what changed only. */
export function topicOf(name: SetName, audience: Audience, patches: boolean): string {
  return `${setId(name)}${audience === "others" ? MASKED : ""}${patches ? PATCHES : ""}`;
}

export function parseTopic(topic: string): {
  readonly id: string;
  readonly audience: Audience;
  readonly patches: boolean;
} {
  const [id = ""] = topic.split("#", 1);
  return { id, audience: topic.includes(MASKED) ? "others" : "instances", patches: topic.endsWith(PATCHES) };
}

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
