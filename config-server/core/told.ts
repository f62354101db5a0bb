/**
 * Who follows what, and what each is to be told after a change. A topic of watches is a config, who follows it, and whether
 * it wants what changed only; whoever is told the same is told it in one frame, encoded once. Pure.
 */
import type { ConfigPatch, EffectiveConfig, Identity, SetName } from "../api.ts";
import { identityOf, identityText, NOBODY } from "./identity.ts";
import { setId, setOf } from "./keys.ts";
import { patchOf, type LiveConfig } from "./live.ts";

/** Said at the end of the topic of watches that want what changed only, and before that of those shown no secrets. */
const PATCHES = "#patches";
const MASKED = "#masked";

/** Who is shown a config: those that run the app in the clear, others with its secrets masked. */
export type Audience = "instances" | "others";

/** Who asks for a config, and whether its secrets are for them. */
export interface Reader {
  readonly who: Identity;
  readonly audience: Audience;
}

export const ANYBODY: Reader = { who: NOBODY, audience: "others" };

export interface Follower {
  readonly topic: string;
  readonly name: SetName;
  readonly reader: Reader;
  readonly patches: boolean;
  /** What it was told last; undefined when that is not known. */
  readonly was: EffectiveConfig | undefined;
}

/** What a watch of a config subscribes to; with `patches` it is told what changed only. */
export function topicOf(name: SetName, { who, audience }: Reader, patches: boolean): string {
  const text = identityText(who);
  const shown = audience === "others" ? MASKED : "";
  return `${setId(name)}${text === "" ? "" : `?${text}`}${shown}${patches ? PATCHES : ""}`;
}

type Topic = Pick<Follower, "name" | "reader" | "patches">;

/** Topics read before: the same ten thousand are asked for at every change. */
const read = new Map<string, Topic>();
const READ_MAX = 50_000;

function parseTopic(topic: string): Topic {
  let known = read.get(topic);
  if (!known) {
    if (read.size >= READ_MAX) read.clear();
    read.set(topic, (known = readTopic(topic)));
  }
  return known;
}

function readTopic(topic: string): Topic {
  const [target = "", ...marks] = topic.split("#");
  const [id = "", text = ""] = target.split("?");
  const audience = marks.includes(MASKED.slice(1)) ? "others" : "instances";
  return { name: setOf(id), reader: { who: identityOf(text), audience }, patches: marks.includes(PATCHES.slice(1)) };
}

function idOf(topic: string): string {
  const end = topic.search(/[?#]/);
  return end < 0 ? topic : topic.slice(0, end);
}

/** Those who may be told something else once these apps have changed. Asked before the change. */
export function followersOf(live: LiveConfig, topics: Iterable<string>, apps: ReadonlySet<string>): Follower[] {
  const touched = live.touchedBy(apps);
  const known = new Map<string, boolean>();
  const told = oncePerConfig(live, (name, who) => live.told(name, who));
  const found: Follower[] = [];
  for (const topic of topics) {
    const id = idOf(topic);
    let concerned = known.get(id);
    if (concerned === undefined) known.set(id, (concerned = touched(setOf(id))));
    if (!concerned) continue;
    const follower = parseTopic(topic);
    const was = told(follower.name, follower.reader.who, id);
    found.push({ ...follower, topic, was });
  }
  return found;
}

export interface Told {
  readonly topics: readonly string[];
  readonly data: EffectiveConfig | ConfigPatch;
}

/** What they are to be told after the change, as `shown` to each. `broken` hears of each config that could not be made. */
export function toldAfter(
  live: LiveConfig,
  followers: readonly Follower[],
  {
    broken,
    shown,
  }: {
    broken: (name: SetName, problems: readonly { readonly key: string; readonly message: string }[]) => void;
    shown: (config: EffectiveConfig, audience: Audience) => EffectiveConfig;
  },
): Told[] {
  const frames = new Map<string, { topics: string[]; data: Told["data"] }>();
  const make = oncePerConfig(live, (name, who) => {
    const { config, problems } = live.resolved(name, who);
    if (problems.length === 0) return config;
    broken(name, problems);
    return live.isLastGood(name, who) ? config : undefined;
  });
  for (const { topic, name, reader, patches, was } of followers) {
    const { who, audience } = reader;
    const config = make(name, who, idOf(topic));
    if (!config || was?.releaseKey === config.releaseKey) continue;
    const base = patches ? was : undefined;
    const key = `${audience} ${base?.releaseKey ?? ""} ${config.releaseKey}`;
    const frame = frames.get(key);
    if (frame) {
      frame.topics.push(topic);
      continue;
    }
    const whole = shown(config, audience);
    frames.set(key, { topics: [topic], data: base ? patchOf(shown(base, audience), whole) : whole });
  }
  return [...frames.values()];
}

/** While nothing is on its way, what holds for a config holds for whoever follows it, and is asked once for all of them. */
function oncePerConfig<T>(live: LiveConfig, ask: (name: SetName, who: Identity) => T) {
  const known = new Map<string, { readonly answer: T }>();
  return (name: SetName, who: Identity, id: string): T => {
    if (live.isRolling) return ask(name, who);
    let found = known.get(id);
    if (!found) known.set(id, (found = { answer: ask(name, who) }));
    return found.answer;
  };
}
