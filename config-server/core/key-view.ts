/**
 * The part of a config that a reader sees when its rights differ by key. Readers whose rights look at no key have no view, and share
 * one result. A view has an id, so that the topic of a watch can name it. Pure.
 */
import { own, setOwn } from "#base";
import type { EffectiveConfig, SetName } from "../api.ts";

/** Whether a caller may read a key of a set. */
export type SeesKey = (name: SetName, key: string) => boolean;

export interface KeyView {
  readonly id: string;
  readonly sees: SeesKey;
  /** Whether it also receives the key's secret in the clear, if it receives secrets at all. */
  readonly seesSecret: SeesKey;
}

/** Members of a record of keys that a caller may read. */
export function seenItems<T>(name: SetName, items: Readonly<Record<string, T>>, sees: SeesKey): Record<string, T> {
  return Object.fromEntries(Object.entries(items).filter(([key]) => sees(name, key)));
}

/** By id. Open watches and waiting readers keep their view; a view without readers is forgotten. */
const views = new Map<string, WeakRef<KeyView>>();
/** Views after which those that are gone are looked for. */
const VIEWS_KEPT = 1_000;
let made = 0;

export function makeKeyView(parts: Omit<KeyView, "id">): KeyView {
  if (views.size >= VIEWS_KEPT) for (const [id, view] of views) if (!view.deref()) views.delete(id);
  const view = { ...parts, id: String(++made) };
  views.set(view.id, new WeakRef(view));
  return view;
}

/** Undefined when its last reader has gone. */
export function keyViewOf(id: string): KeyView | undefined {
  return views.get(id)?.deref();
}

/** The keys of a config that a view shows. `masked`: the same config without secrets. */
export function viewedConfig(config: EffectiveConfig, masked: EffectiveConfig, view: KeyView): EffectiveConfig {
  const items: EffectiveConfig["items"] = {};
  for (const [key, item] of Object.entries(masked.items)) {
    if (!view.sees(config, key)) continue;
    setOwn(items, key, view.seesSecret(config, key) ? (own(config.items, key) ?? item) : item);
  }
  return { ...config, items };
}
