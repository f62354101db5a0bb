/** Merges two changes of one text, line by line, where they do not overlap. */

/** Cells of the table that compares two texts: about 10 ms, and 2,000 changed lines on each side. */
const CELLS_MAX = 4_000_000;

/** @returns undefined where both changed the same lines, or too much changed to compare */
export function mergeLines(base: string, mine: string, theirs: string): string | undefined {
  if (mine === theirs || theirs === base) return mine;
  if (mine === base) return theirs;
  const [from, ours, others] = [base, mine, theirs].map((text) => text.split("\n")) as [string[], string[], string[]];
  const kept = [matches(from, ours), matches(from, others)];
  const [inOurs, inOthers] = kept;
  if (!inOurs || !inOthers) return undefined;
  const merged: string[] = [];
  let [at, atOurs, atOthers] = [0, 0, 0];
  while (at < from.length || atOurs < ours.length || atOthers < others.length) {
    if (at < from.length && inOurs[at] === atOurs && inOthers[at] === atOthers) {
      merged.push(from[at] as string);
      [at, atOurs, atOthers] = [at + 1, atOurs + 1, atOthers + 1];
      continue;
    }
    // The next line that all three have ends the part that somebody changed.
    let end = at;
    while (end < from.length && !(isAt(inOurs[end], atOurs) && isAt(inOthers[end], atOthers))) end++;
    const endOurs = end < from.length ? (inOurs[end] as number) : ours.length;
    const endOthers = end < from.length ? (inOthers[end] as number) : others.length;
    const was = from.slice(at, end).join("\n");
    const [a, b] = [ours.slice(atOurs, endOurs), others.slice(atOthers, endOthers)];
    const [textA, textB] = [a.join("\n"), b.join("\n")];
    const isSameCount = a.length === end - at && textA === was;
    if (isSameCount) merged.push(...b);
    else if ((b.length === end - at && textB === was) || (textA === textB && a.length === b.length)) merged.push(...a);
    else {
      const both = beside(from.slice(at, end), a, b);
      if (!both) return undefined;
      merged.push(...both);
    }
    [at, atOurs, atOthers] = [end, endOurs, endOthers];
  }
  return merged.join("\n");
}

/** Changes of lines that follow each other: one changed only the first ones, the other only the last ones. */
function beside(was: readonly string[], a: readonly string[], b: readonly string[]): string[] | undefined {
  for (let at = 1; at < was.length; at++) {
    for (const [first, last] of [
      [a, b],
      [b, a],
    ] as const) {
      const rest = was.length - at;
      const isFirstOnly = isEqual(first.slice(-rest), was.slice(at)) && first.length >= rest;
      const isLastOnly = isEqual(last.slice(0, at), was.slice(0, at));
      if (isFirstOnly && isLastOnly) return [...first.slice(0, first.length - rest), ...last.slice(at)];
    }
  }
  return undefined;
}

function isEqual(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((line, index) => line === other[index]);
}

function isAt(index: number | undefined, least: number): boolean {
  return index !== undefined && index >= least;
}

/** For each line of `a`, the line of `b` that it is, by the longest common subsequence. */
function matches(a: readonly string[], b: readonly string[]): (number | undefined)[] | undefined {
  const found: (number | undefined)[] = Array.from({ length: a.length });
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) found[start] = start++;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) found[--endA] = --endB;
  const [rows, columns] = [endA - start, endB - start];
  if (rows * columns > CELLS_MAX) return undefined;
  const lengths = new Uint32Array((rows + 1) * (columns + 1));
  const cell = (row: number, column: number) => row * (columns + 1) + column;
  for (let row = rows - 1; row >= 0; row--) {
    for (let column = columns - 1; column >= 0; column--) {
      lengths[cell(row, column)] =
        a[start + row] === b[start + column]
          ? (lengths[cell(row + 1, column + 1)] as number) + 1
          : Math.max(lengths[cell(row + 1, column)] as number, lengths[cell(row, column + 1)] as number);
    }
  }
  let [row, column] = [0, 0];
  while (row < rows && column < columns) {
    if (a[start + row] === b[start + column]) found[start + row++] = start + column++;
    else if ((lengths[cell(row + 1, column)] as number) >= (lengths[cell(row, column + 1)] as number)) row++;
    else column++;
  }
  return found;
}
