/** Policies and bindings as the store keeps them. */
import type { Policy } from "#authorization";
import type { Limits } from "#http";
import { ACCESS_PREFIX } from "./token-record.ts";

export const POLICIES_PREFIX = `${ACCESS_PREFIX}policies/`;
export const BINDINGS_PREFIX = `${ACCESS_PREFIX}bindings/`;

export interface StoredPolicy extends Policy {
  readonly changedAtMs: number;
  readonly changedBy: string;
}

export interface StoredBinding {
  readonly policies: readonly string[];
  readonly limits: Limits;
  readonly changedAtMs: number;
  readonly changedBy: string;
}
