/**
 * Proposals: changes that others review before they become a release. They are read from the store for each request,
 * since only people look at them.
 */
import { decodeJson, encodeJson, randomId, type Host, own, setOwn } from "#base";
import { commit, type Store } from "#store";
import {
  ConfigErrors,
  OPEN_PROPOSALS_MAX,
  type PromoteRequest,
  type Proposal,
  type ProposalRequest,
  type Published,
  type ReviewRequest,
  type RolloutRequest,
  type SetName,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import type { ReleaseAuthor } from "../releases/key-rights.ts";
import { nothingReleased } from "../releases/stored-releases.ts";
import {
  approversOf,
  isSameItem,
  merge,
  requireOpen,
  review,
  shownProposal,
  withChanges,
  type StoredChanges,
  type StoredDraft,
  type StoredProposal,
} from "../core/change.ts";
import { seenItems, type SeesKey } from "../core/key-view.ts";
import { draftKey, proposalKey, proposalsPrefix, setId } from "../core/keys.ts";
import { isSealed, sealedOf, type StoredItem, type StoredItems } from "../core/sealed.ts";
import type { Author } from "./author.ts";
import { Drafts } from "./drafts.ts";
import { EnvironmentRules } from "./environment-rules.ts";
import { encodeChange, sealedChanges } from "./stored-changes.ts";

const ID_BYTES = 6;
/** Attempts to merge a proposal when other releases come first. */
const PUBLISH_TRIES_MAX = 5;

/** A proposal before it is stored. */
type NewProposal = Pick<StoredProposal, "author" | "reason" | "changes" | "baseVersion">;

export class Proposals {
  readonly drafts: Drafts;
  readonly rules: EnvironmentRules;
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    this.drafts = new Drafts(host, store, config);
    this.rules = new EnvironmentRules(host, store);
  }

  /**
   * Turns drafts of the author into a proposal, and removes them. The proposal is checked as a release of it would be.
   * @throws CONFIG_NOTHING_TO_PROPOSE, CONFIG_DRAFT_NOT_FOUND, CONFIG_PROPOSAL_OUTDATED, CONFIG_VALUE_INVALID
   */
  async propose(
    name: SetName,
    { reason = "", keys }: ProposalRequest,
    { name: author, blind, permit }: Author,
  ): Promise<Proposal> {
    const drafts = await this.drafts.stored(name, author);
    const wanted = keys ?? drafts.map(({ key }) => key);
    if (wanted.length === 0) {
      throw ConfigErrors.NOTHING_TO_PROPOSE(`"${author}" has no drafts of "${setId(name)}". Draft a change first.`);
    }
    const chosen = wanted.map((key): StoredDraft => {
      const found = drafts.find((draft) => draft.key === key);
      if (!found) throw ConfigErrors.DRAFT_NOT_FOUND(`"${author}" has no draft of "${key}".`);
      return found;
    });
    permit?.(name, wanted);
    const proposal = this.#begin(name, {
      author,
      reason,
      changes: Object.fromEntries(chosen.map(({ key, item }) => [key, item])),
      // The oldest base: the merge looks at all releases since any of the drafts was begun.
      baseVersion: Math.min(...chosen.map(({ baseVersion }) => baseVersion)),
    });
    const drafted = chosen.map(({ key }) => ({ key: draftKey(name, author, key) }));
    await this.#open(name, proposal, { drafts: drafted, blind });
    return shownProposal(proposal);
  }

  /** @throws CONFIG_PROPOSAL_NOT_FOUND */
  async read(name: SetName, id: string): Promise<Proposal> {
    return shownProposal(await this.#stored(name, id));
  }

  async #stored(name: SetName, id: string): Promise<StoredProposal> {
    const { entries } = await this.#store.range({ key: proposalKey(name, id) });
    if (!entries[0]) throw unknownProposal(name, id);
    return decodeJson<StoredProposal>(entries[0].value);
  }

  /** Newest first. */
  async list(name: SetName): Promise<Proposal[]> {
    const { entries } = await this.#store.range({ prefix: proposalsPrefix(name) });
    return entries
      .toSorted((a, b) => b.createRevision - a.createRevision)
      .map(({ value }) => shownProposal(decodeJson<StoredProposal>(value)));
  }

  /** @throws CONFIG_PROPOSAL_NOT_FOUND, CONFIG_PROPOSAL_CLOSED, CONFIG_REVIEW_OWN */
  review(
    name: SetName,
    id: string,
    request: ReviewRequest,
    { name: reviewer, permit }: ReleaseAuthor,
  ): Promise<Proposal> {
    const nowMs = this.#host.clock.now();
    return this.#update(name, id, (proposal) => {
      permit?.(name, Object.keys(proposal.changes));
      return review(proposal, { ...request, reviewer, nowMs });
    });
  }

  /** Withdraws a proposal of the author. @throws CONFIG_PROPOSAL_NOT_FOUND, CONFIG_PROPOSAL_CLOSED */
  withdraw(name: SetName, id: string, author: string): Promise<Proposal> {
    return this.#update(name, id, (proposal) => {
      requireOpen(proposal);
      if (proposal.author !== author) {
        throw ConfigErrors.PROPOSAL_CLOSED(
          `Proposal ${id} belongs to "${proposal.author}". Only its author can withdraw it; others can review it.`,
        );
      }
      return { ...proposal, state: "withdrawn" };
    });
  }

  /**
   * Releases a proposal, merged onto the live items; release and proposal change in one revision.
   * @throws CONFIG_PROPOSAL_NOT_FOUND, CONFIG_PROPOSAL_CLOSED, CONFIG_PROPOSAL_OUTDATED, CONFIG_REVIEW_REQUIRED, and as
   * a release
   */
  async publish(
    name: SetName,
    id: string,
    { name: publisher, permit }: ReleaseAuthor,
    { emergency, rollout }: { emergency: boolean; rollout: RolloutRequest | undefined },
  ): Promise<Published> {
    for (let attempt = 1; ; attempt++) {
      const proposal = await this.#stored(name, id);
      requireOpen(proposal);
      const { version, items } = await this.#merged(name, proposal);
      const key = proposalKey(name, id);
      try {
        return await this.#config.publisher.release(name, {
          items,
          reason: proposal.reason,
          expectedVersion: version,
          author: publisher,
          permit,
          proposal: id,
          approvedBy: approversOf(proposal),
          promotedFrom: proposal.promotedFrom,
          emergency,
          rollout,
          also: {
            reads: [{ key }],
            writes: (known, release) => {
              const current = known.get(key);
              if (!current) throw unknownProposal(name, id);
              const now = decodeJson<StoredProposal>(current.value);
              requireOpen(now);
              const published: StoredProposal = { ...now, state: "published", version: release.version };
              return [{ type: "put", key, value: encodeJson(published) }];
            },
          },
        });
      } catch (error) {
        if (!ConfigErrors.VERSION_CONFLICT.is(error) || attempt === PUBLISH_TRIES_MAX) throw error;
      }
    }
  }

  /**
   * Takes a release, or some of its keys, to the same set of another environment: as a release there, or as a proposal
   * where the rules require a review. Secrets belong to their environment: the target keeps its own, and must have them.
   * @throws CONFIG_SET_NOT_FOUND, CONFIG_RELEASE_NOT_FOUND, CONFIG_KEY_NOT_FOUND, and as a release
   */
  async promote(
    name: SetName,
    { toNamespace, version, keys, reason = "" }: PromoteRequest,
    { name: author, permit, reads }: ReleaseAuthor & { readonly reads: SeesKey },
  ): Promise<{ published: Published } | { proposal: Proposal }> {
    const { releases, publisher } = this.#config;
    const from = version ?? (await releases.liveVersion(name));
    if (from === 0) throw nothingReleased(name);
    const release = await releases.readMasked(name, from);
    // A key that the caller may not read is not there for it, or it could copy the key to a place where it may.
    const items = seenItems(name, release.items, reads);
    const target = { ...name, namespace: toNamespace };
    const live = await releases.liveItems(target);
    const changes: Record<string, StoredItem | null> = {};
    for (const key of keys ?? [...new Set([...Object.keys(items), ...Object.keys(live.items)])]) {
      const item = own(items, key);
      if (keys && !item) throw ConfigErrors.KEY_NOT_FOUND(`Release ${from} of "${setId(name)}" has no key "${key}".`);
      const current = own(live.items, key);
      setOwn(changes, key, item && current && isSealed(current) ? current : (item ?? null));
    }
    permit?.(
      target,
      Object.keys(changes).filter((key) => !isSameItem(own(changes, key), own(live.items, key))),
    );
    const promotedFrom = `${setId(name)}@${from}`;
    if (await this.rules.requiresReview(toNamespace)) {
      const given = { author, reason, changes, baseVersion: live.version };
      const proposal = { ...(await this.#beginSealed(target, given, live.items)), promotedFrom };
      // A caller that may promote may publish, so nothing is hidden from it.
      await this.#open(target, proposal, { drafts: [], blind: false });
      return { proposal: shownProposal(proposal) };
    }
    const published = await publisher.release(target, {
      items: withChanges(live.items, changes),
      reason,
      expectedVersion: live.version,
      author,
      permit,
      promotedFrom,
    });
    return { published };
  }

  /** A proposal of changes that have no drafts, such as those of an import. It is checked as a release of it would be. */
  async proposeChanges(
    name: SetName,
    given: Pick<Proposal, "changes" | "baseVersion" | "reason">,
    { name: author, blind, permit }: Author,
  ): Promise<Proposal> {
    permit?.(name, Object.keys(given.changes));
    const { items } = await this.#config.releases.liveItems(name);
    const proposal = await this.#beginSealed(name, { author, ...given }, items);
    await this.#open(name, proposal, { drafts: [], blind });
    return shownProposal(proposal);
  }

  #begin(name: SetName, given: NewProposal): StoredProposal {
    return {
      ...name,
      id: randomId(this.#host.random, ID_BYTES),
      createdAt: new Date(this.#host.clock.now()).toISOString(),
      state: "open",
      reviews: [],
      ...given,
    };
  }

  async #beginSealed(name: SetName, given: NewProposal, liveItems: StoredItems): Promise<StoredProposal> {
    const standing = sealedOf(liveItems);
    const changes: StoredChanges = await sealedChanges(this.#config.secrets, {
      name,
      changes: given.changes,
      standing,
    });
    return this.#begin(name, { ...given, changes });
  }

  /** Checks a proposal as its release would be, and stores it. The drafts that it was made of are removed with that. */
  async #open(
    name: SetName,
    proposal: StoredProposal,
    { drafts, blind }: { readonly drafts: readonly { key: string }[]; readonly blind: boolean },
  ): Promise<void> {
    const { items } = await this.#merged(name, proposal);
    await this.#config.publisher.check(name, items, { blind, author: proposal.author });
    const value = encodeChange(proposal, "The proposal");
    const open = (await this.list(name)).filter(({ state }) => state === "open");
    if (open.length >= OPEN_PROPOSALS_MAX) {
      throw ConfigErrors.DRAFTS_FULL(
        `"${setId(name)}" already has ${OPEN_PROPOSALS_MAX} open proposals, which is the limit. Publish or withdraw some.`,
      );
    }
    await commit(this.#store, drafts, (known) => {
      for (const { key } of drafts) {
        if (!known.has(key))
          throw ConfigErrors.DRAFT_NOT_FOUND(
            "A draft was discarded while the proposal was made. List the drafts and try again.",
          );
      }
      return {
        writes: [
          { type: "put", key: proposalKey(name, proposal.id), value },
          ...drafts.map(({ key }) => ({ type: "delete" as const, key })),
        ],
        result: undefined,
      };
    });
  }

  async #update(name: SetName, id: string, change: (proposal: StoredProposal) => StoredProposal): Promise<Proposal> {
    const key = proposalKey(name, id);
    const { result } = await commit(this.#store, [{ key }], (known) => {
      const current = known.get(key);
      if (!current) throw unknownProposal(name, id);
      const next = change(decodeJson<StoredProposal>(current.value));
      return { writes: [{ type: "put", key, value: encodeJson(next) }], result: next };
    });
    return shownProposal(result);
  }

  /** The items that a proposal would release, and the live version that they are based on. @throws CONFIG_PROPOSAL_OUTDATED */
  async #merged(name: SetName, proposal: StoredProposal): Promise<{ version: number; items: StoredItems }> {
    const { releases } = this.#config;
    const live = await releases.liveItems(name);
    const { baseVersion } = proposal;
    const base = baseVersion === live.version ? live.items : await releases.itemsOf(name, baseVersion);
    return { version: live.version, items: merge(proposal, base, live.items) };
  }
}

function unknownProposal(name: SetName, id: string) {
  return ConfigErrors.PROPOSAL_NOT_FOUND(`"${setId(name)}" has no proposal "${id}".`);
}
