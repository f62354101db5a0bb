/**
 * The config server's shell: checks, plans and commits releases; follows the live pointers; tells every subscriber its
 * effective config, always whole.
 */
import { createHash } from "node:crypto";
import { decodeJson, type Host } from "#base";
import { WatchHub } from "#http";
import { commit, type Entry, type KeyOrPrefix, type Known, type Revision, type Store, View } from "#store";
import {
  ConfigErrors,
  type EffectiveConfig,
  type Item,
  type Items,
  type Provenance,
  type Published,
  type Publish,
  type Release,
  type ReleaseCheck,
  type ReleaseList,
  type ReleaseProblem,
  type Rollback,
  type SearchResult,
  type SetName,
  type SetSummary,
} from "./api.ts";
import { requireReview, rulesOf } from "./core/change.ts";
import { own } from "./core/diff.ts";
import { checkSyntax } from "./core/format.ts";
import {
  LIVE_PREFIX,
  liveKey,
  ownerKey,
  parseLiveKey,
  releaseKey,
  releasesPrefix,
  rulesKey,
  setId,
} from "./core/keys.ts";
import { requireOwner } from "./core/owner.ts";
import { contentText, publishRelease, type LiveRecord, type ReleaseWrite } from "./core/release.ts";
import { SCHEMA_SUFFIX, type SchemaTask } from "./schema.ts";
import { checkSchemas } from "./schema-check.ts";
import { BASE_PROFILE, layersOf, resolve, type LiveRelease } from "./core/resolve.ts";

/** Releases of one page of the history. */
export const HISTORY_PAGE_MAX = 100;
/** Times that a change of one key is made anew on top of others' releases. */
const CHANGE_TRIES_MAX = 5;

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** Characters of a line that a search shows. */
const HIT_CHARS_MAX = 240;

type SearchHit = SearchResult["hits"][number];

/** What a release is made of, and where it comes from. */
export interface ReleaseChange {
  readonly items: Items;
  readonly reason: string;
  readonly expectedVersion: number | undefined;
  readonly author: string;
  readonly rollbackOf?: number | undefined;
  readonly promotedFrom?: string | undefined;
  readonly proposal?: string | undefined;
  readonly approvedBy?: readonly string[] | undefined;
  readonly emergency?: boolean | undefined;
  readonly source?: Provenance | undefined;
  /** Written in the same revision; guarded by what is read for it. */
  readonly also?: {
    readonly reads: readonly KeyOrPrefix[];
    readonly writes: (known: Known, release: Release) => readonly ReleaseWrite[];
  };
}

export class ConfigServer {
  readonly hub: WatchHub;
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #checks: readonly ReleaseCheck[];
  readonly #live = new Map<string, LiveRelease & { readonly name: SetName }>();
  readonly #releases;

