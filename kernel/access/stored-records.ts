/** Policies and bindings as the store keeps them. */
import { hash } from "node:crypto";
import type { Policy } from "#authorization";
import type { Limits } from "#http";
import { ACCESS_PREFIX } from "./token-record.ts";

export const POLICIES_PREFIX = `${ACCESS_PREFIX}policies/`;
export const BINDINGS_PREFIX = `${ACCESS_PREFIX}bindings/`;

export interface StoredPolicy extends Policy {
  readonly changedAtMs: number;
  readonly changedBy: string;
}

/** Names of people and groups have any characters and up to 1,000 bytes, which keys do not, so a key has their hash. */
export function bindingKey(subject: string): string {
  return `${BINDINGS_PREFIX}${hash("sha256", subject)}`;
}

export interface StoredBinding {
  readonly subject: string;
  readonly policies: readonly string[];
  readonly limits: Limits;
  readonly changedAtMs: number;
  readonly changedBy: string;
}
