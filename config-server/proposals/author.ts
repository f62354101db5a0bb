/** The author of a change: a name, and whether secrets are hidden from it. */
import type { FastifyRequest } from "fastify";
import { can, principalOf } from "#http";
import { keyPermit, type KeyPermit } from "../releases/key-rights.ts";

export interface Author {
  readonly name: string;
  /** The author may not reveal secrets, so no answer depends on one. The release itself is checked in full. */
  readonly blind: boolean;
  /** Rejects drafts and proposals of keys that the author may not change. Absent: it may change every key. */
  readonly permit?: KeyPermit | undefined;
}

export function authorOf(request: FastifyRequest): Author {
  const principal = principalOf(request);
  return {
    name: principal.name,
    blind: !can(principal, "config:reveal"),
    permit: keyPermit(principal, "config:draft"),
  };
}
