/** The caller of the control API, with its rights and limits. */
import type { Rights } from "#authorization";
import type { Limits } from "./limits.ts";

export interface Principal {
  /** Identity across tokens and restarts: the owner of registrations, sessions and acknowledgements. */
  readonly id: string;
  /** Name for authorship and the log. */
  readonly name: string;
  /** `internal`: a part of this process. `local`: a caller of an agent on its host. */
  readonly kind: "internal" | "local" | "token" | "certificate" | "person";
  readonly policies: readonly string[];
  /** Compiled from the policies, and shared by principals with the same policies. */
  readonly rights: Rights;
  /** Limits narrow what the policies grant; absent: none. */
  readonly limits?: Limits | undefined;
  /** Apps whose secrets it receives, if its policies allow secrets at all. */
  readonly secretApps?: readonly string[] | undefined;
  /** The stored token that it was authenticated by, itself or through a session. */
  readonly tokenId?: string;
  /** Of the client certificate that it was authenticated by. */
  readonly serial?: string;
  /** End of the token or session. Absent: until revoked. */
  readonly expiresAtMs?: number;
}

/** Identity of a principal whose policies own things together: its first policy and its name. */
export function principalId(policies: readonly string[], name: string): string {
  return `${policies[0] ?? "none"}:${name}`;
}
