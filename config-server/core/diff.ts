/**
 * The differences between two states of a set, by key, and by line for a changed key. Lines are compared by the longest
 * common subsequence up to a limit; beyond it the whole value counts as changed.
 */
import { costlyInvariant, own } from "#base";
import type { Difference } from "../api.ts";
import { isSealed, shownItem, type StoredItems } from "./sealed.ts";

/** Cells of the table that lines are compared in: two values of two thousand lines, or some 16 MiB. */
const TABLE_CELLS_MAX = 4_000_000;

/** A changed secret has no lines; `same` lists the secrets that did not change. */
export function diffItems(
  before: StoredItems,
  after: StoredItems,
  same: ReadonlySet<string> = new Set(),
): Difference[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const differences: Difference[] = [];
  for (const key of keys) {
    const [was, is] = [own(before, key), own(after, key)];
    if (was && is) {
      if (isSealed(was) || isSealed(is)) {
        if (same.has(key)) continue;
        differences.push({ key, kind: "changed", before: shownItem(was), after: shownItem(is) });
        continue;
      }
      if (was.format === is.format && was.value === is.value) continue;
      differences.push({ key, kind: "changed", before: was, after: is, lines: diffLines(was.value, is.value) });
    } else if (is) differences.push({ key, kind: "added", after: shownItem(is) });
    else if (was) differences.push({ key, kind: "removed", before: shownItem(was) });
  }
  return differences;
}

/** Every line of both, in order, with the prefix "-" (removed), "+" (added) or " " (unchanged). */
export function diffLines(before: string, after: string): string[] {
  const old = before.split("\n");
  const now = after.split("\n");
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const kept = (lines: readonly string[]) => lines.map((line) => ` ${line}`);
  const lines = [
    ...kept(old.slice(0, start)),
    ...diffMiddle(old.slice(start, old.length - end), now.slice(start, now.length - end)),
    ...kept(old.slice(old.length - end)),
  ];
  const without = (mark: string) => lines.filter((line) => !line.startsWith(mark)).map((line) => line.slice(1));
  costlyInvariant(
    () => without("-").join("\n") === after && without("+").join("\n") === before,
    "the lines of a difference contain all of both texts",
  );
  return lines;
}

function diffMiddle(old: readonly string[], now: readonly string[]): string[] {
  const width = now.length + 1;
  if ((old.length + 1) * width > TABLE_CELLS_MAX) {
    return [...old.map((line) => `-${line}`), ...now.map((line) => `+${line}`)];
  }
  // longest[i * width + j]: lines that old from i and now from j have in common, in order.
  const longest = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const at = i * width + j;
      longest[at] =
        old[i] === now[j]
          ? (longest[at + width + 1] as number) + 1
          : Math.max(longest[at + width] as number, longest[at + 1] as number);
    }
  }
  const lines: string[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    // After the last line of either list there is undefined, which no line equals.
    if (old[i] === now[j]) {
      lines.push(` ${old[i++]}`);
      j++;
    } else if (
      i < old.length &&
      (j === now.length || (longest[(i + 1) * width + j] as number) >= (longest[i * width + j + 1] as number))
    ) {
      lines.push(`-${old[i++]}`);
    } else lines.push(`+${now[j++]}`);
  }
  return lines;
}
