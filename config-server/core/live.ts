/**
 * All live releases in memory, the releases of running rollouts, and the effective configs of instances. An effective config
 * is built once per variant (the running rollouts that have reached it) and kept until a release of an app in it changes.
 * Pure: the hash function is a parameter.
 */
import { costlyInvariant, invariant, own, setOwn } from "#base";
import type { ConfigPatch, EffectiveConfig, Identity, ReleaseProblem, SetName } from "../api.ts";
import { NOBODY } from "./identity.ts";
import { blinded } from "./blind.ts";
import { liveKey, setId, setOf } from "./keys.ts";
import { appId, appsNamedBy, layersOf, resolve, type LiveRelease, type Resolved } from "./resolve.ts";
import { stageOf, type LiveRecord, type Rollout } from "./rollout.ts";
import type { OpenRelease, SealedItems } from "./sealed.ts";

/** Effective configs kept at a time: those of a large fleet's apps. Values in them are shared with the releases. */
const KEPT_MAX = 20_000;
/** Sets whose changes a release is guarded against: the comparisons of a transaction, with room for its own. */
const RESTS_ON_MAX = 64;
/** Characters of all values of one effective config: it is sent in one piece, and readers accept up to 16 MiB. */
export const EFFECTIVE_CHARS_MAX = 12 * 1024 * 1024;

export interface LiveSet extends LiveRelease {
  readonly name: SetName;
  /** Its secrets as they are stored. */
  readonly sealed: SealedItems;
}

/** A live pointer with the releases that it names. */
export interface Pointer extends LiveSet {
  readonly record: LiveRecord;
  /** The release that a rollout brings, and its secrets as they are stored. */
  readonly candidate: OpenRelease | undefined;
  readonly candidateSealed: SealedItems;
}

/** A running rollout. */
export interface ActiveRollout {
  readonly name: SetName;
  readonly record: LiveRecord & { readonly rollout: Rollout };
}

/** The versions in a config, by set. */
export type MadeOf = ReadonlyMap<string, number>;

export class LiveConfig {
  readonly #hash: (text: string) => string;
  readonly #sets = new Map<string, Pointer>();
  /** Sets of an app. */
  readonly #byApp = new Map<string, Set<string>>();
  /** Apps that a set names, and sets that name an app. */
  readonly #names = new Map<string, ReadonlySet<string>>();
  readonly #namedBy = new Map<string, Set<string>>();
  /** Sets with a running rollout; and apps that a config depends on, directly or through others, cleared at each change. */
  readonly #rolling = new Set<string>();
  readonly #reach = new Map<string, ReadonlySet<string>>();
  /** Variants, in order of use. */
  readonly #kept = new Map<string, Resolved>();
  /** The last valid versions of configs that can no longer be built. */
  readonly #lastGood = new Map<string, EffectiveConfig>();
  readonly #keptByApp = new Map<string, Set<string>>();
  /** By releaseKey, oldest first: to look up the configs that subscribers acknowledge. */
  readonly #made = new Map<string, MadeOf>();

  constructor(hash: (text: string) => string) {
    this.#hash = hash;
  }

  get size(): number {
    return this.#sets.size;
  }

  get(name: SetName): Pointer | undefined {
    return this.#sets.get(setId(name));
  }

