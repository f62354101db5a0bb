/** Changes on the disk as entries, events and batches of the store. */
import type { StoreEntry, Revision, StoreEvent } from "../types.ts";
import type { History } from "../watch-hub.ts";
import type { Disk } from "./disk.ts";
import type { Change } from "./layout.ts";

export function entryOf(change: Change, value: Uint8Array): StoreEntry {
  const { key, createRevision, modRevision, version, lease } = change;
  return lease === undefined
    ? { key, value, createRevision, modRevision, version }
    : { key, value, createRevision, modRevision, version, lease };
}

/** The batches after a revision, `limit` at most, up to the last revision that was published. @throws STORE_CORRUPT */
export function readHistory(disk: Disk, after: Revision, { limit, last }: { limit: number; last: Revision }): History {
  const batches: { revision: Revision; events: StoreEvent[] }[] = [];
  let through = last;
  disk.scan(after + 1, (change, value) => {
    // The disk may already have revisions that are not published yet.
    if (change.modRevision > last) return false;
    let batch = batches.at(-1);
    if (batch?.revision !== change.modRevision) {
      if (batches.length === limit) {
        through = batches.at(-1)?.revision ?? after;
        return false;
      }
      batches.push((batch = { revision: change.modRevision, events: [] }));
    }
    batch.events.push(eventOf(change, value));
    return true;
  });
  return { batches, through };
}

function eventOf(change: Change, value: Uint8Array): StoreEvent {
  if (change.version === 0) return { type: "delete", key: change.key, modRevision: change.modRevision };
  return { type: "put", entry: entryOf(change, value) };
}
