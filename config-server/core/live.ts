/**
 * All live releases in memory, and what every instance is told by them. An effective config is made once and kept until
 * a release of an app that it stands on changes. Pure: the hash is handed in.
 */
import type { ConfigPatch, EffectiveConfig, ReleaseProblem, SetName } from "../api.ts";
import { liveKey, setId } from "./keys.ts";
import { appId, appsNamedBy, layersOf, resolve, type LiveRelease, type Resolved } from "./resolve.ts";
import type { SealedItems } from "./sealed.ts";

/** Effective configs kept at a time: those of a large fleet's apps. Values in them are shared with the releases. */
const KEPT_MAX = 20_000;
/** Sets that a release is guarded against changes of: a transaction compares so many, with room for its own. */
const RESTS_ON_MAX = 64;
/** Characters of all values of one effective config: told in one piece, which readers take up to 16 MiB of. */
export const EFFECTIVE_CHARS_MAX = 12 * 1024 * 1024;

export interface LiveSet extends LiveRelease {
  readonly name: SetName;
  /** Its secrets as they are stored. */
  readonly sealed: SealedItems;
}

export class LiveConfig {
  readonly #hash: (text: string) => string;
  readonly #sets = new Map<string, LiveSet>();
  /** Sets of an app. */
  readonly #byApp = new Map<string, Set<string>>();
  /** Apps that a set names, and by whom an app is named. */
  readonly #names = new Map<string, ReadonlySet<string>>();
  readonly #namedBy = new Map<string, Set<string>>();
  /** In order of use. */
  readonly #kept = new Map<string, Resolved>();
  /** Of configs that cannot be made any more, what they were before. */
  readonly #lastGood = new Map<string, EffectiveConfig>();
  readonly #keptByApp = new Map<string, Set<string>>();

  constructor(hash: (text: string) => string) {
    this.#hash = hash;
  }

  get size(): number {
    return this.#sets.size;
  }

  get(name: SetName): LiveSet | undefined {
    return this.#sets.get(setId(name));
  }

  all(): IterableIterator<LiveSet> {
    return this.#sets.values();
  }

  clear(): void {
    for (const part of [
      this.#sets,
      this.#byApp,
      this.#names,
      this.#namedBy,
      this.#kept,
      this.#keptByApp,
      this.#lastGood,
    ])
      part.clear();
  }

