/** The config server's shell: follows the live pointers, and sends every subscriber its effective config, always whole. */
import { hash } from "node:crypto";
import { decodeJson, encodeJson, type Host, own } from "#base";
import { type IfNoneMatch, longPoll, type Polled, WatchHub } from "#http";
import { type StoreEntry, type Revision, type Store, View } from "#store";
import {
  ConfigErrors,
  type EffectiveConfig,
  type Release,
  type ReleaseCheck,
  type SearchResult,
  type SetName,
  type SetSummary,
} from "../api.ts";
import { Shown, tagOf } from "../secrets/audience.ts";
import { Contents } from "./contents.ts";
import type { SeesKey } from "../core/key-view.ts";
import { LIVE_PREFIX, parseLiveKey, setId } from "../core/keys.ts";
import { LiveConfig, type Pointer } from "../core/live.ts";
import { appId } from "../core/resolve.ts";
import type { LiveRecord } from "../core/rollout.ts";
import { searchIn } from "../core/search.ts";
import { sealedOf, type Unreadable } from "../core/sealed.ts";
import { ANYBODY, followersOf, framesAfter, topicOf, type Reader } from "../core/watch-frames.ts";
import { Healing } from "../secrets/healing.ts";
import { SecretKeys } from "../secrets/secret-keys.ts";
import { Secrets, unreadable } from "../secrets/secrets.ts";
import { Publisher } from "./publisher.ts";
import { StoredReleases } from "./stored-releases.ts";

export class ConfigServer {
  readonly hub: WatchHub;
  readonly secrets: Secrets;
  /** Live releases and those that a rollout is bringing. */
  readonly live = new LiveConfig((text) => hash("sha256", text));
  readonly releases: StoredReleases;
  readonly publisher: Publisher;
  readonly #listeners = new Set<() => void>();
  readonly #host: Host;
  readonly #view: View;
  readonly #contents: Contents;
  /** The bytes of a config's JSON, made once for all readers. */
  readonly #bytes = new WeakMap<EffectiveConfig, Uint8Array>();
  readonly #shown = new Shown();
  readonly #healing: Healing;
  /** The hub's revision when secrets last became readable: a reader that resumes from it receives the config again. */
  #healedAt = -1;

