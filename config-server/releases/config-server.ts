/**
 * The config server's shell: checks, plans and commits releases; follows the live pointers; tells every subscriber its
 * effective config, always whole.
 */
import { createHash } from "node:crypto";
import { deadline, decodeJson, encodeJson, type Host, own } from "#base";
import { type IfNoneMatch, longPoll, type Polled, WatchHub } from "#http";
import { commit, type Entry, type KeyOrPrefix, type Known, type Revision, type Store, StoreErrors, View } from "#store";
import {
  ConfigErrors,
  type EffectiveConfig,
  type Item,
  type Provenance,
  type Published,
  type Publish,
  type Release,
  type ReleaseCheck,
  type ReleaseList,
  type Rollback,
  type RolloutRequest,
  type SearchResult,
  type SetName,
  type SetSummary,
} from "../api.ts";
import { Shown, tagOf } from "../secrets/audience.ts";
import { Contents } from "./contents.ts";
import { requireLimits, requireReview, rulesOf, withChanges } from "../core/change.ts";
import { LIVE_PREFIX, liveKey, ownerKey, parseLiveKey, rulesKey, setId } from "../core/keys.ts";
import { LiveConfig, type Pointer } from "../core/live.ts";
import { requireOwner } from "../core/owner.ts";
import { contentOf, publishRelease, versionConflict, type ReleaseWrite } from "../core/release.ts";
import { appId, BASE_PROFILE } from "../core/resolve.ts";
import { planned, type LiveRecord, type Plan, type Tally } from "../core/rollout.ts";
import { searchIn } from "../core/search.ts";
import {
  dataKeysOf,
  sealedOf,
  shownItems,
  type StoredItems,
  type StoredRelease,
  type Unreadable,
} from "../core/sealed.ts";
import { ANYBODY, followersOf, toldAfter, topicOf, type Reader } from "../core/told.ts";
import { Healing } from "../secrets/healing.ts";
import { type HistoryPage, readHistory } from "./history.ts";
import { ReleaseChecker, type Sight } from "./release-checker.ts";
import { SecretKeys } from "../secrets/secret-keys.ts";
import { Secrets, unreadable } from "../secrets/secrets.ts";

/** Releases of one page of the history. */
export const HISTORY_PAGE_MAX = 100;
/** Times that a change is made or looked at anew on top of others' releases. */
const CHANGE_TRIES_MAX = 5;
/** Milliseconds that this member may take to hear of a release of another one, before a publisher is told to try again. */
const CATCH_UP_MS_MAX = 5_000;

const sha256 = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");
/** What a release is made of, and where it comes from. */
export interface ReleaseChange {
  /** As given, masks and all, or as stored in this very set. */
  readonly items: StoredItems;
  readonly reason: string;
  readonly expectedVersion: number | undefined;
  readonly author: string;
  readonly rollbackOf?: number | undefined;
  readonly promotedFrom?: string | undefined;
  readonly proposal?: string | undefined;
  readonly approvedBy?: readonly string[] | undefined;
  readonly emergency?: boolean | undefined;
  /** Stage by stage; absent: to everybody at once. */
  readonly rollout?: RolloutRequest | undefined;
  readonly source?: Provenance | undefined;
  /** Written in the same revision; guarded by what is read for it. */
  readonly also?: {
    readonly reads: readonly KeyOrPrefix[];
    readonly writes: (known: Known, release: StoredRelease) => readonly ReleaseWrite[];
  };
}

/** What a release needs to know of rollouts: the health that one begins with, and how one stands that it ends. */
export interface RolloutWatch {
  critical(name: SetName, plan: Plan): readonly string[];
  tally(name: SetName): Tally;
}

export class ConfigServer {
  readonly hub: WatchHub;
  readonly secrets: Secrets;
  /** All that is live or on its way. */
  readonly live = new LiveConfig(sha256);
  /** Set by the rollouts, which stand on this. */
  rolloutWatch: RolloutWatch | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #checker: ReleaseChecker;
  readonly #contents: Contents;
  /** The bytes that a config is answered with, made once for all that ask. */
  readonly #bytes = new WeakMap<EffectiveConfig, Uint8Array>();
  readonly #shown = new Shown();
  readonly #healing: Healing;
  /** Of the hub, when secrets could last be read that could not before: whoever resumes from there is told anew. */
  #healedAt = -1;
  readonly #releases;

