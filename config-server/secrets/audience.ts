/**
 * The parts of a config that readers see: instances of the app receive secrets in the clear, other readers receive them masked, and
 * some readers see some keys only. Frames, response bytes and tags are made once per kind of reader.
 */
import { hash } from "node:crypto";
import type { EffectiveConfig } from "../api.ts";
import { type KeyView, viewedConfig } from "../core/key-view.ts";
import { hasSecrets, maskedConfig } from "../core/secrecy.ts";
import type { Reader } from "../core/watch-frames.ts";

type Seeing = Pick<Reader, "audience" | "keys">;
/** Hexadecimal digits that tell the visible keys of two readers apart. */
const KEYS_DIGITS = 16;

const secretive = new WeakMap<EffectiveConfig, boolean>();
const keysTags = new WeakMap<EffectiveConfig, string>();

/** Computed once per config, since every response needs it. */
function hasSecretsOnce(config: EffectiveConfig): boolean {
  let found = secretive.get(config);
  if (found === undefined) secretive.set(config, (found = hasSecrets(config)));
  return found;
}

/** Whether a response contains secrets in the clear, and so must not be cached. */
export function hasClearSecrets(config: EffectiveConfig, { audience }: Seeing): boolean {
  return audience === "instances" && hasSecretsOnce(config);
}

/** The tag of a config as a reader sees it. Masked and partial forms have tags of their own, the same on every member. */
export function tagOf(shown: EffectiveConfig, { audience, keys }: Seeing): string {
  const mask = audience === "others" && hasSecretsOnce(shown) ? ".masked" : "";
  return `${shown.releaseKey}${mask}${keys ? `.${keysTag(shown, keys)}` : ""}`;
}

function keysTag(shown: EffectiveConfig, view: KeyView): string {
  let tag = keysTags.get(shown);
  if (tag === undefined) {
    const keys = Object.entries(shown.items).map(([key, { secret }]) => [key, secret && view.seesSecret(shown, key)]);
    keysTags.set(shown, (tag = hash("sha256", JSON.stringify(keys)).slice(0, KEYS_DIGITS)));
  }
  return tag;
}

/** Configs as readers see them, each made once. */
export class Shown {
  readonly #masked = new WeakMap<EffectiveConfig, EffectiveConfig>();
  readonly #viewed = new WeakMap<KeyView, WeakMap<EffectiveConfig, EffectiveConfig>>();

  of(config: EffectiveConfig, { audience, keys }: Seeing): EffectiveConfig {
    if (keys) return this.#ofView(config, audience, keys);
    return audience === "instances" ? config : this.#maskedOf(config);
  }

  #maskedOf(config: EffectiveConfig): EffectiveConfig {
    let shown = this.#masked.get(config);
    if (!shown) this.#masked.set(config, (shown = maskedConfig(config)));
    return shown;
  }

  #ofView(config: EffectiveConfig, audience: Seeing["audience"], view: KeyView): EffectiveConfig {
    const masked = this.#maskedOf(config);
    const open = audience === "instances" ? config : masked;
    let known = this.#viewed.get(view);
    if (!known) this.#viewed.set(view, (known = new WeakMap()));
    let shown = known.get(open);
    if (!shown) known.set(open, (shown = viewedConfig(open, masked, view)));
    return shown;
  }
}
