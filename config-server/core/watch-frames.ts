/**
 * The frames of config watches after a change. A topic of watches is a config, the identity of its reader, and whether the
 * reader wants patches. Readers that receive the same share one frame, which is encoded once. Pure.
 */
import { costlyInvariant } from "#base";
import type { ConfigPatch, EffectiveConfig, Identity, SetName } from "../api.ts";
import { identityOf, identityText, NOBODY } from "./identity.ts";
import { type KeyView, keyViewOf } from "./key-view.ts";
import { setId, setOf } from "./keys.ts";
import { patchOf, type LiveConfig } from "./live.ts";

/** Marks at the end of a topic: of readers with masked secrets, of readers that see some keys only, and of watches that want patches. */
const PATCHES = "#patches";
const MASKED = "#masked";
const KEYS = "#keys=";

/** `instances` run the app and receive secrets in the clear; `others` receive them masked. */
export type Audience = "instances" | "others";

/** A reader of a config, and whether it receives secrets. */
export interface Reader {
  readonly who: Identity;
  readonly audience: Audience;
  /** Absent: all keys. */
  readonly keys?: KeyView | undefined;
}

export const ANYBODY: Reader = { who: NOBODY, audience: "others" };

export interface Follower {
  readonly topic: string;
  readonly name: SetName;
  readonly reader: Reader;
  readonly patches: boolean;
  /** The config that it received last; undefined when that is unknown. */
  readonly was: EffectiveConfig | undefined;
}

/** The topic that a watch of a config subscribes to. */
export function topicOf(name: SetName, { who, audience, keys }: Reader, patches: boolean): string {
  const text = identityText(who);
  const shown = audience === "others" ? MASKED : "";
  return `${setId(name)}${text === "" ? "" : `?${text}`}${shown}${keys ? `${KEYS}${keys.id}` : ""}${patches ? PATCHES : ""}`;
}

type Topic = Pick<Follower, "name" | "reader" | "patches">;

/** The view is looked up each time, so that this memory does not keep it. */
interface ParsedTopic extends Topic {
  readonly keysId?: string;
}

/** Parsed topics: every change needs the same ten thousand again. */
const read = new Map<string, ParsedTopic>();
const READ_MAX = 50_000;

/** Undefined for a topic whose view has no reader any more. */
function parseTopic(topic: string): Topic | undefined {
  let known = read.get(topic);
  if (!known) {
    if (read.size >= READ_MAX) read.clear();
    read.set(topic, (known = readTopic(topic)));
  }
  // Nearly all topics have no view, and need no copy.
  if (known.keysId === undefined) return known;
  const { keysId, ...parsed } = known;
  const keys = keyViewOf(keysId);
  return keys && { ...parsed, reader: { ...parsed.reader, keys } };
}

function readTopic(topic: string): ParsedTopic {
  const [target = "", ...marks] = topic.split("#");
  const [id = "", text = ""] = target.split("?");
  const audience = marks.includes(MASKED.slice(1)) ? "others" : "instances";
  const keysId = marks.find((mark) => mark.startsWith(KEYS.slice(1)))?.slice(KEYS.length - 1);
  return {
    name: setOf(id),
    reader: { who: identityOf(text), audience },
    patches: marks.includes(PATCHES.slice(1)),
    ...(keysId === undefined ? {} : { keysId }),
  };
}

function idOf(topic: string): string {
  const end = topic.search(/[?#]/);
  return end < 0 ? topic : topic.slice(0, end);
}

/** Followers whose config may change with these apps. Call it before the change. */
export function followersOf(live: LiveConfig, topics: Iterable<string>, apps: ReadonlySet<string>): Follower[] {
  const touched = live.touchedBy(apps);
  const known = new Map<string, boolean>();
  const cached = oncePerConfig(live, (name, who) => live.cached(name, who));
  const found: Follower[] = [];
  for (const topic of topics) {
    const id = idOf(topic);
    let concerned = known.get(id);
    if (concerned === undefined) known.set(id, (concerned = touched(setOf(id))));
    if (!concerned) continue;
    const follower = parseTopic(topic);
    if (!follower) continue;
    const was = cached(follower.name, follower.reader.who, id);
    found.push({ ...follower, topic, was });
  }
  return found;
}

export interface TopicFrame {
  readonly topics: readonly string[];
  readonly data: EffectiveConfig | ConfigPatch;
}

/** The frames for followers after the change; `shown` masks a config. Calls `broken` for each config that cannot be built. */
export function framesAfter(
  live: LiveConfig,
  followers: readonly Follower[],
  {
    broken,
    shown,
  }: {
    broken: (name: SetName, problems: readonly { readonly key: string; readonly message: string }[]) => void;
    shown: (config: EffectiveConfig, reader: Reader) => EffectiveConfig;
  },
): TopicFrame[] {
  const frames = new Map<string, { topics: string[]; data: TopicFrame["data"] }>();
  const make = oncePerConfig(live, (name, who) => {
    const { config, problems } = live.resolved(name, who);
    if (problems.length === 0) return config;
    broken(name, problems);
    return live.isLastGood(name, who) ? config : undefined;
  });
  for (const { topic, name, reader, patches, was } of followers) {
    const { who, audience, keys } = reader;
    const config = make(name, who, idOf(topic));
    if (!config || was?.releaseKey === config.releaseKey) continue;
    const base = patches ? was : undefined;
    const key = `${audience} ${keys?.id ?? ""} ${base?.releaseKey ?? ""} ${config.releaseKey}`;
    const frame = frames.get(key);
    if (frame) {
      frame.topics.push(topic);
      continue;
    }
    const whole = shown(config, reader);
    frames.set(key, { topics: [topic], data: base ? patchOf(shown(base, reader), whole) : whole });
  }
  costlyInvariant(() => {
    const topics = [...frames.values()].flatMap((frame) => frame.topics);
    return new Set(topics).size === topics.length;
  }, "a topic receives one frame at most");
  return [...frames.values()];
}

/** Without a running rollout all readers of a config receive the same, so `ask` is called once per config. */
function oncePerConfig<T>(live: LiveConfig, ask: (name: SetName, who: Identity) => T) {
  const known = new Map<string, { readonly answer: T }>();
  return (name: SetName, who: Identity, id: string): T => {
    if (live.isRolling) return ask(name, who);
    let found = known.get(id);
    if (!found) known.set(id, (found = { answer: ask(name, who) }));
    return found.answer;
  };
}
