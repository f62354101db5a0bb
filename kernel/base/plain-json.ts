/**
 * JSON that every reader reads alike: no object in it names a member twice. Parsers keep the last in silence, so two
 * readers of one token could see two subjects, and one of YAML would refuse what one of JSON takes.
 */

/** Nesting looked at; deeper is treated as a double, for no honest token is. */
const DEPTH_MAX = 32;

/**
 * A text that is plain JSON, read; undefined when it is not. JSON is a part of YAML 1.2, and reads some hundred times
 * faster as what it is. Only objects, for a lone word may be either.
 */
export function readPlainJson(text: string): object | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const tree = JSON.parse(text) as object;
    return hasDoubleMember(text) ? undefined : tree;
  } catch {
    return undefined;
  }
}

/** Whether an object names a member twice. `text` is known to be JSON. */
export function hasDoubleMember(text: string): boolean {
  return doubleMember(text, DEPTH_MAX) !== undefined;
}

/**
 * The second of two members of one name in one object; what nests deeper than `depthMax` counts as one. `text` is known to
 * be JSON.
 */
export function doubleMember(
  text: string,
  depthMax: number,
): { readonly name: string; readonly offset: number } | undefined {
  // One set of names for each open object, undefined for each open list.
  const open: (Set<string> | undefined)[] = [];
  let nameFollows = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === "{" || char === "[") {
      if (open.length === depthMax) return { name: "", offset: i };
      open.push(char === "{" ? new Set() : undefined);
      nameFollows = char === "{";
    } else if (char === "}" || char === "]") {
      open.pop();
      nameFollows = false;
    } else if (char === ",") {
      nameFollows = open.at(-1) !== undefined;
    } else if (char === '"') {
      const end = endOfString(text, i);
      if (nameFollows) {
        const name = JSON.parse(text.slice(i, end + 1)) as string;
        const names = open.at(-1);
        if (names?.has(name)) return { name, offset: i };
        names?.add(name);
        nameFollows = false;
      }
      i = end;
    }
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  let end = start + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end;
}
