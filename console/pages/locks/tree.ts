/** Names with slashes as a tree: the groups below a prefix, and the way to it. */

export interface NameGroup {
  /** Ends with a slash. */
  readonly prefix: string;
  /** The last segment of the prefix. */
  readonly name: string;
  readonly count: number;
}

/** The groups directly below a prefix, in order of name. Names without a further slash are in none. */
export function groupsBelow(names: readonly string[], prefix: string): NameGroup[] {
  const counts = new Map<string, number>();
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const slash = name.indexOf("/", prefix.length);
    if (slash < 0) continue;
    const group = name.slice(0, slash + 1);
    counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([group, count]) => ({ prefix: group, name: group.slice(prefix.length, -1), count }));
}

/** `a/b/` has the steps `a/` and `a/b/`. */
export function stepsOf(prefix: string): { readonly prefix: string; readonly name: string }[] {
  const segments = prefix.split("/").filter((segment) => segment !== "");
  return segments.map((name, index) => ({ name, prefix: `${segments.slice(0, index + 1).join("/")}/` }));
}
