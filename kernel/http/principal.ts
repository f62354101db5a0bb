/** The caller of the control API, with its role and limits. */
import type { Limits } from "./limits.ts";

export interface Principal {
  /** Identity across tokens and restarts: the owner of registrations, sessions and acknowledgements. */
  readonly id: string;
  /** Name for authorship and the log. */
  readonly name: string;
  readonly role: Role;
  /** Limits beyond the role; absent: none. */
  readonly limits?: Limits | undefined;
  /** Apps whose secrets it receives, if its role receives secrets at all. */
  readonly secretApps?: readonly string[] | undefined;
  /** The stored token that it was authenticated by, itself or through a session. Absent: a part of this process. */
  readonly tokenId?: string;
  /** End of the token or session. Absent: until revoked. */
  readonly expiresAtMs?: number;
}

export const ROLES = ["operator", "editor", "agent", "gateway", "reader"] as const;

export type Role = (typeof ROLES)[number];
