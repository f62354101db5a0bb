/** All that lies under a prefix, page by page, as it was at one revision. */
import type { Entry, Revision, Store } from "#store";

/** Entries per read of the store. */
const PAGE = 1000;

export async function* entriesUnder(store: Store, prefix: string): AsyncGenerator<Entry> {
  let at: { after?: string; revision?: Revision } = {};
  for (;;) {
    const page = await store.range({ prefix, limit: PAGE, ...at });
    yield* page.entries;
    const after = page.entries.at(-1)?.key;
    if (!page.more || after === undefined) return;
    at = { after, revision: at.revision ?? page.revision };
  }
}