  /** `checks` judge a release's meaning; each decides by the set's name whether it applies. */
  constructor(
    host: Host,
    store: Store,
    checks: readonly ReleaseCheck[],
    keys: SecretKeys = new SecretKeys(host, undefined),
  ) {
    this.#host = host;
    this.secrets = new Secrets(host, store, keys);
    this.#healing = new Healing(host, keys, {
      live: () => this.live.all(),
      open: ({ name, record, revision }) => this.#open(name, record, revision, undefined),
      take: (pointers) => {
        this.#healedAt = this.hub.revision;
        this.#take(pointers, this.hub.revision);
      },
    });
    this.#contents = new Contents(host, store);
    this.releases = new StoredReleases(store, this.#contents);
    this.publisher = new Publisher(host, store, {
      live: this.live,
      secrets: this.secrets,
      releases: this.releases,
      contents: this.#contents,
      checks,
      waitFor: (revision, signal) => this.waitFor(revision, signal),
    });
    this.hub = new WatchHub(host, "config", { documents: true, ageMs: () => this.ageMs });
    this.#view = new View(host, store, {
      name: "config",
      prefix: LIVE_PREFIX,
      reset: async (entries, revision) => {
        const loaded = await this.#load(entries);
        this.live.clear();
        this.live.apply(loaded);
        this.hub.reset(revision);
        this.#notify();
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

  /** Milliseconds since the store last answered: the served config is at most this old. */
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

  /** Calls the listener after every change of a live release or of a rollout. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Lines and keys of live releases that contain a text, in order, at most `limit`. Secrets are found by their key alone. */
  search(
    text: string,
    query: {
      readonly namespace: string | undefined;
      readonly limit: number;
      readonly seesSet: (name: SetName) => boolean;
      readonly sees: SeesKey;
    },
  ): SearchResult {
    const visible = this.#sorted(query.namespace).filter(({ name }) => query.seesSet(name));
    return searchIn(
      visible.map(({ release }) => release),
      text,
      query,
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
   * The config of an instance now; empty when nothing is released for it.
   * @throws CONFIG_UNRESOLVED (`extra.problems`) when its placeholders cannot be filled in and no earlier config exists,
   * CONFIG_SECRET_UNREADABLE when a secret in it cannot be decrypted
   */
  effective(name: SetName, reader: Reader = ANYBODY): EffectiveConfig {
    const { who } = reader;
    const { config, problems } = this.live.resolved(name, who);
    const lost = problems.find((problem) => problem.unreadable)?.unreadable;
    if (lost) throw unreadable(lost);
    if (problems.length === 0 || this.live.isLastGood(name, who)) return this.#shown.of(config, reader);
    throw ConfigErrors.UNRESOLVED(
      `The config of "${setId(name)}" cannot be built. Key "${problems[0]?.key}": ${problems[0]?.message}. Release the missing value, or a config that does not need it.`,
      { extra: { problems } },
    );
  }

  /** The whole config when it changed after a revision, else nothing. */
  effectiveSince(name: SetName, reader: Reader, revision: Revision): EffectiveConfig[] {
    const effective = this.effective(name, reader);
    return effective.revision > revision || this.#healedAt >= revision ? [effective] : [];
  }

  /** A config as the bytes of its JSON, made once. */
  effectiveBytes(config: EffectiveConfig): Uint8Array {
    let bytes = this.#bytes.get(config);
    if (!bytes) this.#bytes.set(config, (bytes = encodeJson(config)));
    return bytes;
  }

  /** The config of an instance, as soon as it differs from the known one. A set without a release has no tag. */
  async effectiveOtherThan(
    name: SetName,
    options: { reader?: Reader; known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<EffectiveConfig> & { readonly isKnown: boolean }> {
    const { reader = ANYBODY, known, waitMs, signal } = options;
    const read = () => {
      const state = this.effective(name, reader);
      return { state, tag: state.revision === 0 ? undefined : tagOf(state, reader) };
    };
    const next = (ms: number, signal: AbortSignal) => this.hub.next([topicOf(name, reader, false)], ms, signal);
    return longPoll(this.#host.clock, { read, next, known, waitMs, signal });
  }

  /** The releases that live pointers name. Releases that are in memory are not read again. */
  async #load(entries: readonly StoreEntry[]): Promise<Pointer[]> {
    const loaded = await Promise.all(
      entries.map(async (entry): Promise<Pointer[]> => {
        const name = parseLiveKey(entry.key);
        if (!name) return [];
        return [await this.#open(name, decodeJson<LiveRecord>(entry.value), entry.modRevision, this.live.get(name))];
      }),
    );
    return loaded.flat();
  }

  /** A pointer and its releases. Releases that `known` has are not read and decrypted again. */
  async #open(name: SetName, record: LiveRecord, revision: Revision, known: Pointer | undefined): Promise<Pointer> {
    const read = async ({ version, hash }: Pick<Release, "version" | "hash">) => {
      const here = (release: Pick<Release, "version" | "hash">) => release.version === version && release.hash === hash;
      if (known && here(known.release)) return { release: known.release, sealed: known.sealed };
      if (known?.candidate && here(known.candidate)) return { release: known.candidate, sealed: known.candidateSealed };
      const stored = await this.releases.read(name, version);
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

  /** Applies changed pointers and publishes the resulting configs in the same step, so that no reader sees a part of a change. */
  #take(pointers: readonly Pointer[], revision: Revision): void {
    const apps = new Set(pointers.map(({ name }) => appId(name)));
    const followers = pointers.length === 0 ? [] : followersOf(this.live, this.hub.topics(), apps);
    this.live.apply(pointers);
    const told = framesAfter(this.live, followers, {
      broken: (name, problems) => this.#broken(name, problems),
      shown: (config, reader) => this.#shown.of(config, reader),
    });
    this.hub.publish(revision, told);
    if (pointers.length > 0) this.#notify();
  }

  #broken(name: SetName, problems: readonly { readonly key: string; readonly message: string }[]): void {
    const set = setId(name);
    this.#host.log.error(
      { set, problems },
      `the config of "${set}" cannot be built, so readers keep the previous one: ${problems[0]?.message}`,
    );
  }
}
