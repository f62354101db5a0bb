/** Which files of the tree are deleted: those of old days, and the oldest ones above the total size. */

export interface TreeFile {
  /** Path below the tree; it starts with the day. */
  readonly path: string;
  readonly bytes: number;
  readonly changedAtMs: number;
}

export interface TreeLimits {
  readonly bytesMax: number;
  readonly keepDays: number;
}

const DAY_MS = 86_400_000;

/** The day of a time, in UTC: `2026-01-31`. */
export function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}

/** Files that are being written are never deleted. */
export function filesToDelete(
  files: readonly TreeFile[],
  { limits, nowMs, isOpen }: { limits: TreeLimits; nowMs: number; isOpen: (path: string) => boolean },
): TreeFile[] {
  const firstDay = dayOf(nowMs - (limits.keepDays - 1) * DAY_MS);
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const oldestFirst = files.toSorted((a, b) => dayOrder(a, b) || a.changedAtMs - b.changedAtMs);
  return oldestFirst.filter((file) => {
    if (isOpen(file.path) || (file.path.slice(0, firstDay.length) >= firstDay && bytes <= limits.bytesMax))
      return false;
    bytes -= file.bytes;
    return true;
  });
}

function dayOrder(a: TreeFile, b: TreeFile): number {
  const [dayA, dayB] = [a.path.slice(0, 10), b.path.slice(0, 10)];
  return dayA < dayB ? -1 : Number(dayA > dayB);
}
