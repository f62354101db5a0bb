/** Small rules that all engines share: how a comparison is judged, and how a refusal is worded. */
import { StoreErrors, type Compare, type Entry, type LeaseId, type Revision } from "./types.ts";

/** A store without a write stands at revision 1, as etcd does; the first write makes revision 2. */
export const REVISION_FIRST: Revision = 1;

export const NO_VALUE = new Uint8Array(0);

/** Whether a comparison holds; an absent key counts as 0 in all three. */
export function holds({ target, is, value }: Compare, entry: Pick<Entry, Compare["target"]> | undefined): boolean {
  const actual = entry?.[target] ?? 0;
  if (is === "equal") return actual === value;
  if (is === "notEqual") return actual !== value;
  return is === "less" ? actual < value : actual > value;
}

export function compacted(revision: Revision, compactedRevision: Revision): Error {
  return StoreErrors.COMPACTED(
    `Revision ${revision} is gone: the store was compacted through ${compactedRevision}. Read the present and go on from there.`,
    { extra: { compactedRevision } },
  );
}

export function futureRevision(revision: Revision, current: Revision): Error {
  return StoreErrors.FUTURE_REVISION(`Revision ${revision} is not reached yet; the store is at ${current}.`, {
    extra: { revision: current },
  });
}

export function leaseNotFound(id: LeaseId): Error {
  return StoreErrors.LEASE_NOT_FOUND(`No lease "${id}"; it lapsed or was revoked. Grant a new one and register again.`);
}

export function closed(): Error {
  return StoreErrors.UNAVAILABLE("The store is closed.");
}
