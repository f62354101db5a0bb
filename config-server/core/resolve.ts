/**
 * The effective config of one instance: for each key the value of the highest layer that has it, and the release it comes
 * from. The layers, from low to high: shared sets that the app imports, in the order of its list; then the app's own
 * `default`, PROFILE, `default@LABEL`, PROFILE@LABEL. A shared set has the same four layers. Then placeholders are filled in.
 */
import { canonicalJson, own, setOwn } from "#base";
import type { EffectiveConfig, Item, SetName } from "../api.ts";
import { expandItem, ExpandError, setsIn, type Source } from "./expand.ts";
import { setId } from "./keys.ts";
import { readValue } from "#base/formats";
import type { OpenItem, OpenItems, OpenRelease, Unreadable } from "./sealed.ts";

/** The profile that all other profiles of an app override. */
export const BASE_PROFILE = "default";
/** The key that lists the apps that an app imports: a list of APP or NAMESPACE/APP. */
export const IMPORTS_KEY = "imports.yaml";
/** Apps that one app imports, directly or through others. */
export const IMPORTS_MAX = 64;

/** A live release and the store revision that made it live. */
export interface LiveRelease {
  readonly release: OpenRelease;
  readonly revision: number;
}

/** The release of a set that one instance receives. */
export type Lookup = (name: SetName) => LiveRelease | undefined;

export interface Resolved {
  readonly config: EffectiveConfig;
  /** NAMESPACE/APP of all apps that it depends on. A change of any other app changes nothing here. */
  readonly apps: ReadonlySet<string>;
  /** Ids of the sets in it. */
  readonly sets: readonly string[];
  /** Placeholders that cannot be filled in, circular imports, and secrets that must not or cannot be read, by key. */
  readonly problems: readonly { readonly key: string; readonly message: string; readonly unreadable?: Unreadable }[];
}

/** Sets of one app whose releases make up the effective config, the later over the earlier. */
export function layersOf(name: SetName): SetName[] {
  const [profile = BASE_PROFILE, label] = name.profile.split("@");
  const profiles = [...new Set([BASE_PROFILE, profile])];
  return [...profiles, ...(label === undefined ? [] : profiles.map((one) => `${one}@${label}`))].map((one) => ({
    ...name,
    profile: one,
  }));
}

export function appId({ namespace, app }: Pick<SetName, "namespace" | "app">): string {
  return `${namespace}/${app}`;
}

/** The apps that a set names in its imports and placeholders, in any profile. Malformed names are left out. */
export function appsNamedBy({ namespace, ...name }: SetName, items: OpenItems): Set<string> {
  const named = new Set<string>();
  const imports = own(items, IMPORTS_KEY);
  for (const one of imports ? (readImports(imports).imports ?? []) : []) named.add(appId(importedFrom(namespace, one)));
  for (const item of Object.values(items)) {
    if (item.expand) for (const set of setsIn(item)) named.add(appId(setNamed({ namespace, ...name }, set)));
  }
  return named;
}

const IMPORT = /^(?:[a-z0-9][a-z0-9-]{0,62}\/)?[a-z0-9][a-z0-9-]{0,62}$/;

/** The list of imports, or its problem. */
export function readImports(item: Item): { readonly imports?: readonly string[]; readonly problem?: string } {
  const problem = `"${IMPORTS_KEY}" must be a list of at most ${IMPORTS_MAX} apps, such as "- shared" or "- NAMESPACE/APP"`;
  if (item.format !== "yaml" && item.format !== "json") return { problem };
  try {
    const list = readValue(item) ?? [];
    if (!Array.isArray(list) || list.length > IMPORTS_MAX) return { problem };
    const bad = list.find((one) => typeof one !== "string" || !IMPORT.test(one)) as unknown;
    if (bad !== undefined) return { problem: `${problem}; ${JSON.stringify(bad)} is not a valid app name` };
    return { imports: list as string[] };
  } catch {
    // The syntax has been checked before, so the value is not a list.
    return { problem };
  }
}

function importedFrom(namespace: string, text: string): { namespace: string; app: string } {
  const [first, second] = text.split("/") as [string, string?];
  return second === undefined ? { namespace, app: first } : { namespace: first, app: second };
}

/** The set that a placeholder names: `APP`, `APP/PROFILE` or `NAMESPACE/APP/PROFILE`; omitted parts are those of `name`. */
function setNamed(name: SetName, text: string): SetName {
  const parts = text.split("/");
  const [app = "", profile = name.profile] = parts.length === 3 ? parts.slice(1) : parts;
  return { namespace: parts.length === 3 ? (parts[0] as string) : name.namespace, app, profile };
}

