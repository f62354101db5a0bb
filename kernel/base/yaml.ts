/** Places in a YAML text, for errors: a pointer becomes a line and a column. */
import { isNode, LineCounter, parseDocument, type Document } from "yaml";
import { messageOf } from "./errors.ts";
import { YAML_OPTIONS } from "./formats/yaml.ts";

/** Where in a text, from 1; empty where it is not known. */
export interface Place {
  readonly line?: number;
  readonly column?: number;
}

export interface Located extends Place {
  /** JSON pointer. */
  readonly pointer: string;
  readonly message: string;
}

export type ReadYaml =
  | {
      readonly tree: unknown;
      readonly place: (pointer: string) => Place;
      /** The last line of the node at a pointer, without the blank lines and comments below it. */
      readonly lastLine: (pointer: string) => number | undefined;
      readonly problems?: undefined;
    }
  | { readonly problems: readonly Located[] };

/** Problems reported for one text. After the first one, the parser guesses. */
const PROBLEMS_MAX = 20;

/** Reads YAML 1.2, which includes JSON. `aliasesMax`: a few lines of YAML can expand to a billion nodes. */
export function readYaml(text: string, aliasesMax: number): ReadYaml {
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  let document: Document;
  try {
    document = parseDocument(text, { ...YAML_OPTIONS, lineCounter: lines, prettyErrors: false });
  } catch (error) {
    // The parser is recursive, so a text of only brackets would exhaust its stack.
    return { problems: [{ pointer: "", message: `Not readable: ${messageOf(error)}.` }] };
  }
  if (document.errors.length > 0) {
    const errors = document.errors.slice(0, PROBLEMS_MAX);
    return { problems: errors.map((error) => ({ pointer: "", message: error.message, ...at(error.pos[0]) })) };
  }
  let tree: unknown;
  try {
    tree = document.toJS({ maxAliasCount: aliasesMax });
  } catch {
    return { problems: [{ pointer: "", message: `More than ${aliasesMax} aliases, or one without an anchor.` }] };
  }
  return {
    tree,
    place: (pointer) => {
      const offset = offsetOf(document, pointer);
      return offset === undefined ? {} : at(offset);
    },
    lastLine: (pointer) => {
      const range = rangeOf(document, pointer);
      return range && at(range[0] + Math.max(0, text.slice(range[0], range[1]).trimEnd().length - 1)).line;
    },
  };
}

/** Offset of the node at a JSON pointer, or of the nearest node around it; undefined in an empty document. */
export function offsetOf(document: Document, pointer: string): number | undefined {
  return rangeOf(document, pointer)?.[0];
}

/** Where the node at a JSON pointer, or the nearest node around it, begins and ends. */
function rangeOf(document: Document, pointer: string): readonly [number, number] | undefined {
  const path = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  for (let length = path.length; length >= 0; length--) {
    const at = path.slice(0, length);
    const node: unknown = length === 0 ? document.contents : document.getIn(at, true);
    if (isNode(node) && node.range) return [node.range[0], node.range[1]];
  }
  return undefined;
}
