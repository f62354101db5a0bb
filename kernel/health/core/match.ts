/**
 * Whether a response is the expected one. Patterns have `*` only, so that matching takes one pass for every pattern and every response.
 * Pure.
 */

/** Whether a status is one of some numbers and ranges such as "200-299". */
export function statusExpected(status: number, expected: readonly (number | string)[]): boolean {
  return expected.some((one) => {
    const [low, high = low] = String(one).split("-").map(Number);
    return low !== undefined && high !== undefined && status >= low && status <= high;
  });
}

/** Whether the whole text matches the pattern, in which `*` matches any text, including none. */
export function patternMatches(pattern: string, text: string): boolean {
  const parts = pattern.split("*");
  const first = parts.shift() ?? "";
  const last = parts.pop();
  if (last === undefined) return text === first;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
