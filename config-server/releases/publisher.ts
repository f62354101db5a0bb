/** Publishes releases: resolves masks, checks the items, and commits the release with everything that must change with it. */
import { hash } from "node:crypto";
import { deadline, decodeJson, type Host, own } from "#base";
import { ChangeLog, type ChangeEntry } from "#changes";
import { commit, type KeyOrPrefix, type KnownEntries, type Revision, type Store, StoreErrors } from "#store";
import {
  ConfigErrors,
  type Item,
  type Provenance,
  type Published,
  type Publish,
  type ReleaseCheck,
  type Rollback,
  type RolloutRequest,
  type SetName,
} from "../api.ts";
import { isSameItem, requireLimits, requireReview, rulesOf, withChanges } from "../core/change.ts";
import { liveKey, ownerKey, rulesKey, setId } from "../core/keys.ts";
import type { LiveConfig } from "../core/live.ts";
import { requireOwner } from "../core/owner.ts";
import { contentOf, publishRelease, versionConflict, type Content, type ReleaseWrite } from "../core/release.ts";
import { planned, type LiveRecord, type RolloutPlan, type Tally } from "../core/rollout.ts";
import { dataKeysOf, type OpenItems, type StoredItems, type StoredRelease } from "../core/sealed.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { Contents } from "./contents.ts";
import type { KeyPermit, ReleaseAuthor } from "./key-rights.ts";
import { ReleaseChecker, type Sight } from "./release-checker.ts";
import { releaseChanges } from "./release-changes.ts";
import type { StoredReleases } from "./stored-releases.ts";

/** Attempts to make a change on top of releases that other publishers made meanwhile. */
const CHANGE_TRIES_MAX = 5;
/** Milliseconds that this member may take to see a release of another member before the publisher gets an error. */
const CATCH_UP_MS_MAX = 5_000;

/** The content of a release, and its origin. */
export interface ReleaseChange {
  /** Items as a caller gave them, with masks, or as this very set stores them. */
  readonly items: StoredItems;
  readonly reason: string;
  readonly expectedVersion: number | undefined;
  readonly author: string;
  /** Rejects changes of keys that the author may not change. Absent: it may change every key of the set. */
  readonly permit?: KeyPermit | undefined;
  readonly rollbackOf?: number | undefined;
  readonly promotedFrom?: string | undefined;
  readonly proposal?: string | undefined;
  readonly approvedBy?: readonly string[] | undefined;
  readonly emergency?: boolean | undefined;
  /** Absent: to every instance at once. */
  readonly rollout?: RolloutRequest | undefined;
  readonly source?: Provenance | undefined;
  /** Written in the same revision, guarded by the entries read for it. */
  readonly also?: {
    readonly reads: readonly KeyOrPrefix[];
    readonly writes: (known: KnownEntries, release: StoredRelease) => readonly ReleaseWrite[];
  };
}

/** Facts about rollouts that a release needs. */
export interface RolloutWatch {
  /** Instances that are critical before the rollout begins. */
  critical(name: SetName, plan: RolloutPlan): readonly string[];
  /** The state of the rollout that an emergency release ends. */
  tally(name: SetName): Tally;
}

interface PublisherParts {
  readonly live: LiveConfig;
  readonly secrets: Secrets;
  readonly releases: StoredReleases;
  readonly contents: Contents;
  readonly checks: readonly ReleaseCheck[];
  /** Resolves once `live` includes a revision. */
  readonly waitFor: (revision: Revision, signal: AbortSignal) => Promise<void>;
}

/** A checked and encrypted change, ready to be committed. */
interface PreparedRelease {
  /** The items in the clear. */
  readonly open: OpenItems;
  readonly items: StoredItems;
  readonly content: Content;
  readonly rollout: { readonly plan: RolloutPlan; readonly critical: readonly string[] } | undefined;
  /** The live version that the items refer to; 0 for none. */
  readonly liveVersion: number;
  /** The author may not change every key, so what it changes was compared with the live version. */
  readonly isBound: boolean;
  readonly knownDataKeys: ReadonlySet<string>;
  /** Versions of other sets that the checks relied on, by the keys of their live pointers. */
  readonly restsOn: ReadonlyMap<string, number>;
}

export class Publisher {
  /** Set by the rollouts, which depend on the config server. */
  rolloutWatch: RolloutWatch | undefined;
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: PublisherParts;
  readonly #checker: ReleaseChecker;
  readonly #changes: ChangeLog;
  readonly #counter;

