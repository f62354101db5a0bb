/**
 * The rights of people who sign in by OpenID Connect: the policies of the bindings of their name and of their groups. When these bindings
 * have different limits, each policy is narrowed by the limits of its own binding, under a name of its own.
 */
import type { Policy, PolicyBook } from "#authorization";
import { canonicalJson } from "#base";
import { isLimited, limitsFor, type Limits } from "#http";
import { narrowedPolicy } from "./core/narrowed-policy.ts";
import type { StoredBinding } from "./stored-records.ts";

/** A person as the identity provider describes it. */
export interface PersonNames {
  readonly user: string;
  readonly groups: readonly string[];
}

export interface PersonGrant {
  readonly policies: readonly string[];
  /** Limits that all of its bindings have. */
  readonly limits?: Limits;
}

interface Narrowed {
  readonly policy: Policy;
  readonly limits: Limits;
}

export class BindingGrants {
  readonly #book: PolicyBook;
  readonly #bindings: (subject: string) => StoredBinding | undefined;
  /** The narrowed policies in the book, by name, and what each was made from. */
  readonly #narrowed = new Map<string, Narrowed>();

  /** `bindings`: the current ones, by subject. */
  constructor(book: PolicyBook, bindings: (subject: string) => StoredBinding | undefined) {
    this.#book = book;
    this.#bindings = bindings;
  }

  /** Called after each change of a binding. */
  forget(): void {
    for (const name of this.#narrowed.keys()) this.#book.delete(name);
    this.#narrowed.clear();
  }

  /** Undefined: no binding names the person or a group of theirs. */
  policiesOf({ user, groups }: PersonNames): PersonGrant | undefined {
    const subjects = [`user:${user}`, ...groups.map((group) => `group:${group}`)];
    const found = subjects.flatMap((subject) => {
      const binding = this.#bindings(subject);
      return binding === undefined ? [] : [binding];
    });
    const [first, ...others] = found;
    if (first === undefined) return undefined;
    const { limits } = first;
    const isSame = others.every((other) => canonicalJson(other.limits) === canonicalJson(limits));
    const names = found.flatMap(({ subject, policies, limits: own }) =>
      isSame || !isLimited(own) ? policies : policies.flatMap((name) => this.#narrowedName(name, subject, own)),
    );
    const policies = [...new Set(names)];
    return isSame && isLimited(limits) ? { policies, limits } : { policies };
  }

  /** The name of a policy within the limits of a binding. It has no space, since the book joins names by spaces. */
  #narrowedName(name: string, subject: string, limits: Limits): string[] {
    const policy = this.#book.policy(name);
    if (policy === undefined) return [];
    const own = `${name}@${subject.replaceAll(/\s/g, encodeURIComponent)}`;
    const known = this.#narrowed.get(own);
    if (known?.policy !== policy || known.limits !== limits) {
      this.#narrowed.set(own, { policy, limits });
      this.#book.put({ ...narrowedPolicy(policy, limits, limitsFor), name: own });
    }
    return [own];
  }
}
