/** Names and shapes that the parts of Kong's conversion share. */
import type { Fields } from "./documents.ts";

/** A service of Kong, with the cluster that it becomes. */
export interface KongService {
  readonly name: string;
  readonly given: Fields;
  readonly cluster: { readonly name: string };
  /** In front of every path that is forwarded; empty for none. */
  readonly path: string;
  readonly retries: number | undefined;
}

/** A route that is being built; the gateway's own check judges it. */
export type RouteDraft = Record<string, unknown>;

const ITEM_CHARS_MAX = 64;

/** A name as the gateway's config accepts it. */
export function itemName(given: string): string {
  const name = given.replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, ITEM_CHARS_MAX);
  return name.replaceAll(/^[._-]+|[._-]+$/g, "") || "unnamed";
}
