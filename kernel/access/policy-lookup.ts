/** Policies by name in a state of the store, and the checks that every change of access begins with. */
import { BUILT_IN_POLICIES, type Policy } from "#authorization";
import { closest } from "#base";
import { AccessErrors } from "./api.ts";
import type { PolicyLookup } from "./hand-out.ts";

type Policies = ReadonlyMap<string, Policy>;

const BUILT_IN: Policies = new Map(BUILT_IN_POLICIES.map((policy) => [policy.name, policy]));

export function policyLookup(stored: Policies): PolicyLookup {
  return (name) => BUILT_IN.get(name) ?? stored.get(name);
}

/** @throws ACCESS_POLICY_NOT_FOUND for a name without a policy */
export function requirePolicies(names: readonly string[], stored: Policies): void {
  const lookup = policyLookup(stored);
  const unknown = names.find((name) => lookup(name) === undefined);
  if (unknown !== undefined) throw policyNotFound(unknown, stored);
}

export function policyNotFound(name: string, stored: Policies) {
  const hint = didYouMean(name, [...BUILT_IN.keys(), ...stored.keys()]);
  return AccessErrors.POLICY_NOT_FOUND(`Unknown policy "${name}".${hint} GET /v1/policies lists all of them.`, {
    extra: { field: "/policies" },
  });
}

/** The end of a message about an unknown name. */
export function didYouMean(name: string, known: readonly string[]): string {
  const meant = closest(name, known);
  return meant === undefined ? "" : ` Did you mean "${meant}"?`;
}

/** `expected`: 0 if the thing must not exist, undefined if its state does not matter. @throws ACCESS_CHANGED */
export function requireRevision(found: number, expected: number | undefined, what: string): void {
  if (expected === undefined || expected === found) return;
  const now = found === 0 ? "does not exist" : `has revision ${found}`;
  throw AccessErrors.CHANGED(
    `The ${what} ${now}, and the change expects ${expected === 0 ? "that it does not exist" : `revision ${expected}`}. Read it again.`,
    { extra: { revision: found } },
  );
}
