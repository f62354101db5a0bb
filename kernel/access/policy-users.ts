/** The tokens, bindings and nodes that have a policy. */
import type { StoredBinding } from "./stored-records.ts";
import { type TokenRecord, tokenLimits } from "./token-record.ts";
import type { Limits } from "#http";

export interface PolicyUser {
  /** For people, such as `token web-1 (0123456789abcdef)`. */
  readonly text: string;
  readonly policies: readonly string[];
  readonly limits: Limits;
}

/** A node that joined, such as `agent web-1`. */
export interface PolicyNode {
  readonly text: string;
  readonly policies: readonly string[];
  readonly limits?: Limits | undefined;
}

export interface PolicySubjects {
  readonly tokens: ReadonlyMap<string, TokenRecord>;
  readonly bindings: ReadonlyMap<string, StoredBinding>;
  readonly nodes: readonly PolicyNode[];
}

export function usersOfPolicy(policy: string, { tokens, bindings, nodes }: PolicySubjects): PolicyUser[] {
  return [
    // The policies of a person come from bindings.
    ...[...tokens]
      .filter(([, { signIn }]) => signIn?.person === undefined)
      .map(([id, record]) => ({
        text: `token ${record.name} (${id})`,
        policies: record.policies,
        limits: tokenLimits(record),
      })),
    ...[...bindings].map(([subject, { policies, limits }]) => ({ text: `binding ${subject}`, policies, limits })),
    ...nodes.map(({ text, policies, limits = {} }) => ({ text: `node ${text}`, policies, limits })),
  ].filter(({ policies }) => policies.includes(policy));
}
