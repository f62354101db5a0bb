/** A caller hands out no right that it lacks: it gives others rights within its own, and changes only such subjects. */
import type { Policy, PolicyBook } from "#authorization";
import { limitsFor, type Limits, type Principal } from "#http";
import { AccessErrors } from "./api.ts";
import { type Grant, missingRight } from "./core/coverage.ts";

/** Policies by name, or as they would be after a change. */
export type PolicyLookup = (name: string) => Policy | undefined;

/** The caller, or the name of a part of this process, which may do everything. */
export type AccessAuthor = Principal | string;

export function authorName(author: AccessAuthor): string {
  return typeof author === "string" ? author : author.name;
}

export class HandOut {
  readonly #book: PolicyBook;

  constructor(book: PolicyBook) {
    this.#book = book;
  }

  /** Whether the author has every right of the operator, so that nothing has to be compared. */
  isFull(author: AccessAuthor): boolean {
    return this.covers(author, { policies: ["operator"] });
  }

  covers(author: AccessAuthor, given: { readonly policies: readonly string[]; readonly limits?: Limits }): boolean {
    return typeof author === "string" || this.#missing(author, this.grant(given)) === undefined;
  }

  /** The rights of names of policies. A name without a policy grants nothing. */
  grant(
    { policies, limits }: { readonly policies: readonly string[]; readonly limits?: Limits | undefined },
    lookup: PolicyLookup = (name) => this.#book.policy(name),
  ): Grant {
    return { policies: policies.flatMap((name) => lookup(name) ?? []), limits };
  }

  /** `to`: the subject, as the end of a sentence. @throws ACCESS_EXCEEDS_OWN */
  require(author: AccessAuthor, given: Grant, to: string): void {
    if (typeof author === "string") return;
    const missing = this.#missing(author, given);
    if (missing === undefined) return;
    const { action, policy, index } = missing;
    throw AccessErrors.EXCEEDS_OWN(
      `"${author.name}" cannot give ${to} what rule ${index} of the policy ${policy} allows: it does not have ${action} itself ` +
        "on all of these resources. Choose policies and limits within its own (GET /v1/me), or ask an operator.",
      { extra: { action, rule: { policy, index } } },
    );
  }

  #missing(author: Principal, given: Grant) {
    return missingRight(this.grant(author), given, limitsFor);
  }
}
