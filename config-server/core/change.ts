/**
 * A change before its release: drafted by its author, proposed, reviewed by others, merged onto the live items. Pure: records
 * and commands become records, writes or errors.
 */
import { canonicalJson, decodeJson, own, setOwn } from "#base";
import {
  ConfigErrors,
  formatOf,
  REVIEWS_MAX,
  type Draft,
  type DraftRequest,
  type Item,
  type Items,
  type Proposal,
  type ReviewRequest,
  type Rules,
} from "../api.ts";

import { bytesOf } from "./format.ts";
import type { KnownEntry } from "./release.ts";
import { shownItem, type StoredItem, type StoredItems } from "./sealed.ts";

/** A draft and a proposal as they are stored: with secrets encrypted like those of a release. */
export type StoredDraft = Omit<Draft, "item"> & { readonly item: StoredItem | null };
export type StoredChanges = Readonly<Record<string, StoredItem | null>>;
export type StoredProposal = Omit<Proposal, "changes"> & { readonly changes: StoredChanges };

/** A draft for people: secrets are masked. */
export function shownDraft(draft: StoredDraft): Draft {
  return { ...draft, item: draft.item && shownItem(draft.item) };
}

export function shownProposal({ changes, ...proposal }: StoredProposal): Proposal {
  const shown = Object.entries(changes).map(([key, item]) => [key, item && shownItem(item)] as const);
  return { ...proposal, changes: Object.fromEntries(shown) };
}

/** The items of a change, without the removed keys. */
export function itemsOf(changes: StoredChanges): StoredItems {
  return Object.fromEntries(
    Object.entries(changes).filter((entry): entry is [string, StoredItem] => entry[1] !== null),
  );
}

const DEFAULT_RULES: Rules = { review: "optional" };

export function rulesOf(entry: KnownEntry | undefined): Rules {
  return entry ? decodeJson<Rules>(entry.value) : DEFAULT_RULES;
}

/** @throws CONFIG_DRAFT_INVALID */
export function draftedItem(key: string, { format, value, expand, secret, remove }: DraftRequest): Item | null {
  if (remove && value === undefined && format === undefined) return null;
  if (remove || value === undefined) {
    throw ConfigErrors.DRAFT_INVALID(`Give either a value for "${key}", or "remove": true and nothing else.`, {
      extra: { field: remove ? "/remove" : "/value" },
    });
  }
  return {
    format: format ?? formatOf(key),
    value,
    ...(expand ? { expand } : {}),
    ...(secret === undefined ? {} : { secret }),
  };
}

/** A draft keeps the version that it was begun on, so that later releases of other authors are noticed. */
export function draft(
  previous: StoredDraft | undefined,
  given: { key: string; author: string; item: StoredItem | null; liveVersion: number; nowMs: number },
): StoredDraft {
  const { key, author, item, liveVersion, nowMs } = given;
  const baseVersion = previous?.baseVersion ?? liveVersion;
  return { key, author, baseVersion, updatedAt: new Date(nowMs).toISOString(), item };
}

/**
 * A proposal with one more review. Authors cannot review their own proposals; the last review of each reviewer counts.
 * @throws CONFIG_PROPOSAL_CLOSED, CONFIG_REVIEW_OWN, CONFIG_DRAFTS_FULL
 */
export function review(
  proposal: StoredProposal,
  { reviewer, verdict, comment = "", nowMs }: ReviewRequest & { reviewer: string; nowMs: number },
): StoredProposal {
  requireOpen(proposal);
  if (reviewer === proposal.author) {
    throw ConfigErrors.REVIEW_OWN(
      `"${reviewer}" is the author of proposal ${proposal.id}. Another principal must review it.`,
    );
  }
  const others = proposal.reviews.filter((known) => known.reviewer !== reviewer);
  if (others.length >= REVIEWS_MAX) {
    throw ConfigErrors.DRAFTS_FULL(`Proposal ${proposal.id} already has ${REVIEWS_MAX} reviews, which is the limit.`);
  }
  const reviews = [...others, { reviewer, verdict, comment, at: new Date(nowMs).toISOString() }];
  return { ...proposal, reviews, state: verdict === "reject" ? "rejected" : "open" };
}

