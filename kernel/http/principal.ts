/** Who calls the control API, and what the caller may reach. */
import type { Limits } from "./limits.ts";

export interface Principal {
  /** Identity across tokens and restarts: what it registered, opened and acknowledged belongs to it. */
  readonly id: string;
  /** Who it is, for authorship and the log. */
  readonly name: string;
  readonly role: Role;
  /** What it may reach of what its role allows; absent: all of it. */
  readonly limits?: Limits | undefined;
  /** Apps whose secrets it is told, when its role is told any. */
  readonly secretApps?: readonly string[] | undefined;
}

export const ROLES = ["operator", "editor", "agent", "gateway", "reader"] as const;

export type Role = (typeof ROLES)[number];
