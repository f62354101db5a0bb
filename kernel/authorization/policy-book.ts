/**
 * The policies of an installation, and the rights of each combination of them. Callers with the same policies share their rights. A change
 * of a policy makes new rights for those that have it, so a caller whose rights are not those of the book has rights of the past.
 */
import type { Policy } from "./api.ts";
import { BUILT_IN_POLICIES } from "./built-in-policies.ts";
import { Rights } from "./rights.ts";

/** Combinations whose rights are kept. More begin again, and are then not current for a moment: streams connect again. */
const COMBINATIONS_MAX = 5_000;

export class PolicyBook {
  readonly #policies = new Map<string, Policy>(BUILT_IN_POLICIES.map((policy) => [policy.name, policy]));
  readonly #rights = new Map<string, Rights>();

  /** Built-in policies first, then by name. */
  list(): readonly Policy[] {
    return [...this.#policies.values()].sort(
      (a, b) => Number(isBuiltInPolicy(b.name)) - Number(isBuiltInPolicy(a.name)) || (a.name < b.name ? -1 : 1),
    );
  }

  policy(name: string): Policy | undefined {
    return this.#policies.get(name);
  }

  /** Adds or replaces a policy. A built-in policy stays as it is, whatever the store has. */
  put(policy: Policy): void {
    if (isBuiltInPolicy(policy.name)) return;
    this.#policies.set(policy.name, policy);
    this.#forget(policy.name);
  }

  delete(name: string): void {
    if (isBuiltInPolicy(name) || !this.#policies.delete(name)) return;
    this.#forget(name);
  }

  /** The rights of a combination, in any order. A name without a policy grants nothing. */
  rightsOf(names: readonly string[]): Rights {
    const key = names.length === 1 ? (names[0] as string) : names.toSorted().join(" ");
    let rights = this.#rights.get(key);
    if (!rights) {
      if (this.#rights.size >= COMBINATIONS_MAX) this.#rights.clear();
      const policies = names.flatMap((name) => this.#policies.get(name) ?? []);
      this.#rights.set(key, (rights = new Rights(names, policies)));
    }
    return rights;
  }

  #forget(name: string): void {
    for (const [key, { policies }] of this.#rights) if (policies.includes(name)) this.#rights.delete(key);
  }
}

export function isBuiltInPolicy(name: string): boolean {
  return BUILT_IN_POLICIES.some((policy) => policy.name === name);
}

/** Rights from built-in policies only, for callers that are parts of this process. */
const builtIn = new PolicyBook();
export function builtInRights(names: readonly string[]): Rights {
  return builtIn.rightsOf(names);
}