  /** `checks` look at a release's meaning; each decides by the set's name whether it is meant. */
  constructor(host: Host, store: Store, checks: readonly ReleaseCheck[]) {
    this.#host = host;
    this.#store = store;
    this.#checks = checks;
    this.hub = new WatchHub(host, "config");
    this.#releases = host.metrics.counter({
      name: "posthouse_config_releases_total",
      help: "Releases asked for, by what became of them.",
      labelNames: ["result"],
    });
    this.#view = new View(host, store, {
      name: "config",
      prefix: LIVE_PREFIX,
      reset: async (entries, revision) => {
        const loaded = await Promise.all(entries.map((entry) => this.#load(entry)));
        this.#live.clear();
        for (const release of loaded) if (release) this.#live.set(setId(release.name), release);
        this.hub.reset(revision);
      },
      apply: async ({ events, revision }) => {
        const changed: SetName[] = [];
        for (const event of events) {
          if (event.type !== "put") continue;
          const release = await this.#load(event.entry);
          if (!release) continue;
          this.#live.set(setId(release.name), release);
          changed.push(release.name);
        }
        this.hub.publish(revision, this.#deltas(changed));
      },
    });
    host.metrics.gauge({
      name: "posthouse_config_sets",
      help: "Config sets with a live release.",
      collect: (gauge) => gauge.labels().set(this.#live.size),
    });
  }

  /** Revision up to which the live config is complete; 0 before it was first read. */
  get revision(): Revision {
    return this.#view.revision;
  }

  get connected(): boolean {
    return this.#view.connected;
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.#view.waitFor(revision, signal);
  }

  /** @throws CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_VERSION_CONFLICT, CONFIG_RELEASE_TOO_LARGE */
  publish(name: SetName, publish: Publish, author: string): Promise<Published> {
    const { items, reason = "", expectedVersion, emergency } = publish;
    return this.release(name, { items, reason, expectedVersion, author, emergency });
  }

  /**
   * A release that differs from the live one in one key: set to `item`, or gone when there is none.
   * @throws CONFIG_KEY_NOT_FOUND when a key to remove is not there, CONFIG_VERSION_CONFLICT, and as `publish`
   */
  async change(
    name: SetName,
    { key, item, reason = "" }: { key: string; item: Item | undefined; reason?: string | undefined },
    author: string,
  ): Promise<Published> {
    for (let attempt = 1; ; attempt++) {
      const version = await this.liveVersion(name);
      const { [key]: before, ...others } = version === 0 ? {} : (await this.read(name, version)).items;
      if (!item && !before) throw ConfigErrors.KEY_NOT_FOUND(`"${setId(name)}" has no key "${key}".`);
      const items = item ? { ...others, [key]: item } : others;
      try {
        return await this.publish(name, { items, reason, expectedVersion: version }, author);
      } catch (error) {
        // Somebody released meanwhile, perhaps another key: ours is changed on top of theirs.
        if (!ConfigErrors.VERSION_CONFLICT.is(error) || attempt === CHANGE_TRIES_MAX) throw error;
      }
    }
  }

  /** Old content as a new release. @throws CONFIG_RELEASE_NOT_FOUND, and as `publish` */
  async rollback(
    name: SetName,
    { toVersion, reason, expectedVersion, emergency }: Rollback,
    author: string,
  ): Promise<Published> {
    const { items } = await this.read(name, toVersion);
    return this.release(name, {
      items,
      reason: reason === undefined || reason === "" ? `rollback to ${toVersion}` : reason,
      expectedVersion,
      author,
      emergency,
      rollbackOf: toVersion,
    });
  }

  /** @throws CONFIG_RELEASE_NOT_FOUND */
  async read(name: SetName, version: number): Promise<Release> {
    const { entries } = await this.#store.range({ key: releaseKey(name, version) });
    const [entry] = entries;
    if (!entry) throw ConfigErrors.RELEASE_NOT_FOUND(`"${setId(name)}" has no release ${version}.`);
    return decodeJson<Release>(entry.value);
  }

  /** A page of the history, newest first: releases below `before`. @throws CONFIG_SET_NOT_FOUND */
  async history(name: SetName, { before, limit }: { before: number | undefined; limit: number }): Promise<ReleaseList> {
    const version = await this.liveVersion(name);
    if (version === 0) throw nothingReleased(name);
    const newest = Math.min(version, (before ?? Infinity) - 1);
    const oldest = Math.max(1, newest - limit + 1);
    if (newest < 1) return { releases: [] };
    const page = await this.#store.range({
      prefix: releasesPrefix(name),
      after: releaseKey(name, oldest - 1),
      limit: newest - oldest + 1,
    });
    const releases = page.entries
      .map((entry) => {
        const { items: _items, ...summary } = decodeJson<Release>(entry.value);
        return summary;
      })
      .toReversed();
    return { releases, ...(oldest > 1 ? { before: oldest } : {}) };
  }

  /** Lines and keys of live releases that hold a text, in order, up to so many. */
  search(text: string, namespace: string | undefined, limit: number): { hits: SearchHit[]; more: boolean } {
    const hits: SearchHit[] = [];
    const names = this.sets(namespace);
    for (const { version, hash: _hash, ...name } of names) {
      const items = this.#live.get(setId(name))?.release.items ?? {};
      for (const [key, { value }] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (key.includes(text)) hits.push({ ...name, version, key, line: 0, text: key });
        for (const [index, line] of value.includes(text) ? value.split("\n").entries() : []) {
          if (line.includes(text))
            hits.push({ ...name, version, key, line: index + 1, text: line.slice(0, HIT_CHARS_MAX) });
          if (hits.length > limit) return { hits: hits.slice(0, limit), more: true };
        }
      }
    }
    return { hits, more: false };
  }

  /** Live sets of a namespace, or of all, in order of name. */
  sets(namespace?: string): SetSummary[] {
    return [...this.#live.values()]
      .filter(({ name }) => namespace === undefined || name.namespace === namespace)
      .map(({ name, release }) => ({ ...name, version: release.version, hash: release.hash }))
      .sort((a, b) => (setId(a) < setId(b) ? -1 : 1));
  }

  /** What an instance is told now; empty when nothing is released for it. */
  effective(name: SetName): EffectiveConfig {
    return resolve(
      name,
      layersOf(name).map((layer) => this.#live.get(setId(layer))),
      sha256,
    );
  }

  /**
   * What an instance is told, as soon as it is something else than `known` (a releaseKey); undefined when it still is
   * that after `waitMs`, or when the signal aborted.
   */
  async effectiveOtherThan(
    name: SetName,
    { known, waitMs, signal }: { known: string | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<EffectiveConfig | undefined> {
    const { clock } = this.#host;
    const deadlineMs = clock.monotonic() + waitMs;
    for (;;) {
      const leftMs = deadlineMs - clock.monotonic();
      // The waiter stands before the look, so news between the two is not missed.
      const look = new AbortController();
      const next = this.hub.next([setId(name)], Math.max(0, leftMs), AbortSignal.any([signal, look.signal]));
      const effective = this.effective(name);
      if (effective.releaseKey !== known) {
        look.abort();
        return effective;
      }
      if (!(await next)) return undefined;
    }
  }

  /** 0 when nothing is released. Asked of the store, since this member's view may lag behind a release of another. */
  async liveVersion(name: SetName): Promise<number> {
    const { entries } = await this.#store.range({ key: liveKey(name) });
    return entries[0] ? decodeJson<LiveRecord>(entries[0].value).version : 0;
  }

  /**
   * One release, with what must be written with it in the same revision. The rules of the environment are read with the
   * rest, so a review that becomes required meanwhile is required.
   * @throws CONFIG_VALUE_INVALID, CONFIG_VERSION_CONFLICT, CONFIG_RELEASE_TOO_LARGE, CONFIG_REVIEW_REQUIRED,
   *   CONFIG_SET_OWNED
   */
  async release(name: SetName, change: ReleaseChange): Promise<Published> {
    try {
      await this.check(name, change.items);
      const hash = sha256(contentText(change.items));
      const rules = rulesKey(name.namespace);
      const owner = ownerKey(name);
      const reads = [{ key: liveKey(name) }, { key: rules }, { key: owner }, ...(change.also?.reads ?? [])];
      const { result, revision } = await commit(this.#store, reads, (known) => {
        const { approvedBy = [], emergency = false, reason } = change;
        requireOwner(known.get(owner), name, change);
        requireReview(rulesOf(known.get(rules)), { namespace: name.namespace, approvedBy, emergency, reason });
        const nowMs = this.#host.clock.now();
        const plan = publishRelease(known.get(liveKey(name)), { name, ...change, nowMs }, hash);
        return { ...plan, writes: [...plan.writes, ...(change.also?.writes(known, plan.result) ?? [])] };
      });
      this.#releases.labels("released").inc();
      const { items: _items, ...summary } = result;
      const level = summary.emergency ? "warn" : "info";
      this.#host.log[level](
        { ...summary, revision },
        summary.emergency ? "config released past a review" : "config released",
      );
      return { ...summary, revision };
    } catch (error) {
      this.#releases.labels("refused").inc();
      throw error;
    }
  }

  /** Syntax, then schemas, then meaning. @throws CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_SCHEMA_TIMEOUT */
  async check(name: SetName, items: Items): Promise<void> {
    let problems: readonly ReleaseProblem[] = checkSyntax(items);
    if (problems.length === 0) problems = await checkSchemas(this.#host, this.#schemaTasks(name, items));
    if (problems.length === 0) problems = this.#checks.flatMap((check) => check(name, items));
    const [first] = problems;
    if (!first) return;
    const at =
      first.line === undefined
        ? ""
        : ` line ${first.line}${first.column === undefined ? "" : `, column ${first.column}`}`;
    throw ConfigErrors.VALUE_INVALID(
      `Key "${first.key}"${at}${first.pointer === "" ? "" : ` at ${first.pointer}`}: ${first.message.replace(/\.$/, "")}. Nothing was released.`,
      { extra: { field: `/items/${first.key}`, problems } },
    );
  }

  /**
   * Values and the schemas that they must keep. A schema stands in the base profile and holds in every profile, so a new
   * one is held against what is live in the others, too.
   */
  #schemaTasks(name: SetName, items: Items): SchemaTask[] {
    const isBase = name.profile === BASE_PROFILE;
    const base = isBase ? items : this.#live.get(setId({ ...name, profile: BASE_PROFILE }))?.release.items;
    const schemas = Object.entries(base ?? {}).filter(([key]) => key.endsWith(SCHEMA_SUFFIX));
    if (schemas.length === 0) return [];
    const sets: { items: Items; where: string }[] = [{ items, where: "" }];
    for (const { name: other, release } of isBase ? this.#live.values() : []) {
      if (other.namespace !== name.namespace || other.app !== name.app || other.profile === BASE_PROFILE) continue;
      sets.push({ items: release.items, where: `live in profile "${other.profile}": ` });
    }
    return schemas.flatMap(([schemaKey, schema]) => {
      const key = schemaKey.slice(0, -SCHEMA_SUFFIX.length);
      return sets.flatMap(({ items, where }) => {
        const item = own(items, key);
        return item ? [{ key, item, schema: schema.value, where }] : [];
      });
    });
  }

  /** The release that a live pointer names. */
  async #load(entry: Entry): Promise<(LiveRelease & { readonly name: SetName }) | undefined> {
    const name = parseLiveKey(entry.key);
    if (!name) return undefined;
    const { version } = decodeJson<LiveRecord>(entry.value);
    return { name, release: await this.read(name, version), revision: entry.modRevision };
  }

  /** One delta per effective config that somebody follows and that stands on a changed release. */
  #deltas(changed: readonly SetName[]) {
    if (changed.length === 0) return [];
    const deltas = [];
    for (const topic of this.hub.topics()) {
      const [namespace, app, profile] = topic.split("/") as [string, string, string];
      const concerned = changed.some(
        (name) =>
          name.namespace === namespace &&
          name.app === app &&
          (name.profile === profile || name.profile === BASE_PROFILE),
      );
      if (concerned) deltas.push({ topics: [topic], data: this.effective({ namespace, app, profile }) });
    }
    return deltas;
  }
}

export function nothingReleased(name: SetName) {
  return ConfigErrors.SET_NOT_FOUND(`Nothing is released for "${setId(name)}" nor for its profile "${BASE_PROFILE}".`);
}
