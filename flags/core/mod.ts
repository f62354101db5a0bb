/** Makes a flag set of an effective config. Servers, agents and clients share it. Pure. */
import type { EffectiveConfig } from "#config-server/api";
import { type Located, readYaml } from "#base/yaml";
import { FLAGS_KEYS } from "../api.ts";
import { compileFlags, type FlagSet } from "./flag-set.ts";

export * from "../api.ts";
export { depthOf, FlagSet, typeOfValue, wasEvaluated, type Metadata } from "./flag-set.ts";

/** Aliases followed in one document: a few lines of YAML can expand to a billion nodes. */
const ALIASES_MAX = 100;
/** Compiled flag sets kept: a server has about as many as apps with flags, and drops the oldest ones. */
const SETS_MAX = 256;

export type ReadFlags =
  | { readonly set: FlagSet; readonly problems?: undefined }
  | { readonly problems: readonly Located[] };

/** Reads YAML 1.2, which includes JSON. Reports all problems by line and column. */
export function readFlags(text: string): ReadFlags {
  const read = readYaml(text, ALIASES_MAX);
  if (read.problems) return { problems: read.problems };
  const compiled = compileFlags(read.tree);
  if (!compiled.problems) return compiled;
  return { problems: compiled.problems.map((problem) => ({ ...problem, ...read.place(problem.pointer) })) };
}

/** The flags of a config: absent when its releases have none. */
export type FlagsOfConfig = { readonly set: FlagSet } | { readonly absent: string } | { readonly problem: string };

/** When one release has `flags.yaml` and another has `flags.json`, the profile's own release wins over the default one. */
export function flagsOf(config: EffectiveConfig, read: (text: string) => ReadFlags = readFlags): FlagsOfConfig {
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
  const flags = read(item.value);
  if (!flags.problems) return { set: flags.set.of({ profile: origin.profile, version: origin.version, releaseKey }) };
  const [first] = flags.problems;
  const at = first?.line === undefined ? "" : ` line ${first.line}`;
  return { problem: `${item.key} of ${origin.profile}@${origin.version}${at}: ${first?.message ?? "not readable"}` };
}

/**
 * Flag sets by their text, so that a text is compiled once for all profiles that inherit it, even for invented profile
 * names. The least recently used text is dropped first.
 */
export class FlagSets {
  readonly #known = new Map<string, ReadFlags>();

  of(config: EffectiveConfig): FlagsOfConfig {
    return flagsOf(config, (text) => {
      const read = this.#known.get(text) ?? readFlags(text);
      this.#known.delete(text);
      this.#known.set(text, read);
      const [oldest] = this.#known.keys();
      if (this.#known.size > SETS_MAX && oldest !== undefined) this.#known.delete(oldest);
      return read;
    });
  }
}
