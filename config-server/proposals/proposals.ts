/**
 * The life of a change before it is released: drafts, proposals, reviews, and what differs. Read from the store each
 * time: people look at these, not every instance.
 */
import { decodeJson, encodeJson, randomId, type Host, own, setOwn } from "#base";
import { commit, type Store } from "#store";
import {
  ConfigErrors,
  DRAFTS_MAX,
  OPEN_PROPOSALS_MAX,
  PROPOSAL_BYTES_MAX,
  type DiffResult,
  type Draft,
  type DraftRequest,
  type PromoteRequest,
  type Proposal,
  type ProposalRequest,
  type Published,
  type ReviewRequest,
  type RolloutRequest,
  type Rules,
  type SetName,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { nothingReleased } from "../releases/stored-releases.ts";
import {
  approversOf,
  draft,
  draftedItem,
  itemsOf,
  merge,
  requireOpen,
  review,
  rulesOf,
  shownDraft,
  shownProposal,
  withChanges,
  type StoredChanges,
  type StoredDraft,
  type StoredProposal,
} from "../core/change.ts";
import { diffItems } from "../core/diff.ts";
import {
  authorDraftsPrefix,
  draftKey,
  draftsPrefix,
  proposalKey,
  proposalsPrefix,
  rulesKey,
  setId,
} from "../core/keys.ts";
import { isSealed, sealedOf, type SealedItems, type StoredItem, type StoredItems } from "../core/sealed.ts";

/** Who proposes. */
export interface Author {
  readonly name: string;
  /** May not reveal secrets, so no answer depends on one; the release is checked in full. */
  readonly blind: boolean;
}

const ID_BYTES = 6;
/** Times that a proposal is merged anew because somebody released meanwhile. */
const PUBLISH_TRIES_MAX = 5;

/** A state of a set to compare: a version, what is live, or what is live with one author's drafts. */
export type SetState = { readonly version: number } | "live" | { readonly drafts: string };

export class Proposals {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
  }

  /**
   * A secret is encrypted before it is kept. A mask stands for the author's draft of it, else for what is live.
   * @throws CONFIG_DRAFT_INVALID, CONFIG_DRAFTS_FULL, CONFIG_RELEASE_TOO_LARGE, CONFIG_SECRET_MASKED,
   *   CONFIG_SECRETS_UNCONFIGURED
   */
  async saveDraft(name: SetName, key: string, request: DraftRequest, author: string): Promise<Draft> {
    const given = draftedItem(key, request);
    const live = await this.#liveItems(name);
    const liveVersion = live.version;
    const drafts = given ? await this.#drafts(name, author) : [];
    const standing = { ...live.items, ...itemsOf(Object.fromEntries(drafts.map((one) => [one.key, one.item]))) };
    const item = own(await this.#kept(name, { [key]: given }, sealedOf(standing)), key) ?? null;
    const at = draftKey(name, author, key);
    const prefix = authorDraftsPrefix(name, author);
    const { result } = await commit(this.#store, [{ prefix }, { key: at }], (known) => {
      const previous = known.get(at);
      if (!previous && known.size >= DRAFTS_MAX) {
        throw ConfigErrors.DRAFTS_FULL(
          `"${author}" has ${DRAFTS_MAX} drafts of "${setId(name)}", the most there may be. Propose or discard some.`,
        );
      }
      const nowMs = this.#host.clock.now();
      const result = draft(previous && decodeJson<StoredDraft>(previous.value), {
        key,
        author,
        item,
        liveVersion,
        nowMs,
      });
      return { writes: [{ type: "put", key: at, value: encoded(result, `The draft of "${key}"`) }], result };
    });
    return shownDraft(result);
  }

  /** @throws CONFIG_DRAFT_NOT_FOUND */
  async discardDraft(name: SetName, key: string, author: string): Promise<void> {
    const at = draftKey(name, author, key);
    await commit(this.#store, [{ key: at }], (known) => {
      if (!known.has(at)) throw ConfigErrors.DRAFT_NOT_FOUND(`"${author}" has no draft of "${key}".`);
      return { writes: [{ type: "delete", key: at }], result: undefined };
    });
  }

  /** Of one author, or of all. */
  async drafts(name: SetName, author?: string): Promise<Draft[]> {
    return (await this.#drafts(name, author)).map(shownDraft);
  }

  async #drafts(name: SetName, author?: string): Promise<StoredDraft[]> {
    const prefix = author === undefined ? draftsPrefix(name) : authorDraftsPrefix(name, author);
    const { entries } = await this.#store.range({ prefix });
    return entries.map(({ value }) => decodeJson<StoredDraft>(value));
  }

  /**
   * Makes a proposal of the author's drafts, which are then gone. What it would release is checked as a release is.
   * @throws CONFIG_NOTHING_TO_PROPOSE, CONFIG_DRAFT_NOT_FOUND, CONFIG_PROPOSAL_OUTDATED, CONFIG_VALUE_INVALID
   */
  async propose(
    name: SetName,
    { reason = "", keys }: ProposalRequest,
    { name: author, blind }: Author,
  ): Promise<Proposal> {
    const drafts = await this.#drafts(name, author);
    const wanted = keys ?? drafts.map(({ key }) => key);
    if (wanted.length === 0) {
      throw ConfigErrors.NOTHING_TO_PROPOSE(`"${author}" has no drafts of "${setId(name)}". Draft a change first.`);
    }
    const chosen = wanted.map((key) => {
      const found = drafts.find((draft) => draft.key === key);
      if (!found) throw ConfigErrors.DRAFT_NOT_FOUND(`"${author}" has no draft of "${key}".`);
      return found;
    });
    const proposal = this.#begin(name, {
      author,
      reason,
      changes: Object.fromEntries(chosen.map(({ key, item }) => [key, item])),
      // The oldest: what was released since any of the drafts was begun is looked at.
      baseVersion: Math.min(...chosen.map(({ baseVersion }) => baseVersion)),
    });
    const reads = chosen.map(({ key }) => ({ key: draftKey(name, author, key) }));
    await this.#open(name, proposal, { drafts: reads, blind });
    return shownProposal(proposal);
  }

  /** @throws CONFIG_PROPOSAL_NOT_FOUND */
  async proposal(name: SetName, id: string): Promise<Proposal> {
    return shownProposal(await this.#proposal(name, id));
  }

  async #proposal(name: SetName, id: string): Promise<StoredProposal> {
    const { entries } = await this.#store.range({ key: proposalKey(name, id) });
    if (!entries[0]) throw unknownProposal(name, id);
    return decodeJson<StoredProposal>(entries[0].value);
  }

  /** Newest first. */
  async proposals(name: SetName): Promise<Proposal[]> {
    const { entries } = await this.#store.range({ prefix: proposalsPrefix(name) });
    return entries
      .toSorted((a, b) => b.createRevision - a.createRevision)
      .map(({ value }) => shownProposal(decodeJson<StoredProposal>(value)));
  }

  /** @throws CONFIG_PROPOSAL_NOT_FOUND, CONFIG_PROPOSAL_CLOSED, CONFIG_REVIEW_OWN */
  review(name: SetName, id: string, request: ReviewRequest, reviewer: string): Promise<Proposal> {
    const nowMs = this.#host.clock.now();
    return this.#update(name, id, (proposal) => review(proposal, { ...request, reviewer, nowMs }));
  }

  /** Its author takes it back. @throws CONFIG_PROPOSAL_NOT_FOUND, CONFIG_PROPOSAL_CLOSED */
  withdraw(name: SetName, id: string, author: string): Promise<Proposal> {
    return this.#update(name, id, (proposal) => {
      requireOpen(proposal);
      if (proposal.author !== author) {
        throw ConfigErrors.PROPOSAL_CLOSED(
          `Proposal ${id} is "${proposal.author}"'s; only its author takes it back. Others review it.`,
        );
      }
      return { ...proposal, state: "withdrawn" };
    });
  }

  /**
   * Releases a proposal, merged onto what is live now; release and proposal change in one revision.
   * @throws CONFIG_PROPOSAL_NOT_FOUND, CONFIG_PROPOSAL_CLOSED, CONFIG_PROPOSAL_OUTDATED, CONFIG_REVIEW_REQUIRED, and as
   * a release
   */
  async publish(
    name: SetName,
    id: string,
    publisher: string,
    { emergency, rollout }: { emergency: boolean; rollout: RolloutRequest | undefined },
  ): Promise<Published> {
    for (let attempt = 1; ; attempt++) {
      const proposal = await this.#proposal(name, id);
      requireOpen(proposal);
      const { version, items } = await this.#merged(name, proposal);
      const key = proposalKey(name, id);
      try {
        return await this.#config.publisher.release(name, {
          items,
          reason: proposal.reason,
          expectedVersion: version,
          author: publisher,
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
   * where its rules want a review. Secrets belong to their environment: the target keeps its own, and must have them.
   * @throws CONFIG_SET_NOT_FOUND, CONFIG_RELEASE_NOT_FOUND, CONFIG_KEY_NOT_FOUND, and as a release
   */
  async promote(
    name: SetName,
    { toNamespace, version, keys, reason = "" }: PromoteRequest,
    author: string,
  ): Promise<{ published: Published } | { proposal: Proposal }> {
    const from = version ?? (await this.#config.releases.liveVersion(name));
    if (from === 0) throw nothingReleased(name);
    const { items } = await this.#config.releases.readMasked(name, from);
    const target = { ...name, namespace: toNamespace };
    const live = await this.#liveItems(target);
    const changes: Record<string, StoredItem | null> = {};
    for (const key of keys ?? [...new Set([...Object.keys(items), ...Object.keys(live.items)])]) {
      const item = own(items, key);
      if (keys && !item) throw ConfigErrors.KEY_NOT_FOUND(`Release ${from} of "${setId(name)}" has no key "${key}".`);
      const stands = own(live.items, key);
      setOwn(changes, key, item && stands && isSealed(stands) ? stands : (item ?? null));
    }
    const promotedFrom = `${setId(name)}@${from}`;
    if ((await this.rules(toNamespace)).review === "required") {
      const kept = await this.#kept(target, changes, sealedOf(live.items));
      const begun = this.#begin(target, { author, reason, changes: kept, baseVersion: live.version });
      const proposal = { ...begun, promotedFrom };
      // Whoever promotes may publish.
      await this.#open(target, proposal, { drafts: [], blind: false });
      return { proposal: shownProposal(proposal) };
    }
    const published = await this.#config.publisher.release(target, {
      items: withChanges(live.items, changes),
      reason,
      expectedVersion: live.version,
      author,
      promotedFrom,
    });
    return { published };
  }

  /** A proposal of changes that were not drafted, such as those of an import. Checked as its release will be. */
  async proposeChanges(
    name: SetName,
    given: Pick<Proposal, "changes" | "baseVersion" | "reason">,
    { name: author, blind }: Author,
  ): Promise<Proposal> {
    const live = await this.#liveItems(name);
    const changes = await this.#kept(name, given.changes, sealedOf(live.items));
    const proposal = this.#begin(name, { author, ...given, changes });
    await this.#open(name, proposal, { drafts: [], blind });
    return shownProposal(proposal);
  }

  /** @throws CONFIG_RELEASE_NOT_FOUND */
  async diff(
    from: { readonly name: SetName; readonly state: SetState },
    to: { readonly name: SetName; readonly state: SetState },
  ): Promise<DiffResult> {
    const [before, after] = await Promise.all([this.#itemsAt(from.name, from.state), this.#itemsAt(to.name, to.state)]);
    const sides = [from.state, to.state];
    const compare = !sides.some((state) => typeof state === "object" && "drafts" in state);
    const same = await this.#config.secrets.same(
      { name: from.name, items: before },
      { name: to.name, items: after },
      { compare },
    );
    return { from: labelOf(from), to: labelOf(to), differences: diffItems(before, after, same) };
  }

  async rules(namespace: string): Promise<Rules> {
    return (await this.rulesAt(namespace)).rules;
  }

  /** With the revision that they were set at; 0 when they never were. */
  async rulesAt(namespace: string): Promise<{ rules: Rules; revision: number }> {
    const { entries } = await this.#store.range({ key: rulesKey(namespace) });
    return { rules: rulesOf(entries[0]), revision: entries[0]?.modRevision ?? 0 };
  }

  /** @throws CONFIG_VERSION_CONFLICT when they were set at another revision than `ifRevision` */
  async setRules(
    namespace: string,
    rules: Rules,
    { by, ifRevision }: { by: string; ifRevision?: number | undefined },
  ): Promise<{ rules: Rules; revision: number }> {
    const key = rulesKey(namespace);
    const { revision } = await commit(this.#store, [{ key }], (known) => {
      const stands = known.get(key)?.modRevision ?? 0;
      if (ifRevision !== undefined && ifRevision !== stands) {
        throw ConfigErrors.VERSION_CONFLICT(
          `The rules of "${namespace}" were set at revision ${stands}, not ${ifRevision}. Read them, and set them again.`,
          { extra: { revision: stands } },
        );
      }
      return { writes: [{ type: "put", key, value: encodeJson(rules) }], result: undefined };
    });
    this.#host.log.warn({ namespace, ...rules, by }, "the rules of an environment were changed");
    return { rules, revision };
  }

  #begin(name: SetName, given: Pick<StoredProposal, "author" | "reason" | "changes" | "baseVersion">): StoredProposal {
    return {
      ...name,
      id: randomId(this.#host.random, ID_BYTES),
      createdAt: new Date(this.#host.clock.now()).toISOString(),
      state: "open",
      reviews: [],
      ...given,
    };
  }

  /** A change as it is stored: its secrets encrypted, a mask replaced by what it stands for. */
  async #kept(
    name: SetName,
    changes: Readonly<Record<string, StoredItem | null>>,
    standing: SealedItems,
  ): Promise<StoredChanges> {
    const taken = await this.#config.secrets.take(name, itemsOf(changes), { standing, draft: true });
    return { ...changes, ...(await taken.seal()) };
  }

  /** Checks a proposal as its release would be, and writes it; the drafts that it was made of go with that. */
  async #open(
    name: SetName,
    proposal: StoredProposal,
    { drafts, blind }: { readonly drafts: readonly { key: string }[]; readonly blind: boolean },
  ): Promise<void> {
    const { items } = await this.#merged(name, proposal);
    await this.#config.publisher.check(name, items, { blind, author: proposal.author });
    const value = encoded(proposal, "The proposal");
    const open = (await this.proposals(name)).filter(({ state }) => state === "open");
    if (open.length >= OPEN_PROPOSALS_MAX) {
      throw ConfigErrors.DRAFTS_FULL(
        `"${setId(name)}" has ${OPEN_PROPOSALS_MAX} open proposals, the most there may be. Publish or withdraw some.`,
      );
    }
    await commit(this.#store, drafts, (known) => {
      for (const { key } of drafts) {
        if (!known.has(key))
          throw ConfigErrors.DRAFT_NOT_FOUND("A draft was discarded meanwhile. Look at the rest again.");
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

  /** What a proposal would release, and the version that it stands on now. @throws CONFIG_PROPOSAL_OUTDATED */
  async #merged(name: SetName, proposal: StoredProposal): Promise<{ version: number; items: StoredItems }> {
    const live = await this.#liveItems(name);
    const { baseVersion } = proposal;
    const base =
      baseVersion === live.version
        ? live.items
        : baseVersion === 0
          ? {}
          : (await this.#config.releases.read(name, baseVersion)).items;
    return { version: live.version, items: merge(proposal, base, live.items) };
  }

  async #liveItems(name: SetName): Promise<{ version: number; items: StoredItems }> {
    const version = await this.#config.releases.liveVersion(name);
    return { version, items: version === 0 ? {} : (await this.#config.releases.read(name, version)).items };
  }

  async #itemsAt(name: SetName, state: SetState): Promise<StoredItems> {
    if (typeof state === "object" && "version" in state)
      return (await this.#config.releases.read(name, state.version)).items;
    const { items } = await this.#liveItems(name);
    if (state === "live") return items;
    const drafts = await this.#drafts(name, state.drafts);
    return withChanges(items, Object.fromEntries(drafts.map(({ key, item }) => [key, item])));
  }
}

/** @throws CONFIG_RELEASE_TOO_LARGE */
function encoded(record: StoredDraft | StoredProposal, what: string): Uint8Array {
  const bytes = encodeJson(record);
  if (bytes.length <= PROPOSAL_BYTES_MAX) return bytes;
  throw ConfigErrors.RELEASE_TOO_LARGE(
    `${what} is ${bytes.length} bytes; at most ${PROPOSAL_BYTES_MAX}. Propose fewer keys at a time; a value as large as this one is released without a proposal.`,
    { extra: { bytes: bytes.length, bytesMax: PROPOSAL_BYTES_MAX } },
  );
}

function labelOf({ name, state }: { name: SetName; state: SetState }): string {
  const at = state === "live" ? state : "version" in state ? String(state.version) : `drafts of ${state.drafts}`;
  return `${setId(name)}@${at}`;
}

function unknownProposal(name: SetName, id: string) {
  return ConfigErrors.PROPOSAL_NOT_FOUND(`"${setId(name)}" has no proposal "${id}".`);
}
