/** Compares the wanted content of a file with the disk: whether it is written, and why not. */
import { own } from "#base";
import { isMasked, type EffectiveConfig, type Escape } from "../api.ts";
import { renderTemplate } from "./template.ts";

export interface WantedTemplate {
  /** Path on this host, or key of the set. */
  readonly source:
    | { readonly path: string; readonly key?: undefined }
    | { readonly key: string; readonly path?: undefined };
  readonly escape: Escape;
}

export interface WantedContent {
  /** Exactly one of the two. */
  readonly key: string | undefined;
  readonly template?: WantedTemplate | undefined;
}

/** The configs of one moment: whole releases, never a mix. */
export interface KnownConfigs {
  readonly config: EffectiveConfig | undefined;
  /** The template's further sets, by their names in it. */
  readonly sets: ReadonlyMap<string, EffectiveConfig | undefined>;
  /** The text of a template on this host. */
  readonly template: string | undefined;
}

/** How a file's content is represented as text: base64 for a binary value. */
export type Encoding = "utf8" | "base64";

export function encodingOf({ key }: Pick<WantedContent, "key">, config: EffectiveConfig | undefined): Encoding {
  const item = key === undefined || !config ? undefined : itemOf(config, key);
  return item?.format === "binary" ? "base64" : "utf8";
}

export type PlannedFile =
  /** The server has not sent a config yet; for a template also: nothing is released. */
  | { readonly state: "waiting" }
  /** No release has its key: the file stays as it is, since an old value is better than none. */
  | { readonly state: "absent" }
  /** Its value is a secret that the agent's token may not read. A mask never replaces a value. */
  | { readonly state: "masked" }
  /** The template cannot be filled in; the old file stays. */
  | { readonly state: "invalid"; readonly message: string }
  | { readonly state: "current" }
  /** The content to write. */
  | { readonly state: "write"; readonly value: string };

/** `onDisk`: the content of the file, in the encoding of the wanted content; undefined when it does not exist or cannot be read. */
export function planFile(wanted: WantedContent, known: KnownConfigs, onDisk: string | undefined): PlannedFile {
  const { config } = known;
  if (!config) return { state: "waiting" };
  if (wanted.key !== undefined) {
    const item = itemOf(config, wanted.key);
    return item && isMasked(item) ? { state: "masked" } : against(onDisk, item?.value);
  }
  const { template } = wanted;
  if (!template || config.revision === 0) return { state: "waiting" };
  const sets = new Map<string, EffectiveConfig>();
  for (const [name, set] of known.sets) {
    if (!set || set.revision === 0) return { state: "waiting" };
    sets.set(name, set);
  }
  const text = template.source.key === undefined ? known.template : itemOf(config, template.source.key)?.value;
  const place = template.source.key ?? template.source.path;
  if (text === undefined) return { state: "invalid", message: `${config.app}/${config.profile} has no key "${place}"` };
  const { text: value, problem } = renderTemplate({ template: text, escape: template.escape, config, sets });
  if (problem) return { state: "invalid", message: `${place}:${problem.line}: ${problem.message}` };
  return against(onDisk, value);
}

function against(onDisk: string | undefined, value: string | undefined): PlannedFile {
  if (value === undefined) return { state: "absent" };
  return value === onDisk ? { state: "current" } : { state: "write", value };
}

function itemOf({ items }: EffectiveConfig, key: string) {
  return own(items, key);
}
