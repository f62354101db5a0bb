/** Where something stands in a YAML text, for errors that people find: a pointer becomes an offset. */
import { isNode, type Document } from "yaml";

/** Offset of the node that a JSON pointer names, or of the nearest one around it; undefined in an empty document. */
export function offsetOf(document: Document, pointer: string): number | undefined {
  const path = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  for (let length = path.length; length >= 0; length--) {
    const at = path.slice(0, length);
    const node: unknown = length === 0 ? document.contents : document.getIn(at, true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return undefined;
}