  /** `checks` look at a release's meaning; each decides by the set's name whether it is meant. */
  constructor(
    host: Host,
    store: Store,
    checks: readonly ReleaseCheck[],
    keys: SecretKeys = new SecretKeys(host, undefined),
  ) {
    this.#host = host;
    this.#store = store;
    this.secrets = new Secrets(host, store, keys);
    this.#healing = new Healing(host, keys, {
      live: () => this.live.all(),
      open: ({ name, record, revision }) => this.#open(name, record, revision, undefined),
      take: (pointers) => {
        this.#healedAt = this.hub.revision;
        this.#take(pointers, this.hub.revision);
      },
    });
    this.#checker = new ReleaseChecker(host, this.live, checks);
    this.#contents = new Contents(host, store);
    this.hub = new WatchHub(host, "config", { documents: true, ageMs: () => this.ageMs });
    this.#releases = host.metrics.counter({
      name: "posthouse_config_releases_total",
      help: "Releases asked for, by what became of them.",
      labelNames: ["result"],
    });
    this.#view = new View(host, store, {
      name: "config",
      prefix: LIVE_PREFIX,
      reset: async (entries, revision) => {
        const loaded = await this.#load(entries);
        this.live.clear();
        this.live.apply(loaded);
        this.hub.reset(revision);
        this.#tell();
      },
      apply: async ({ events, revision }) => {
        const loaded = await this.#load(events.flatMap((event) => (event.type === "put" ? [event.entry] : [])));
        this.#take(loaded, revision);
      },
    });
    host.metrics.gauge({
      name: "posthouse_config_sets",
      help: "Config sets with a live release.",
      collect: (gauge) => gauge.labels().set(this.live.size),
    });
  }

  /** Revision up to which the live config is complete; 0 before it was first read. */
  get revision(): Revision {
    return this.#view.revision;
  }

  get connected(): boolean {
    return this.#view.connected;
  }

  /** Milliseconds since the store's last sign of life: what is served is as old as this at most. */
  get ageMs(): number {
    return this.#view.ageMs;
  }

  /** Follows the store. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.#contents.run(signal), this.#healing.run(signal)]);
  }

  waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.#view.waitFor(revision, signal);
  }

  /** Called after every change of what is live or on its way. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /**
   * @throws CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_VERSION_CONFLICT, CONFIG_RELEASE_TOO_LARGE,
   * CONFIG_ROLLOUT_ACTIVE, CONFIG_ROLLOUT_INVALID, CONFIG_ROLLOUT_FIRST
   */
  publish(name: SetName, publish: Publish, author: string): Promise<Published> {
    const { items, reason = "", expectedVersion, emergency, rollout } = publish;
    return this.release(name, { items, reason, expectedVersion, author, emergency, rollout });
  }

  /**
   * A release that differs from the live one in one key: set to `item`, or gone when there is none.
   * @throws CONFIG_KEY_NOT_FOUND when a key to remove is not there, CONFIG_VERSION_CONFLICT, and as `publish`
   */
  async change(
    name: SetName,
    {
      key,
      item,
      reason = "",
      expectedVersion,
    }: {
      key: string;
      item: Item | undefined;
      reason?: string | undefined;
      /** Refuse unless this is the live version; absent: on top of whatever is. */
      expectedVersion?: number | undefined;
    },
    author: string,
  ): Promise<Published> {
    for (let attempt = 1; ; attempt++) {
      const live = await this.liveVersion(name);
      const version = expectedVersion ?? live;
      if (version !== live) throw versionConflict(name, { version: live, expectedVersion: version });
      const standing: StoredItems = version === 0 ? {} : (await this.stored(name, version)).items;
      const before = own(standing, key);
      if (!item && !before) throw ConfigErrors.KEY_NOT_FOUND(`"${setId(name)}" has no key "${key}".`);
      const items = withChanges(standing, { [key]: item ?? null });
      try {
        return await this.release(name, { items, reason, expectedVersion: version, author });
      } catch (error) {
        // Somebody released meanwhile, perhaps another key: ours is changed on top of theirs.
        const final = expectedVersion !== undefined || attempt === CHANGE_TRIES_MAX;
        if (final || !ConfigErrors.VERSION_CONFLICT.is(error)) throw error;
      }
    }
  }

  /** Old content as a new release. @throws CONFIG_RELEASE_NOT_FOUND, and as `publish` */
  async rollback(
    name: SetName,
    { toVersion, reason, expectedVersion, emergency }: Rollback,
    author: string,
  ): Promise<Published> {
    const { items } = await this.stored(name, toVersion);
    return this.release(name, {
      items,
      reason: reason === undefined || reason === "" ? `rollback to ${toVersion}` : reason,
      expectedVersion,
      author,
      emergency,
      rollbackOf: toVersion,
    });
  }

  /** As people are shown it, its secrets masked. @throws CONFIG_RELEASE_NOT_FOUND */
  async read(name: SetName, version: number): Promise<Release> {
    const release = await this.stored(name, version);
    return { ...release, items: shownItems(release.items) };
  }

  /** As it lies in the store, its secrets encrypted. @throws CONFIG_RELEASE_NOT_FOUND */
  async stored(name: SetName, version: number): Promise<StoredRelease> {
    const release = await this.#contents.read(name, version);
    if (!release) throw ConfigErrors.RELEASE_NOT_FOUND(`"${setId(name)}" has no release ${version}.`);
    return release;
  }

  /** A page of the history, newest first: releases below `before`. @throws CONFIG_SET_NOT_FOUND */
  async history(name: SetName, page: HistoryPage): Promise<ReleaseList> {
    const live = await this.liveRecord(name);
    if (!live) throw nothingReleased(name);
    return readHistory(this.#store, { name, live }, page);
  }

  /** Lines and keys of live releases that hold a text, in order, up to so many. Secrets are found by their key alone. */
  search(text: string, namespace: string | undefined, limit: number): SearchResult {
    return searchIn(
      this.#sorted(namespace).map(({ release }) => release),
      text,
      limit,
    );
  }

  #sorted(namespace: string | undefined): Pointer[] {
    return [...this.live.all()]
      .filter(({ name }) => namespace === undefined || name.namespace === namespace)
      .sort((a, b) => (setId(a.name) < setId(b.name) ? -1 : 1));
  }

  /** Live sets of a namespace, or of all, in order of name. */
  sets(namespace?: string): SetSummary[] {
    return this.#sorted(namespace).map(({ name, release, candidate }) => ({
      ...name,
      version: release.version,
      hash: release.hash,
      ...(candidate ? { rollout: candidate.version } : {}),
    }));
  }

  /**
   * What an instance is told now; empty when nothing is released for it.
   * @throws CONFIG_UNRESOLVED (`extra.problems`) when its placeholders cannot be filled in and never could,
   * CONFIG_SECRET_UNREADABLE when a secret in it cannot be decrypted
   */
  effective(name: SetName, { who, audience }: Reader = ANYBODY): EffectiveConfig {
    const { config, problems } = this.live.resolved(name, who);
    const lost = problems.find((problem) => problem.unreadable)?.unreadable;
    if (lost) throw unreadable(lost);
    if (problems.length === 0 || this.live.isLastGood(name, who)) return this.#shown.of(config, audience);
    throw ConfigErrors.UNRESOLVED(
      `"${setId(name)}" cannot be told: key "${problems[0]?.key}": ${problems[0]?.message}. Release what is missing, or a config without it.`,
      { extra: { problems } },
    );
  }

  /** What changed since a revision: nothing, or all of it. */
  effectiveSince(name: SetName, reader: Reader, revision: Revision): EffectiveConfig[] {
    const effective = this.effective(name, reader);
    return effective.revision > revision || this.#healedAt >= revision ? [effective] : [];
  }

  /** The same as the bytes of its JSON, made once. */
  effectiveBytes(config: EffectiveConfig): Uint8Array {
    let bytes = this.#bytes.get(config);
    if (!bytes) this.#bytes.set(config, (bytes = encodeJson(config)));
    return bytes;
  }

  /** What an instance is told, as soon as it is something else than it has; a set of which nothing is released has no tag. */
  async effectiveOtherThan(
    name: SetName,
    options: { reader?: Reader; known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<EffectiveConfig> & { readonly isKnown: boolean }> {
    const { reader = ANYBODY, known, waitMs, signal } = options;
    const read = () => {
      const state = this.effective(name, reader);
      return { state, tag: state.revision === 0 ? undefined : tagOf(state, reader.audience) };
    };
    const next = (ms: number, signal: AbortSignal) => this.hub.next([topicOf(name, reader, false)], ms, signal);
    return longPoll(this.#host.clock, { read, next, known, waitMs, signal });
  }

  /** 0 when nothing is released. Asked of the store, since this member's view may lag behind a release of another. */
  async liveVersion(name: SetName): Promise<number> {
    return (await this.liveRecord(name))?.version ?? 0;
  }

  /** The live pointer as the store has it. */
  async liveRecord(name: SetName): Promise<LiveRecord | undefined> {
    const { entries } = await this.#store.range({ key: liveKey(name) });
    return entries[0] && decodeJson<LiveRecord>(entries[0].value);
  }

  /**
   * One release, with what must be written with it in the same revision. The rules of the environment are read with the
   * rest, so a review that becomes required meanwhile is required; and what the checks rested on must still be live.
   * @throws CONFIG_VALUE_INVALID, CONFIG_VERSION_CONFLICT, CONFIG_RELEASE_TOO_LARGE, CONFIG_REVIEW_REQUIRED,
   *   CONFIG_SET_OWNED, CONFIG_LIMIT_EXCEEDED
   */
  async release(name: SetName, change: ReleaseChange): Promise<Published> {
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#release(name, change);
        } catch (error) {
          if (!(error instanceof OthersChanged)) throw error;
          if (attempt === CHANGE_TRIES_MAX) {
            throw StoreErrors.CONTENDED(`Others released during ${attempt} tries. Try again a little later.`);
          }
          // What others released is to be here before the next look.
          using late = deadline(this.#host.clock, CATCH_UP_MS_MAX);
          await this.#view.waitFor(error.revision, late.signal);
        }
      }
    } catch (error) {
      this.#releases.labels("refused").inc();
      throw error;
    }
  }

  async #release(name: SetName, { rollout: request, ...change }: ReleaseChange): Promise<Published> {
    const plan = request && planned(request, name.app);
    const rollout = plan && { plan, critical: this.rolloutWatch?.critical(name, plan) ?? [] };
    const live = this.live.get(name);
    const taken = await this.secrets.take(name, change.items, { standing: live?.sealed ?? {} });
    const { open, known: inTheClear } = taken;
    // What becomes of a source's commit is shown to whoever may read, and to its authors.
    const blind = change.source !== undefined;
    const restsOn = await this.#checker.check(name, open, { blind, author: change.author, known: inTheClear });
    const items = await taken.seal();
    const knownDataKeys = new Set(dataKeysOf(live?.sealed ?? {}));
    const content = contentOf(items, sha256);
    await this.#contents.stage(name, content);
    const rules = rulesKey(name.namespace);
    const owner = ownerKey(name);
    const reads = [
      { key: liveKey(name) },
      { key: rules },
      { key: owner },
      ...[...restsOn.keys()].map((key) => ({ key })),
      ...(change.also?.reads ?? []),
    ];
    const { result, revision } = await commit(this.#store, reads, (known) => {
      const { approvedBy = [], emergency = false, reason } = change;
      const stands = known.get(liveKey(name));
      const now = stands && decodeJson<LiveRecord>(stands.value);
      // Masks stand for what was live here, and a secret stays one: of other releases they say something else.
      const refers = now?.secrets === true || Object.values(items).some(({ secret }) => secret);
      if (stands && refers && now?.version !== (live?.release.version ?? 0))
        throw new OthersChanged(stands.modRevision);
      for (const [key, version] of restsOn) {
        const entry = known.get(key);
        if (entry && decodeJson<LiveRecord>(entry.value).version !== version)
          throw new OthersChanged(entry.modRevision);
      }
      requireOwner(known.get(owner), name, change);
      const inForce = rulesOf(known.get(rules));
      requireReview(inForce, { namespace: name.namespace, approvedBy, emergency, reason });
      requireLimits(inForce, name.namespace, open, content.bytes.length);
      const nowMs = this.#host.clock.now();
      const tally = emergency ? this.rolloutWatch?.tally(name) : undefined;
      const command = { name, ...change, items, rollout, tally, nowMs, knownDataKeys };
      const planned = publishRelease(stands, command, content);
      return { ...planned, writes: [...planned.writes, ...(change.also?.writes(known, planned.result) ?? [])] };
    });
    this.#releases.labels("released").inc();
    const { items: _items, ...summary } = result;
    const level = summary.emergency ? "warn" : "info";
    this.#host.log[level](
      { ...summary, revision },
      summary.emergency ? "config released past a review" : "config released",
    );
    return { ...summary, revision };
  }

  /**
   * Whether items could be released, as they would be; `blind` for somebody who may not reveal secrets. Returns the versions of other sets that this rests on.
   * @throws CONFIG_RELEASE_TOO_LARGE, CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_CHECK_TIMEOUT
   */
  async check(
    name: SetName,
    items: StoredItems,
    { blind, author }: Pick<Sight, "blind" | "author">,
  ): Promise<ReadonlyMap<string, number>> {
    const standing = this.live.get(name)?.sealed ?? {};
    const { open, known } = await this.secrets.take(name, items, { standing, draft: true });
    return this.#checker.check(name, open, { blind, author, known });
  }

  /** The releases that live pointers name; those that are here already are not read again. */
  async #load(entries: readonly Entry[]): Promise<Pointer[]> {
    const loaded = await Promise.all(
      entries.map(async (entry): Promise<Pointer[]> => {
        const name = parseLiveKey(entry.key);
        if (!name) return [];
        return [await this.#open(name, decodeJson<LiveRecord>(entry.value), entry.modRevision, this.live.get(name))];
      }),
    );
    return loaded.flat();
  }

  /** A pointer and what it names; with `known` what is here already is not read and decrypted again. */
  async #open(name: SetName, record: LiveRecord, revision: Revision, known: Pointer | undefined): Promise<Pointer> {
    const read = async ({ version, hash }: Pick<Release, "version" | "hash">) => {
      const here = (release: Pick<Release, "version" | "hash">) => release.version === version && release.hash === hash;
      if (known && here(known.release)) return { release: known.release, sealed: known.sealed };
      if (known?.candidate && here(known.candidate)) return { release: known.candidate, sealed: known.candidateSealed };
      const stored = await this.stored(name, version);
      const items = await this.secrets.open(name, stored.items);
      return { release: { ...stored, items }, sealed: sealedOf(stored.items) };
    };
    const next = record.rollout && (await read(record.rollout));
    return {
      name,
      record,
      ...(await read(record)),
      candidate: next?.release,
      candidateSealed: next?.sealed ?? {},
      revision,
    };
  }

  /** Live secrets that cannot be decrypted. */
  unreadable(): (Unreadable & { readonly name: SetName })[] {
    return [...this.live.all()].flatMap(({ name, release, sealed }) =>
      Object.keys(sealed).flatMap((key) => {
        const lost = own(release.items, key)?.unreadable;
        return lost ? [{ name, ...lost }] : [];
      }),
    );
  }

  /** Takes over what is another one now, and tells those who follow it in the same breath: nobody sees a part of it. */
  #take(pointers: readonly Pointer[], revision: Revision): void {
    const apps = new Set(pointers.map(({ name }) => appId(name)));
    const followers = pointers.length === 0 ? [] : followersOf(this.live, this.hub.topics(), apps);
    this.live.apply(pointers);
    const told = toldAfter(this.live, followers, {
      broken: (name, problems) => this.#broken(name, problems),
      shown: (config, audience) => this.#shown.of(config, audience),
    });
    this.hub.publish(revision, told);
    if (pointers.length > 0) this.#tell();
  }

  #broken(name: SetName, problems: readonly { readonly key: string; readonly message: string }[]): void {
    const set = setId(name);
    this.#host.log.error({ set, problems }, `what was told of "${set}" stays: ${problems[0]?.message}`);
  }
}

/** What the checks of a release rested on was released anew meanwhile. */
class OthersChanged extends Error {
  readonly revision: Revision;

  constructor(revision: Revision) {
    super("others released what this rests on");
    this.revision = revision;
  }
}

export function nothingReleased(name: SetName) {
  return ConfigErrors.SET_NOT_FOUND(`Nothing is released for "${setId(name)}" nor for its profile "${BASE_PROFILE}".`);
}
