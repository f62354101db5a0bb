/**
 * Items for the check of an author who may not reveal secrets. Every check would disclose something about a secret by
 * rejecting it, and so would its length. So each secret is present but empty. Pure.
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
