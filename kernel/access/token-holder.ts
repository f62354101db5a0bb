/**
 * A token that a sign-in made means what its holder may do now: a person by today's bindings, and a device by the token that it was
 * confirmed with. So nothing needs to be written when either changes.
 */
import type { Limits } from "#http";
import type { SignedInPerson } from "./core/token-sign-in.ts";
import { appsOf, type TokenRecord } from "./token-record.ts";

/** The policies that bindings give to a person. */
export interface BoundPolicies {
  readonly policies: readonly string[];
  readonly limits?: Limits | undefined;
}

/** Undefined: no binding names the person or a group of theirs. */
export type PoliciesOfPerson = (person: SignedInPerson) => BoundPolicies | undefined;

export interface TokenHolders {
  readonly tokens: ReadonlyMap<string, TokenRecord>;
  readonly policiesOf: PoliciesOfPerson;
}

/** The record with what its holder may do now; undefined for a token that grants nothing any longer. */
export function currentRecord(record: TokenRecord, { tokens, policiesOf }: TokenHolders): TokenRecord | undefined {
  const { signIn } = record;
  if (signIn === undefined) return record;
  if (signIn.person !== undefined) {
    const bound = policiesOf(signIn.person);
    return bound && withGrant(record, bound);
  }
  const parent = signIn.parent === undefined ? undefined : tokens.get(signIn.parent);
  if (!parent) return undefined;
  const { policies, namespaces, apps, services } = parent;
  return withGrant(record, { policies, limits: { namespaces, apps, services } });
}

function withGrant(record: TokenRecord, { policies, limits = {} }: BoundPolicies): TokenRecord {
  const { namespaces: _n, apps: _a, services: _s, ...rest } = record;
  const { namespaces, services } = limits;
  const apps = appsOf(policies, limits.apps);
  return {
    ...rest,
    policies,
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(apps === undefined ? {} : { apps }),
    ...(services === undefined ? {} : { services }),
  };
}