export function approversOf({ reviews, author }: StoredProposal): string[] {
  return reviews.filter(({ verdict, reviewer }) => verdict === "approve" && reviewer !== author).map((r) => r.reviewer);
}

/** @throws CONFIG_PROPOSAL_CLOSED */
export function requireOpen({ id, state }: StoredProposal): void {
  if (state === "open") return;
  throw ConfigErrors.PROPOSAL_CLOSED(`Proposal ${id} is ${state}. Draft the change and propose it again.`, {
    extra: { state },
  });
}

/** Items with some of them set, and others removed (null). */
export function withChanges(items: StoredItems, changes: StoredChanges): StoredItems {
  const changed: Record<string, StoredItem> = { ...items };
  for (const [key, item] of Object.entries(changes)) {
    if (item) setOwn(changed, key, item);
    else delete changed[key];
  }
  return changed;
}

/**
 * The live items with a proposal's changes. A key that other releases changed since the proposal was begun is a conflict,
 * unless they gave it the same value as the proposal.
 * @throws CONFIG_PROPOSAL_OUTDATED (`extra.keys`)
 */
export function merge({ id, changes, baseVersion }: StoredProposal, base: StoredItems, live: StoredItems): StoredItems {
  const conflicts: string[] = [];
  for (const [key, item] of Object.entries(changes)) {
    const [was, is] = [own(base, key), own(live, key)];
    if (!isSameItem(was, is) && !isSameItem(is, item)) conflicts.push(key);
  }
  if (conflicts.length === 0) return withChanges(live, changes);
  throw ConfigErrors.PROPOSAL_OUTDATED(
    `Proposal ${id} is based on version ${baseVersion}. Later releases changed ${conflicts.join(", ")}. Compare the versions, and draft the change again.`,
    { extra: { keys: conflicts } },
  );
}

/** Whether two items are equal. A key without an item is like one that is removed (null). */
export function isSameItem(a: StoredItem | null | undefined, b: StoredItem | null | undefined): boolean {
  return canonicalJson(a ?? null) === canonicalJson(b ?? null);
}

/**
 * Checks a release without an approved proposal against the rules of its environment.
 * @throws CONFIG_REVIEW_REQUIRED, CONFIG_EMERGENCY_REASON
 */
export function requireReview(
  rules: Rules,
  {
    namespace,
    approvedBy,
    emergency,
    reason,
  }: {
    namespace: string;
    approvedBy: readonly string[];
    emergency: boolean;
    reason: string;
  },
): void {
  if (rules.review === "optional" || approvedBy.length > 0) return;
  if (!emergency) {
    throw ConfigErrors.REVIEW_REQUIRED(
      `Releases in "${namespace}" require a proposal that another principal has approved. Draft the change, propose it, and have it reviewed. In an emergency set "emergency": true, with a reason.`,
    );
  }
  if (reason.trim() === "") {
    throw ConfigErrors.EMERGENCY_REASON(
      "An emergency release without a review requires a reason, which is kept with the release.",
      {
        extra: { field: "/reason" },
      },
    );
  }
}

/** Checks a release against the limits of its environment. @throws CONFIG_LIMIT_EXCEEDED */
export function requireLimits({ limits = {} }: Rules, namespace: string, items: Items, bytes: number): void {
  const refuse = (what: string, is: number, limit: number) =>
    ConfigErrors.LIMIT_EXCEEDED(
      `${what} ${is}; the limit in "${namespace}" is ${limit}. Make the release smaller, or have an operator change the rules.`,
      { extra: { is, limit } },
    );
  const keys = Object.keys(items).length;
  if (limits.keys !== undefined && keys > limits.keys) throw refuse("The number of keys is", keys, limits.keys);
  if (limits.releaseBytes !== undefined && bytes > limits.releaseBytes) {
    throw refuse("The size in bytes is", bytes, limits.releaseBytes);
  }
  for (const [key, item] of limits.valueBytes === undefined ? [] : Object.entries(items)) {
    const size = bytesOf(item);
    if (size > (limits.valueBytes as number)) {
      throw refuse(`The size in bytes of key "${key}" is`, size, limits.valueBytes as number);
    }
  }
}
