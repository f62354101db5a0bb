/** Rules that all engines share: how a comparison is evaluated, which revisions can be read, and the texts of rejections. */
import { StoreErrors, type Compare, type StoreEntry, type LeaseId, type Revision } from "./types.ts";

/** The revision of a store without writes, as in etcd. The first write makes revision 2. */
export const REVISION_FIRST: Revision = 1;

export const NO_VALUE = new Uint8Array(0);

/** Whether a comparison holds. An absent key counts as 0 in all three. */
export function holds({ target, is, value }: Compare, entry: Pick<StoreEntry, Compare["target"]> | undefined): boolean {
  const actual = entry?.[target] ?? 0;
  if (is === "equal") return actual === value;
  if (is === "notEqual") return actual !== value;
  return is === "less" ? actual < value : actual > value;
}

/** The range of revisions that an embedded engine has. */
interface RevisionBounds {
  readonly current: Revision;
  /** The past is forgotten through this revision. */
  readonly compacted: Revision;
}

/** @throws STORE_FUTURE_REVISION, STORE_COMPACTED */
export function expectReadable(revision: Revision, bounds: RevisionBounds): void {
  if (revision > bounds.current) throw futureRevision(revision, bounds.current);
  if (revision < bounds.compacted) throw compacted(revision, bounds.compacted);
}

/** @throws STORE_FUTURE_REVISION, STORE_COMPACTED */
export function expectCompactable(through: Revision, bounds: RevisionBounds): void {
  if (through > bounds.current) throw futureRevision(through, bounds.current);
  if (through <= bounds.compacted) throw compacted(through, bounds.compacted);
}

export function compacted(revision: Revision, compactedRevision: Revision): Error {
  return StoreErrors.COMPACTED(
    `Revision ${revision} is no longer available: the store is compacted through ${compactedRevision}. Read the current state and continue from there.`,
    { extra: { compactedRevision } },
  );
}

export function futureRevision(revision: Revision, current: Revision): Error {
  return StoreErrors.FUTURE_REVISION(`Revision ${revision} is in the future: the store is at revision ${current}.`, {
    extra: { revision: current },
  });
}

export function leaseNotFound(id: LeaseId): Error {
  return StoreErrors.LEASE_NOT_FOUND(
    `Lease "${id}" not found: it lapsed or was revoked. Grant a new lease and register again.`,
  );
}

export function closed(): Error {
  return StoreErrors.UNAVAILABLE("The store is closed.");
}
