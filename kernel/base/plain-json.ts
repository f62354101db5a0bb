/**
 * JSON that every reader reads the same way: no object names a member twice. Parsers silently keep the last one, so two readers of
 * one token could see two subjects, and a YAML reader would reject what a JSON reader accepts.
 */

/** Nesting that is examined. Deeper nesting counts as a duplicate, because no legitimate token has it. */
const DEPTH_MAX = 32;

/**
 * The value of a text that is plain JSON; undefined for any other text. JSON is a subset of YAML 1.2, and a JSON parser is some
 * hundred times faster. Only objects count, because a bare word may be either.
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
 * The second of two members of one name in one object. Nesting deeper than `depthMax` counts as such. `text` is known to be JSON.
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