  /** Takes over what has become live at one revision. Returns what was told, by set, that may have changed. */
  apply(sets: readonly LiveSet[]): ReadonlyMap<string, EffectiveConfig> {
    const stale = new Map<string, EffectiveConfig>();
    for (const live of sets) {
      this.#put(live);
      for (const key of this.#keptByApp.get(appId(live.name)) ?? []) {
        const { config, problems } = this.#kept.get(key) as Resolved;
        // What has problems and never was without any was told to nobody.
        if (problems.length === 0 || this.#lastGood.has(key)) stale.set(key, config);
        if (problems.length === 0) this.#lastGood.set(key, config);
        this.#forget(key);
      }
    }
    return stale;
  }

  #put(live: LiveSet): void {
    const id = setId(live.name);
    const app = appId(live.name);
    this.#sets.set(id, live);
    add(this.#byApp, app, id);
    for (const named of this.#names.get(id) ?? []) this.#namedBy.get(named)?.delete(id);
    const names = appsNamedBy(live.name, live.release.items);
    this.#names.set(id, names);
    for (const named of names) add(this.#namedBy, named, id);
  }

  /**
   * What an instance is told; empty when nothing is released for it. With problems it is what it was before they came up:
   * two releases on two members, at the same moment, may each be right and not fit together.
   */
  resolved(name: SetName): Resolved {
    const key = setId(name);
    let found = this.#kept.get(key);
    if (found) this.#kept.delete(key);
    else {
      found = resolve(name, (one) => this.get(one), this.#hash);
      const before = this.#lastGood.get(key);
      if (found.problems.length === 0) this.#lastGood.delete(key);
      else if (before) found = { ...found, config: before };
      for (const app of found.apps) add(this.#keptByApp, app, key);
    }
    this.#kept.set(key, found);
    if (this.#kept.size > KEPT_MAX) this.#forget(this.#kept.keys().next().value as string);
    return found;
  }

  /** Whether what is told of a config is what it was before problems came up. */
  isLastGood(name: SetName): boolean {
    return this.#lastGood.has(setId(name));
  }

  /** Live pointers of other sets that the checks of a candidate look at, and the versions that they have here. */
  restsOn(candidate: LiveSet): Map<string, number> {
    const found = new Map<string, number>();
    for (const name of this.dependents(candidate.name)) {
      for (const id of this.resolvedWith(candidate, name).sets) {
        const live = this.#sets.get(id);
        if (live && id !== setId(candidate.name)) found.set(liveKey(live.name), live.release.version);
        if (found.size >= RESTS_ON_MAX) return found;
      }
    }
    return found;
  }

  /** Whether what is told of a config is still known, and so has not changed. */
  keeps(id: string): boolean {
    return this.#kept.has(id);
  }

  /**
   * What a candidate would do to those that stand on its set, itself among them: placeholders that could not be filled in
   * any more, and imports that would go in a circle. What is broken already is not held against it.
   */
  problemsOf(candidate: LiveSet): ReleaseProblem[] {
    return this.dependents(candidate.name).flatMap((name) => {
      const itself = setId(name) === setId(candidate.name);
      const known = new Set(itself ? [] : this.resolved(name).problems.map(({ message }) => message));
      const { problems, config } = this.resolvedWith(candidate, name);
      const where = itself ? "" : `${setId(name)}: `;
      const chars = Object.values(config.items).reduce((sum, { value }) => sum + value.length, 0);
      return [
        ...problems
          .filter(({ message }) => !known.has(message))
          .map(({ key, message }) => ({ key, pointer: "", message: `${where}${message}` })),
        ...(chars > EFFECTIVE_CHARS_MAX
          ? [
              {
                key: "",
                pointer: "",
                message: `${where}in all it is ${chars} characters, ${EFFECTIVE_CHARS_MAX} at most`,
              },
            ]
          : []),
      ];
    });
  }

  /** What a config would be, were the candidate live. */
  resolvedWith(candidate: LiveSet, name: SetName): Resolved {
    const id = setId(candidate.name);
    return resolve(name, (one) => (setId(one) === id ? candidate : this.get(one)), this.#hash);
  }

  /** Names of live sets whose effective config a release of this one may change, itself first. */
  dependents(name: SetName): SetName[] {
    const apps = new Set([appId(name)]);
    for (const app of apps) {
      for (const id of this.#namedBy.get(app) ?? []) apps.add(appId((this.#sets.get(id) as LiveSet).name));
    }
    const found = new Map([[setId(name), name]]);
    for (const app of apps) {
      for (const id of this.#byApp.get(app) ?? []) {
        const { name: other } = this.#sets.get(id) as LiveSet;
        // Of the app itself only the profiles that have this one as a layer.
        if (app !== appId(name) || layersOf(other).some(({ profile }) => profile === name.profile))
          found.set(id, other);
      }
    }
    return [...found.values()];
  }

  #forget(key: string): void {
    for (const app of this.#kept.get(key)?.apps ?? []) this.#keptByApp.get(app)?.delete(key);
    this.#kept.delete(key);
  }
}

/** What changes from one config to the next: `base` is the content that it is to be laid onto. */
export function patchOf(before: EffectiveConfig, after: EffectiveConfig): ConfigPatch {
  const { items, ...head } = after;
  const changed: EffectiveConfig["items"] = {};
  for (const [key, item] of Object.entries(items)) {
    const old = Object.hasOwn(before.items, key) ? before.items[key] : undefined;
    const same = old?.value === item.value && old.format === item.format && old.secret === item.secret;
    if (!same || !sameOrigin(old.origin, item.origin)) changed[key] = item;
  }
  const removed = Object.keys(before.items).filter((key) => !Object.hasOwn(items, key));
  return { ...head, base: before.releaseKey, changed, removed };
}

type Origin = EffectiveConfig["items"][string]["origin"];

function sameOrigin(a: Origin, b: Origin): boolean {
  return a.version === b.version && a.profile === b.profile && a.app === b.app && a.namespace === b.namespace;
}

function add(sets: Map<string, Set<string>>, name: string, one: string): void {
  const set = sets.get(name);
  if (set) set.add(one);
  else sets.set(name, new Set([one]));
}
