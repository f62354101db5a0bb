/**
 * What a check sees for somebody who may not reveal secrets: whether a value is refused would tell about it, whatever the
 * check, and so would its length. Each secret is there, and empty. Pure.
 */
import type { OpenItem, OpenItems } from "./sealed.ts";

export function blinded(items: OpenItems): OpenItems {
  return Object.fromEntries(
    Object.entries(items).map(([key, item]): [string, OpenItem] => [
      key,
      item.secret ? { format: item.format, value: "", secret: true, opaque: true } : item,
    ]),
  );
}