  all(): IterableIterator<Pointer> {
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
      this.#rolling,
      this.#reach,
    ])
      part.clear();
  }

  /** Applies the pointers that changed at one revision: new live releases, and steps of rollouts. */
  apply(pointers: readonly Pointer[]): void {
    this.#reach.clear();
    for (const pointer of pointers) {
      const { record, candidate } = pointer;
      invariant(record.rollout?.version === candidate?.version, "a set has a candidate while a rollout brings it");
      this.#put(pointer);
      for (const key of this.#keptByApp.get(appId(pointer.name)) ?? []) {
        const { config, problems } = this.#kept.get(key) as Resolved;
        if (problems.length === 0) this.#lastGood.set(key, config);
        this.#forget(key);
      }
    }
  }

  #put(pointer: Pointer): void {
    const id = setId(pointer.name);
    const app = appId(pointer.name);
    this.#sets.set(id, pointer);
    if (pointer.candidate) this.#rolling.add(id);
    else if (this.#rolling.delete(id)) {
      for (const key of this.#lastGood.keys()) if (key.includes(`|${id}`)) this.#lastGood.delete(key);
    }
    add(this.#byApp, app, id);
    for (const named of this.#names.get(id) ?? []) this.#namedBy.get(named)?.delete(id);
    const names = appsNamedBy(pointer.name, pointer.release.items);
    for (const named of pointer.candidate ? appsNamedBy(pointer.name, pointer.candidate.items) : []) names.add(named);
    this.#names.set(id, names);
    for (const named of names) add(this.#namedBy, named, id);
  }

  /** Running rollouts, by set. */
  *rollouts(): Iterable<ActiveRollout> {
    for (const id of this.#rolling) {
      const { name, record } = this.#sets.get(id) as Pointer;
      if (record.rollout) yield { name, record: { ...record, rollout: record.rollout } };
    }
  }

  /** Whether a rollout is running. Otherwise all readers of a config receive the same. */
  get isRolling(): boolean {
    return this.#rolling.size > 0;
  }

  /** Whether a config may change when releases of these apps change. */
  touchedBy(apps: ReadonlySet<string>): (name: SetName) => boolean {
    const kept = new Set([...apps].flatMap((app) => [...(this.#keptByApp.get(app) ?? [])].map(setIdOf)));
    return (name) => kept.has(setId(name)) || !this.#reachOf(name).isDisjointFrom(apps);
  }

  /**
   * The config of an instance; empty when nothing is released for it. With problems it is the last config without them: two
   * simultaneous releases at two members may each be valid and not fit together. The releases of two rollouts may not fit
   * together either: then it is the live config.
   */
  resolved(name: SetName, who: Identity = NOBODY): Resolved {
    return this.#variant(name, this.#variantOf(name, who));
  }

  /** The config of an instance, if it is built already. Undefined for one that never was without problems. */
  cached(name: SetName, who: Identity): EffectiveConfig | undefined {
    const found = this.#kept.get(variantKey(name, this.#variantOf(name, who)));
    return found && (found.problems.length === 0 || this.isLastGood(name, who)) ? found.config : undefined;
  }

  /** The versions in a present or earlier config, by its releaseKey; undefined when they are no longer known. */
  madeOf(releaseKey: string): MadeOf | undefined {
    return this.#made.get(releaseKey);
  }

  /** For a config with problems: whether `resolved` returns its last valid version, or the live config. */
  isLastGood(name: SetName, who: Identity = NOBODY): boolean {
    const variant = this.#variantOf(name, who);
    if (this.#lastGood.has(variantKey(name, variant))) return true;
    return variant.length > 0 && (this.resolved(name).problems.length === 0 || this.isLastGood(name));
  }

  /** The stage of a rollout that reaches an instance. */
  stageOf({ name, record }: ActiveRollout, who: Identity): number {
    return stageOf(record.rollout, { name, who, hash: this.#hash });
  }

  /** Whether the release of a rollout is part of the config of a reached instance. */
  concerns({ name: rolling }: ActiveRollout, name: SetName): boolean {
    const id = setId(rolling);
    return this.#reachOf(name).has(appId(rolling)) && this.#variant(name, [id]).sets.includes(id);
  }

  /** When the present config of an instance became due: milliseconds since 1970. */
  dueAtMs(name: SetName, who: Identity): number {
    const variant = this.#variantOf(name, who);
    const times = this.#variant(name, variant).sets.map((id) => {
      const pointer = this.#sets.get(id);
      if (!pointer) return 0;
      const { record, release } = pointer;
      if (!record.rollout || !variant.includes(id)) return Date.parse(record.at ?? release.createdAt);
      const stage = stageOf(record.rollout, { name: pointer.name, who, hash: this.#hash });
      return Date.parse(record.rollout.log[stage]?.beganAt ?? record.rollout.startedAt);
    });
    return Math.max(0, ...times);
  }

  /** Sets whose rollout has reached the instance, among the sets that its config may depend on. */
  #variantOf(name: SetName, who: Identity): string[] {
    if (this.#rolling.size === 0) return [];
    const reach = this.#reachOf(name);
    return [...this.#rolling]
      .filter((id) => {
        const { name: rolling, record } = this.#sets.get(id) as Pointer;
        if (!record.rollout || !reach.has(appId(rolling))) return false;
        return stageOf(record.rollout, { name: rolling, who, hash: this.#hash }) <= record.rollout.stage;
      })
      .sort();
  }

  #variant(name: SetName, variant: readonly string[]): Resolved {
    const key = variantKey(name, variant);
    let found = this.#kept.get(key);
    if (found) this.#kept.delete(key);
    else {
      found = resolve(name, (one) => this.#lookup(one, variant), this.#hash);
      this.#remember(found, variant);
      const before = this.#lastGood.get(key);
      if (found.problems.length === 0) this.#lastGood.delete(key);
      else if (before) found = { ...found, config: before };
      else if (variant.length > 0) found = { ...found, config: this.#variant(name, []).config };
      for (const app of found.apps) add(this.#keptByApp, app, key);
    }
    this.#kept.set(key, found);
    invariant(this.#kept.size <= KEPT_MAX + 1, "kept configs exceed their limit by the newest one at most");
    if (this.#kept.size > KEPT_MAX) this.#forget(this.#kept.keys().next().value as string);
    return found;
  }

  #lookup(name: SetName, variant: readonly string[]): LiveRelease | undefined {
    const id = setId(name);
    const pointer = this.#sets.get(id);
    return pointer?.candidate && variant.includes(id)
      ? { release: pointer.candidate, revision: pointer.revision }
      : pointer;
  }

  #remember({ config: { releaseKey }, sets }: Resolved, variant: readonly string[]): void {
    const versions = sets.map((id): [string, number] => [id, this.#lookup(setOf(id), variant)?.release.version ?? 0]);
    this.#made.delete(releaseKey);
    this.#made.set(releaseKey, new Map(versions));
    costlyInvariant(
      () => versions.every(([, version]) => version > 0),
      "a config consists of releases, which are numbered from 1",
    );
    if (this.#made.size > KEPT_MAX) this.#made.delete(this.#made.keys().next().value as string);
  }

  /** Apps that a config may depend on, for any reader: the apps of all its layers, live or in a rollout. */
  #reachOf(name: SetName): ReadonlySet<string> {
    const app = appId(name);
    const known = this.#reach.get(app);
    if (known) return known;
    const apps = new Set([app]);
    for (const one of apps) {
      for (const id of this.#byApp.get(one) ?? []) for (const named of this.#names.get(id) ?? []) apps.add(named);
    }
    this.#reach.set(app, apps);
    return apps;
  }

  /** Live pointers of other sets that the checks of a candidate use, and their versions here. */
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

  /**
   * The problems that a candidate would cause in all configs that depend on its set, including its own: placeholders that
   * could no longer be filled in, and circular imports. Existing problems do not count.
   */
  problemsOf(candidate: LiveSet, blind = false): ReleaseProblem[] {
    return this.dependents(candidate.name).flatMap((name) => {
      const itself = setId(name) === setId(candidate.name);
      const known = new Set(itself ? [] : this.resolved(name).problems.map(({ message }) => message));
      const where = itself ? "" : `${setId(name)}: `;
      const { problems, config } = this.#withAndWithout(candidate, name, blind);
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
                message: `${where}all values together have ${chars} characters; at most ${EFFECTIVE_CHARS_MAX} are allowed`,
              },
            ]
          : []),
      ];
    });
  }

  /** The config with the candidate, first with live releases, then with those of all running rollouts. */
  #withAndWithout(candidate: LiveSet, name: SetName, blind: boolean): Pick<Resolved, "problems" | "config"> {
    const found = this.resolvedWith(candidate, name, blind);
    const id = setId(candidate.name);
    const others = [...this.#rolling].filter((one) => one !== id && found.sets.includes(one));
    if (others.length === 0 || found.problems.length > 0) return found;
    const seen = sightOf(blind);
    const later = resolve(name, (one) => seen(setId(one) === id ? candidate : this.#lookup(one, others)), this.#hash);
    const what = others.map((one) => `${one}@${this.#sets.get(one)?.record.rollout?.version}`).join(", ");
    return {
      config: found.config,
      problems: later.problems.map(({ key, message }) => ({
        key,
        message: `with ${what}, which is being rolled out: ${message}`,
      })),
    };
  }

  /** The config if the candidate were live; `blind`: without the values of secrets. */
  resolvedWith(candidate: LiveSet, name: SetName, blind = false): Resolved {
    const id = setId(candidate.name);
    const seen = sightOf(blind);
    return resolve(name, (one) => seen(setId(one) === id ? candidate : this.get(one)), this.#hash);
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
        // Of the same app, only the profiles that have this one as a layer.
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

/** The patch from one config to the next; `base` is the releaseKey that it applies to. */
export function patchOf(before: EffectiveConfig, after: EffectiveConfig): ConfigPatch {
  const { items, ...head } = after;
  const changed: EffectiveConfig["items"] = {};
  for (const [key, item] of Object.entries(items)) {
    const old = own(before.items, key);
    const same = old?.value === item.value && old.format === item.format && old.secret === item.secret;
    if (!same || !sameOrigin(old.origin, item.origin)) setOwn(changed, key, item);
  }
  const removed = Object.keys(before.items).filter((key) => !Object.hasOwn(items, key));
  return { ...head, base: before.releaseKey, changed, removed };
}

function variantKey(name: SetName, variant: readonly string[]): string {
  return [setId(name), ...variant].join("|");
}

function setIdOf(key: string): string {
  return key.split("|", 1)[0] as string;
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

/** Live releases for a check, with or without the values of secrets. */
function sightOf(blind: boolean): (live: LiveRelease | undefined) => LiveRelease | undefined {
  if (!blind) return (live) => live;
  return (live) => live && { ...live, release: { ...live.release, items: blinded(live.release.items) } };
}
