/** Wanted against on disk: which files to write, and how each one stands. */
import { isMasked, type EffectiveConfig } from "../api.ts";

export interface WantedFile {
  readonly path: string;
  readonly key: string;
}

export type PlannedFile =
  /** Nothing was heard of its config yet. */
  | { readonly state: "waiting" }
  /** Its key is in no release: the file stays as it is, since an old value is better than none. */
  | { readonly state: "absent" }
  /** It is a secret, and the agent's token may not read it: a mask is no value, and is not written over one. */
  | { readonly state: "masked" }
  | { readonly state: "current"; readonly releaseKey: string }
  | { readonly state: "write"; readonly releaseKey: string; readonly value: string };

/** `onDisk` is what the file holds now; undefined when there is none, or none that can be read. */
export function planFile(
  file: WantedFile,
  config: EffectiveConfig | undefined,
  onDisk: string | undefined,
): PlannedFile {
  if (!config) return { state: "waiting" };
  const item = Object.hasOwn(config.items, file.key) ? config.items[file.key] : undefined;
  if (!item) return { state: "absent" };
  if (isMasked(item)) return { state: "masked" };
  const { releaseKey } = config;
  return item.value === onDisk ? { state: "current", releaseKey } : { state: "write", releaseKey, value: item.value };
}