  constructor(host: Host, store: Store, parts: PublisherParts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
    this.#checker = new ReleaseChecker(host, parts.live, parts.checks);
    this.#changes = new ChangeLog(host, store);
    this.#counter = host.metrics.counter({
      name: "posthouse_config_releases_total",
      help: "Requested releases, by result.",
      labelNames: ["result"],
    });
  }

  /**
   * @throws CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_VERSION_CONFLICT, CONFIG_RELEASE_TOO_LARGE,
   * CONFIG_ROLLOUT_ACTIVE, CONFIG_ROLLOUT_INVALID, CONFIG_ROLLOUT_FIRST
   */
  publish(name: SetName, publish: Publish, { name: author, permit }: ReleaseAuthor): Promise<Published> {
    const { items, reason = "", expectedVersion, emergency, rollout } = publish;
    return this.release(name, { items, reason, expectedVersion, author, permit, emergency, rollout });
  }

  /**
   * A release that differs from the live one in one key: set to `item`, or removed when `item` is undefined.
   * @throws CONFIG_KEY_NOT_FOUND when the key to remove does not exist, CONFIG_VERSION_CONFLICT, and as `publish`
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
      /** Reject the change unless this is the live version; absent: change any live version. */
      expectedVersion?: number | undefined;
    },
    { name: author, permit }: ReleaseAuthor,
  ): Promise<Published> {
    const { releases } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      const live = await releases.liveVersion(name);
      const version = expectedVersion ?? live;
      if (version !== live) throw versionConflict(name, { version: live, expectedVersion: version });
      const current = await releases.itemsOf(name, version);
      const before = own(current, key);
      if (!item && !before) throw ConfigErrors.KEY_NOT_FOUND(`"${setId(name)}" has no key "${key}".`);
      const items = withChanges(current, { [key]: item ?? null });
      try {
        return await this.release(name, { items, reason, expectedVersion: version, author, permit });
      } catch (error) {
        // Another release came first, perhaps of another key: repeat the change on top of it.
        const final = expectedVersion !== undefined || attempt === CHANGE_TRIES_MAX;
        if (final || !ConfigErrors.VERSION_CONFLICT.is(error)) throw error;
      }
    }
  }

  /** Earlier content as a new release. @throws CONFIG_RELEASE_NOT_FOUND, and as `publish` */
  async rollback(
    name: SetName,
    { toVersion, reason, expectedVersion, emergency }: Rollback,
    { name: author, permit }: ReleaseAuthor,
  ): Promise<Published> {
    const { items } = await this.#parts.releases.read(name, toVersion);
    return this.release(name, {
      items,
      reason: reason === undefined || reason === "" ? `rollback to ${toVersion}` : reason,
      expectedVersion,
      author,
      permit,
      emergency,
      rollbackOf: toVersion,
    });
  }

  /**
   * Checks items as a release of them would; `blind` for an author who may not reveal secrets. Returns the versions of
   * other sets that the result relies on.
   * @throws CONFIG_RELEASE_TOO_LARGE, CONFIG_VALUE_INVALID (`extra.problems`), CONFIG_CHECK_TIMEOUT
   */
  async check(
    name: SetName,
    items: StoredItems,
    { blind, author }: Pick<Sight, "blind" | "author">,
  ): Promise<ReadonlyMap<string, number>> {
    const { live, secrets } = this.#parts;
    const standing = live.get(name)?.sealed ?? {};
    const { open, known } = await secrets.take(name, items, { standing, draft: true });
    return this.#checker.check(name, open, { blind, author, known });
  }

  /**
   * One release, with everything that must be written in the same revision. The transaction also reads the rules of the
   * environment and the versions that the checks relied on: a review that becomes required meanwhile is required, and a
   * release of another set in between repeats the checks.
   * @throws CONFIG_VALUE_INVALID, CONFIG_VERSION_CONFLICT, CONFIG_RELEASE_TOO_LARGE, CONFIG_REVIEW_REQUIRED,
   *   CONFIG_SET_OWNED, CONFIG_LIMIT_EXCEEDED
   */
  async release(name: SetName, change: ReleaseChange): Promise<Published> {
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#commit(name, change, await this.#prepare(name, change));
        } catch (error) {
          if (!(error instanceof OthersChanged)) throw error;
          if (attempt === CHANGE_TRIES_MAX) {
            throw StoreErrors.CONTENDED(
              `Other publishers released related config during ${attempt} attempts. Try again later.`,
            );
          }
          // The next attempt needs those releases in `live`.
          using late = deadline(this.#host.clock, CATCH_UP_MS_MAX);
          await this.#parts.waitFor(error.revision, late.signal);
        }
      }
    } catch (error) {
      this.#counter.labels("refused").inc();
      throw error;
    }
  }

  async #prepare(name: SetName, { rollout: request, ...change }: ReleaseChange): Promise<PreparedRelease> {
    const { secrets, contents } = this.#parts;
    const plan = request && planned(request, name.app);
    const rollout = plan && { plan, critical: this.rolloutWatch?.critical(name, plan) ?? [] };
    const live = this.#parts.live.get(name);
    const taken = await secrets.take(name, change.items, { standing: live?.sealed ?? {} });
    const { open, known: inTheClear } = taken;
    change.permit?.(name, changedKeys(live?.release.items ?? {}, open));
    // Every reader of the source's status sees the result of a commit, and so do the commit's authors.
    const blind = change.source !== undefined;
    const restsOn = await this.#checker.check(name, open, { blind, author: change.author, known: inTheClear });
    const items = await taken.seal();
    const knownDataKeys = new Set(dataKeysOf(live?.sealed ?? {}));
    const content = contentOf(items, (bytes) => hash("sha256", bytes));
    await contents.stage(name, content);
    const liveVersion = live?.release.version ?? 0;
    return { open, items, content, rollout, liveVersion, isBound: change.permit !== undefined, knownDataKeys, restsOn };
  }

  async #commit(
    name: SetName,
    { rollout: _request, ...change }: ReleaseChange,
    prepared: PreparedRelease,
  ): Promise<Published> {
    const { open, items, content, rollout, knownDataKeys } = prepared;
    const { emergency = false } = change;
    const rules = rulesKey(name.namespace);
    const owner = ownerKey(name);
    const reads = [
      { key: liveKey(name) },
      { key: rules },
      { key: owner },
      ...[...prepared.restsOn.keys()].map((key) => ({ key })),
      ...(change.also?.reads ?? []),
    ];
    const plan = (known: KnownEntries, entry: ChangeEntry) => {
      requireUnchanged(known, name, prepared);
      requireOwner(known.get(owner), name, change);
      const inForce = rulesOf(known.get(rules));
      const { namespace } = name;
      requireReview(inForce, { namespace, approvedBy: change.approvedBy ?? [], emergency, reason: change.reason });
      requireLimits(inForce, namespace, open, content.bytes.length);
      const nowMs = this.#host.clock.now();
      const tally = emergency ? this.rolloutWatch?.tally(name) : undefined;
      const command = { name, ...change, items, rollout, tally, nowMs, knownDataKeys };
      const { writes, result } = publishRelease(known.get(liveKey(name)), command, content);
      const noted = releaseChanges(result, known.get(liveKey(name)), rollout !== undefined).map(entry);
      return { result, writes: [...writes, ...noted, ...(change.also?.writes(known, result) ?? [])] };
    };
    const { result, revision } = await this.#changes.use((entry) =>
      commit(this.#store, reads, (known) => plan(known, entry)),
    );
    this.#counter.labels("released").inc();
    const { items: _items, ...summary } = result;
    const level = summary.emergency ? "warn" : "info";
    this.#host.log[level](
      { ...summary, revision },
      summary.emergency ? "config released as an emergency, without a review" : "config released",
    );
    return { ...summary, revision };
  }
}

/** Releases changed since the checks looked at them. */
class OthersChanged extends Error {
  readonly revision: Revision;

  constructor(revision: Revision) {
    super("a release that the checks relied on has changed");
    this.revision = revision;
  }
}

/** Keys that differ between two contents. */
function changedKeys(before: OpenItems, after: OpenItems): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].filter((key) => !isSameItem(own(before, key), own(after, key)));
}

/** @throws OthersChanged */
function requireUnchanged(
  known: KnownEntries,
  name: SetName,
  { items, liveVersion, isBound, restsOn }: PreparedRelease,
): void {
  const entry = known.get(liveKey(name));
  const live = entry && decodeJson<LiveRecord>(entry.value);
  // Masks represent secrets of the version that was live here, and a secret stays a secret: other versions may differ.
  const refers = isBound || live?.secrets === true || Object.values(items).some(({ secret }) => secret);
  if (entry && refers && live?.version !== liveVersion) throw new OthersChanged(entry.modRevision);
  for (const [key, version] of restsOn) {
    const other = known.get(key);
    if (other && decodeJson<LiveRecord>(other.value).version !== version) throw new OthersChanged(other.modRevision);
  }
}
