/** The changed lines between two texts, by their longest common subsequence. Pure. */

/** Lines beyond which the whole text counts as changed: the table of the comparison has one cell per pair of lines. */
const LINES_MAX = 2_000;

/** Lines with the prefix "+" or "-", in order; unchanged lines are left out. */
export function changedLines(before: string, after: string): string[] {
  const a = linesOf(before);
  const b = linesOf(after);
  if (a.length > LINES_MAX || b.length > LINES_MAX)
    return [...a.map((line) => `-${line}`), ...b.map((line) => `+${line}`)];
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: string[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) lines.push(`-${a[i++]}`);
    else lines.push(`+${b[j++]}`);
  }
  return lines;
}

function linesOf(text: string): string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}
