/** Reads all locks of a namespace, page by page. */
import type { LockList, LockSummary } from "#locks/api";
import { readApi } from "../../data/api.ts";

/** Locks that are read at most: more than people look through. A prefix narrows the list. */
export const LOCKS_READ_MAX = 10_000;
/** Locks of one answer: the most that the server allows. */
const PAGE = 1_000;

export interface AllLocks {
  readonly locks: readonly LockSummary[];
  readonly isCut: boolean;
}

export async function readLocks(path: string, abort: AbortSignal): Promise<AllLocks> {
  const locks: LockSummary[] = [];
  let after = "";
  for (;;) {
    const page = await readApi<LockList>(
      `${path}&limit=${PAGE}${after === "" ? "" : `&after=${encodeURIComponent(after)}`}`,
      abort,
    );
    locks.push(...page.locks);
    if (page.next === undefined || locks.length >= LOCKS_READ_MAX) return { locks, isCut: page.next !== undefined };
    after = page.next;
  }
}
