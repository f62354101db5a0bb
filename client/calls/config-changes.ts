/** Calls about changes before a release: drafts, proposals and their reviews. And the search in live config. */
import type {
  Draft,
  DraftRequest,
  Proposal,
  ProposalRequest,
  Published,
  ReviewRequest,
  RolloutRequest,
  SearchResult,
  SetName,
} from "#config-server/api";
import { type Caller, type CallOptions, enc, queryOf, RELEASE_TIMEOUT_MS } from "./caller.ts";
import { setPath } from "./config-paths.ts";

/** How a proposal becomes a release. */
export interface PublishProposal {
  readonly emergency?: true;
  readonly rollout?: RolloutRequest;
}

export function configChangeCalls(caller: Caller) {
  return { ...draftCalls(caller), ...proposalCalls(caller), ...searchCalls(caller) };
}

function draftCalls(caller: Caller) {
  return {
    /** Drafts of every author, or of one. */
    drafts: (name: SetName, { author, ...options }: CallOptions & { author?: string } = {}) =>
      caller.call<{ drafts: Draft[] }>("GET", `${setPath(name)}/drafts?${queryOf({ author })}`, undefined, options),
    /** Drafts a change of a key for the caller: a value, or its removal. */
    saveDraft: (name: SetName, key: string, body: DraftRequest, options: CallOptions = {}) =>
      caller.call<Draft>("PUT", `${setPath(name)}/drafts/${enc(key)}`, body, options),
    discardDraft: (name: SetName, key: string, options: CallOptions = {}) =>
      caller.call<void>("DELETE", `${setPath(name)}/drafts/${enc(key)}`, undefined, options),
  };
}

function proposalCalls(caller: Caller) {
  return {
    /** Proposes the caller's drafts. @throws CONFIG_NOTHING_TO_PROPOSE */
    propose: (name: SetName, body: ProposalRequest, options: CallOptions = {}) =>
      caller.call<Proposal>("POST", `${setPath(name)}/proposals`, body, { ...options, timeoutMs: RELEASE_TIMEOUT_MS }),
    /** Newest first. */
    proposals: (name: SetName, options: CallOptions = {}) =>
      caller.call<{ proposals: Proposal[] }>("GET", `${setPath(name)}/proposals`, undefined, options),
    proposal: (name: SetName, id: string, options: CallOptions = {}) =>
      caller.call<Proposal>("GET", proposalPath(name, id), undefined, options),
    /** Withdraws a proposal of the caller. */
    withdraw: (name: SetName, id: string, options: CallOptions = {}) =>
      caller.call<Proposal>("DELETE", proposalPath(name, id), undefined, options),
    /** @throws CONFIG_REVIEW_OWN */
    review: (name: SetName, id: string, body: ReviewRequest, options: CallOptions = {}) =>
      caller.call<Proposal>("POST", `${proposalPath(name, id)}/reviews`, body, options),
    /** Releases a proposal, merged onto the live version. @throws CONFIG_REVIEW_REQUIRED */
    publishProposal: (name: SetName, id: string, body: PublishProposal = {}, options: CallOptions = {}) =>
      caller.call<Published>("POST", `${proposalPath(name, id)}/publish`, body, {
        ...options,
        timeoutMs: RELEASE_TIMEOUT_MS,
      }),
  };
}

function searchCalls(caller: Caller) {
  return {
    /** Live keys and lines that contain a text, in one namespace or in all. */
    search: (text: string, { namespace, ...options }: CallOptions & { namespace?: string } = {}) =>
      caller.call<SearchResult>("GET", `/v1/config-search?${queryOf({ text, namespace })}`, undefined, options),
  };
}

function proposalPath(name: SetName, id: string): string {
  return `${setPath(name)}/proposals/${enc(id)}`;
}
