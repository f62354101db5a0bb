/**
 * From what an instance is told to a set of flags that can be asked: what server, agent and client share. Pure.
 */
import type { EffectiveConfig } from "#config-server/api";
import { type Located, readYaml } from "#base/yaml";
import { FLAGS_KEYS } from "../api.ts";
import { compileFlags, type FlagSet, type Metadata } from "./flag-set.ts";

export * from "../api.ts";
export { FlagSet, typeOfValue, wasEvaluated, type Metadata } from "./flag-set.ts";

/** Aliases followed in one document: a few lines of YAML can name a billion nodes. */
const ALIASES_MAX = 100;
/** Sets kept compiled; profiles that are asked for are few, and whoever asks may make names up. */
const SETS_MAX = 256;

export type ReadFlags =
  | { readonly set: FlagSet; readonly problems?: undefined }
  | { readonly problems: readonly Located[] };

/** Reads YAML 1.2, of which JSON is a part. Says all that is wrong, by line and column. */
export function readFlags(text: string, metadata: Metadata = {}): ReadFlags {
  const read = readYaml(text, ALIASES_MAX);
  if (read.problems) return { problems: read.problems };
  const compiled = compileFlags(read.tree, metadata);
  if (!compiled.problems) return compiled;
  return { problems: compiled.problems.map((problem) => ({ ...problem, ...read.place(problem.pointer) })) };
}

/** The flags of a config: absent when its releases hold none. */
export type FlagsOfConfig = { readonly set: FlagSet } | { readonly absent: string } | { readonly problem: string };

/** Where one release has `flags.yaml` and another `flags.json`, the profile's own goes before what it stands on. */
export function flagsOf(config: EffectiveConfig): FlagsOfConfig {
  const { namespace, app, profile, releaseKey } = config;
  const held = FLAGS_KEYS.flatMap((key) => {
    const item = Object.hasOwn(config.items, key) ? config.items[key] : undefined;
    return item ? [{ key, ...item }] : [];
  });
  const item = held.find(({ origin }) => origin.profile === profile) ?? held[0];
  if (!item) {
    return { absent: `No release for "${namespace}/${app}/${profile}" has the key ${FLAGS_KEYS.join(" or ")}.` };
  }
  const { origin } = item;
  const read = readFlags(item.value, { profile: origin.profile, version: origin.version, releaseKey });
  if (!read.problems) return read;
  const [first] = read.problems;
  const at = first?.line === undefined ? "" : ` line ${first.line}`;
  return { problem: `${item.key} of ${origin.profile}@${origin.version}${at}: ${first?.message ?? "not readable"}` };
}

/** Flags by release: each is compiled once, and the least recently asked for goes first. */
export class FlagSets {
  readonly #known = new Map<string, FlagsOfConfig>();

  of(config: EffectiveConfig): FlagsOfConfig {
    const known = this.#known.get(config.releaseKey);
    const flags = known ?? flagsOf(config);
    this.#known.delete(config.releaseKey);
    this.#known.set(config.releaseKey, flags);
    const [oldest] = this.#known.keys();
    if (this.#known.size > SETS_MAX && oldest !== undefined) this.#known.delete(oldest);
    return flags;
  }
}