/** Merges the layers and fills in placeholders. `releaseKey` is made of the versions of all used releases, and so identifies the content. */
export function resolve(name: SetName, lookup: Lookup, hash: (text: string) => string): Resolved {
  const world = new World(name.namespace, lookup);
  const layered = world.layered(name);
  const items: EffectiveConfig["items"] = {};
  const problems = [...layered.problems];
  const source = world.source(name, layered);
  for (const [key, { item, origin }] of layered.items) {
    let { value, secret = false } = item;
    const withheld = world.withheld(item, origin);
    if (item.unreadable) problems.push({ key, message: item.unreadable.message, unreadable: item.unreadable });
    else if (withheld !== undefined) problems.push({ key, message: withheld });
    else if (item.expand) {
      try {
        ({ value, secret } = expandItem(source, key, item));
      } catch (error) {
        if (!(error instanceof ExpandError)) throw error;
        const { message, unreadable } = error;
        problems.push({ key, message, ...(unreadable ? { unreadable } : {}) });
      }
    }
    const { namespace, app, profile, version } = origin;
    const shared = namespace !== name.namespace || app !== name.app;
    const told = {
      format: item.format,
      value,
      ...(secret ? { secret: true } : {}),
      origin: { ...(shared ? { namespace, app } : {}), profile, version },
    } as const;
    setOwn(items, key, told);
  }
  const { apps, releases } = world;
  const identity = [...releases].map(([id, { release }]) => [id, release.version, release.hash]);
  const config = {
    ...name,
    releaseKey: hash(canonicalJson([name, identity])).slice(0, 32),
    revision: Math.max(0, ...[...releases.values()].map(({ revision }) => revision)),
    items,
  };
  return { config, apps, sets: [...releases.keys()], problems };
}

interface Layered {
  readonly items: ReadonlyMap<string, { readonly item: OpenItem; readonly origin: OpenRelease }>;
  readonly problems: { key: string; message: string; unreadable?: Unreadable }[];
}

/** Records the apps and releases that are looked up: the result depends on them. */
class World {
  readonly apps = new Set<string>();
  readonly releases = new Map<string, LiveRelease>();
  readonly #namespace: string;
  readonly #lookup: Lookup;

  constructor(namespace: string, lookup: Lookup) {
    this.#namespace = namespace;
    this.#lookup = lookup;
  }

  /** Why an item must not be used here. A secret stays in its environment; otherwise a publisher of one could read those of all. */
  withheld({ secret }: Item, { namespace, app, profile }: SetName): string | undefined {
    if (!secret || namespace === this.#namespace) return undefined;
    return `it is a secret of ${setId({ namespace, app, profile })}, and secrets are only available in their own namespace; release one in "${this.#namespace}"`;
  }

  /** Items of all layers of a config, with imports, before placeholders are filled in. */
  layered(name: SetName): Layered {
    const problems: Layered["problems"] = [];
    const items = new Map<string, { item: OpenItem; origin: OpenRelease }>();
    const done = new Set<string>();
    const add = (one: SetName, open: readonly string[]): void => {
      const id = appId(one);
      if (open.includes(id)) {
        const message = `the imports are circular: ${[...open, id].join(" → ")}; remove one of them`;
        problems.push({ key: IMPORTS_KEY, message });
        return;
      }
      if (done.has(id)) return;
      if (done.size >= IMPORTS_MAX) {
        problems.push({
          key: IMPORTS_KEY,
          message: `more than ${IMPORTS_MAX} apps, including those that imported apps import`,
        });
        return;
      }
      const layers = this.#layers(one);
      const imports = layers.map(({ release }) => own(release.items, IMPORTS_KEY)).findLast((item) => item);
      for (const text of imports ? (readImports(imports).imports ?? []) : []) {
        add({ ...one, ...importedFrom(one.namespace, text) }, [...open, id]);
      }
      done.add(id);
      for (const { release } of layers) {
        for (const [key, item] of Object.entries(release.items)) {
          // The list of imports of a shared set is not part of the result.
          if (open.length === 0 || key !== IMPORTS_KEY) items.set(key, { item, origin: release });
        }
      }
    };
    add(name, []);
    return { items, problems };
  }

  source(name: SetName, layered: Layered): Source {
    const others = new Map<string, Source | undefined>();
    return {
      id: setId(name),
      item: (key) => {
        const found = layered.items.get(key);
        const withheld = found && this.withheld(found.item, found.origin);
        return withheld === undefined ? found?.item : { ...(found as { item: OpenItem }).item, withheld };
      },
      other: (text) => {
        const other = setNamed(name, text);
        const id = setId(other);
        if (!others.has(id)) {
          const found = this.layered(other);
          others.set(id, found.items.size === 0 ? undefined : this.source(other, found));
        }
        return others.get(id);
      },
    };
  }

  #layers(name: SetName): LiveRelease[] {
    this.apps.add(appId(name));
    const layers: LiveRelease[] = [];
    for (const layer of layersOf(name)) {
      const live = this.#lookup(layer);
      if (!live) continue;
      this.releases.set(setId(layer), live);
      layers.push(live);
    }
    return layers;
  }
}
