/** Texts that UTF-8 can represent. Half of a surrogate pair has no bytes, so it cannot be written to a file and read back. */

/** Whether a text or a name in some data has half of a surrogate pair. */
export function hasLoneSurrogate(data: unknown): boolean {
  const seen = new Set<object>();
  const open: unknown[] = [data];
  while (open.length > 0) {
    const one = open.pop();
    if (typeof one === "string" && !one.isWellFormed()) return true;
    if (typeof one !== "object" || one === null || ArrayBuffer.isView(one) || seen.has(one)) continue;
    seen.add(one);
    for (const [name, inner] of Object.entries(one)) open.push(name, inner);
  }
  return false;
}

/** The start of a text, at most that many UTF-16 units, without half of a pair at its end. */
export function startOf(text: string, unitsMax: number): string {
  const start = text.slice(0, unitsMax);
  return start.length < text.length && /[\ud800-\udbff]$/.test(start) ? start.slice(0, -1) : start;
}
