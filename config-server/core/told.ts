/**
 * Who follows what, and what each is to be told after a change. A topic of watches is a config, who follows it, and whether
 * it wants what changed only; whoever is told the same is told it in one frame, encoded once. Pure.
 */
import type { ConfigPatch, EffectiveConfig, Identity, SetName } from "../api.ts";
import { identityOf, identityText } from "./identity.ts";
import { setId, setOf } from "./keys.ts";
import { patchOf, type LiveConfig } from "./live.ts";

/** Said at the end of the topic of watches that want what changed only. */
const PATCHES = "#patches";

export interface Follower {
  readonly topic: string;
  readonly name: SetName;
  readonly who: Identity;
  readonly patches: boolean;
  /** What it was told last; undefined when that is not known. */
  readonly was: EffectiveConfig | undefined;
}

/** What a watch of a config subscribes to; with `patches` it is told what changed only. */
export function topicOf(name: SetName, who: Identity, patches: boolean): string {
  const text = identityText(who);
  return `${setId(name)}${text === "" ? "" : `?${text}`}${patches ? PATCHES : ""}`;
}

function parseTopic(topic: string): Pick<Follower, "name" | "who" | "patches"> {
  const patches = topic.endsWith(PATCHES);
  const [id = "", text = ""] = (patches ? topic.slice(0, -PATCHES.length) : topic).split("?");
  return { name: setOf(id), who: identityOf(text), patches };
}

/** Those who may be told something else once these apps have changed. Asked before the change. */
export function followersOf(live: LiveConfig, topics: Iterable<string>, apps: ReadonlySet<string>): Follower[] {
  const touched = live.touchedBy(apps);
  const known = new Map<string, boolean>();
  const found: Follower[] = [];
  for (const topic of topics) {
    const id = topic.split(/[?#]/, 1)[0] as string;
    let concerned = known.get(id);
    if (concerned === undefined) known.set(id, (concerned = touched(setOf(id))));
    if (!concerned) continue;
    const follower = parseTopic(topic);
    found.push({ ...follower, topic, was: live.told(follower.name, follower.who) });
  }
  return found;
}

export interface Told {
  readonly topics: readonly string[];
  readonly data: EffectiveConfig | ConfigPatch;
}

/** What they are to be told after the change. `broken` hears of each config that could not be made. */
export function toldAfter(
  live: LiveConfig,
  followers: readonly Follower[],
  broken: (name: SetName, problems: readonly { readonly key: string; readonly message: string }[]) => void,
): Told[] {
  const frames = new Map<string, { topics: string[]; data: Told["data"] }>();
  for (const { topic, name, who, patches, was } of followers) {
    const { config, problems } = live.resolved(name, who);
    if (problems.length > 0) {
      broken(name, problems);
      if (!live.isLastGood(name, who)) continue;
    }
    if (was?.releaseKey === config.releaseKey) continue;
    const base = patches ? was : undefined;
    const key = `${base?.releaseKey ?? ""} ${config.releaseKey}`;
    const frame = frames.get(key);
    if (frame) frame.topics.push(topic);
    else frames.set(key, { topics: [topic], data: base ? patchOf(base, config) : config });
  }
  return [...frames.values()];
}
