/** Lists everything under a prefix of the store, page by page. */
import type { StoreEntry, Revision, Store } from "#store";

/** Entries per read of the store. */
const LIMIT = 1000;

interface ListingOptions {
  /** Entries per read of the store. */
  readonly limit: number;
  /** Lists all pages as they were at the revision of the first. */
  readonly atOneRevision?: boolean;
}

export async function* pagesUnder(
  store: Store,
  prefix: string,
  { limit, atOneRevision = false }: ListingOptions,
): AsyncGenerator<readonly StoreEntry[]> {
  let at: { after?: string; revision?: Revision } = {};
  for (;;) {
    const page = await store.range({ prefix, limit, ...at });
    if (page.entries.length > 0) yield page.entries;
    const after = page.entries.at(-1)?.key;
    if (!page.more || after === undefined) return;
    at = atOneRevision ? { after, revision: at.revision ?? page.revision } : { after };
  }
}

/** Entries one by one; by default all as they were at one revision. */
export async function* entriesUnder(
  store: Store,
  prefix: string,
  options: ListingOptions = { limit: LIMIT, atOneRevision: true },
): AsyncGenerator<StoreEntry> {
  for await (const page of pagesUnder(store, prefix, options)) yield* page;
}
