/**
 * What one instance is told: of each key the value of the highest layer that has it, and which release that is of. The
 * layers, from low to high: shared sets that the app imports, in the order of its list; then the app's own
 * `default`, PROFILE, `default@LABEL`, PROFILE@LABEL. A shared set has the same four of its own. Then placeholders are filled in.
 */
import { canonicalJson, own, setOwn } from "#base";
import type { EffectiveConfig, Item, SetName } from "../api.ts";
import { expandItem, ExpandError, setsIn, type Source } from "./expand.ts";
import { setId } from "./keys.ts";
import { readValue } from "#base/formats";
import type { OpenItem, OpenItems, OpenRelease, Unreadable } from "./sealed.ts";

/** The profile that all others of an app stand on. */
export const BASE_PROFILE = "default";
/** The key that lists the apps whose sets an app stands on: a list of APP or NAMESPACE/APP. */
export const IMPORTS_KEY = "imports.yaml";
/** Apps that one stands on, through others or by itself. */
export const IMPORTS_MAX = 64;

/** A live release and the store revision that made it live. */
export interface LiveRelease {
  readonly release: OpenRelease;
  readonly revision: number;
}

/** The live release of a set, as one instance is to see it. */
export type Lookup = (name: SetName) => LiveRelease | undefined;

export interface Resolved {
  readonly config: EffectiveConfig;
  /** NAMESPACE/APP of all that it stands on: a change of any other changes nothing here. */
  readonly apps: ReadonlySet<string>;
  /** Ids of the sets that it is made of. */
  readonly sets: readonly string[];
  /** Placeholders that cannot be filled in, imports that go in a circle, secrets that may not or cannot be told, by key. */
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

/** The apps that a set names by its imports and placeholders, in whatever profile. Ill-formed names are left out. */
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

/** The list of imports, or what is wrong with it. */
export function readImports(item: Item): { readonly imports?: readonly string[]; readonly problem?: string } {
  const problem = `"${IMPORTS_KEY}" is a list of apps, such as "- shared" or "- NAMESPACE/APP", ${IMPORTS_MAX} at most`;
  if (item.format !== "yaml" && item.format !== "json") return { problem };
  try {
    const list = readValue(item) ?? [];
    if (!Array.isArray(list) || list.length > IMPORTS_MAX) return { problem };
    const bad = list.find((one) => typeof one !== "string" || !IMPORT.test(one)) as unknown;
    if (bad !== undefined) return { problem: `${problem}; ${JSON.stringify(bad)} is none` };
    return { imports: list as string[] };
  } catch {
    // Its syntax was checked before; what it says now is that it is no list.
    return { problem };
  }
}

function importedFrom(namespace: string, text: string): { namespace: string; app: string } {
  const [first, second] = text.split("/") as [string, string?];
  return second === undefined ? { namespace, app: first } : { namespace: first, app: second };
}

/** The set that a placeholder names: `APP`, `APP/PROFILE` or `NAMESPACE/APP/PROFILE`; what it leaves out is that of `name`. */
function setNamed(name: SetName, text: string): SetName {
  const parts = text.split("/");
  const [app = "", profile = name.profile] = parts.length === 3 ? parts.slice(1) : parts;
  return { namespace: parts.length === 3 ? (parts[0] as string) : name.namespace, app, profile };
}

/** Merges the layers and fills in placeholders; `releaseKey` names the versions of all that it stands on, and so the content. */
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

/** Remembers what was looked at on the way: that is what the result stands on. */
class World {
  readonly apps = new Set<string>();
  readonly releases = new Map<string, LiveRelease>();
  readonly #namespace: string;
  readonly #lookup: Lookup;

  constructor(namespace: string, lookup: Lookup) {
    this.#namespace = namespace;
    this.#lookup = lookup;
  }

  /** Why an item may not be told here: a secret stays in its environment, or whoever may release in one could have those of all. */
  withheld({ secret }: Item, { namespace, app, profile }: SetName): string | undefined {
    if (!secret || namespace === this.#namespace) return undefined;
    return `it is a secret of ${setId({ namespace, app, profile })}, and secrets are told in their own namespace only; release one in "${this.#namespace}"`;
  }

  /** Items of all layers of a config, imports and all, placeholders as they are. */
  layered(name: SetName): Layered {
    const problems: Layered["problems"] = [];
    const items = new Map<string, { item: OpenItem; origin: OpenRelease }>();
    const done = new Set<string>();
    const add = (one: SetName, open: readonly string[]): void => {
      const id = appId(one);
      if (open.includes(id)) {
        const message = `the imports go in a circle: ${[...open, id].join(" → ")}; take one of them out`;
        problems.push({ key: IMPORTS_KEY, message });
        return;
      }
      if (done.has(id)) return;
      if (done.size >= IMPORTS_MAX) {
        problems.push({ key: IMPORTS_KEY, message: `more than ${IMPORTS_MAX} apps, those of others counted` });
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
          // Whom a shared set imports is its own affair.
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
