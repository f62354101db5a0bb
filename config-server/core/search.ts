/** Finds a text in live releases: in the names of keys, and by line in values that are not secret. */
import { startOf } from "#base";
import type { SearchResult } from "../api.ts";
import type { SeesKey } from "./key-view.ts";
import type { OpenRelease } from "./sealed.ts";

/** Characters of a line that a search shows. */
const HIT_CHARS_MAX = 240;

/** Hits in the order of the given releases, then of keys, at most `limit`. */
export function searchIn(
  releases: Iterable<OpenRelease>,
  text: string,
  { limit, sees = () => true }: { readonly limit: number; readonly sees?: SeesKey },
): SearchResult {
  const hits: SearchResult["hits"] = [];
  for (const { namespace, app, profile, version, items } of releases) {
    const place = { namespace, app, profile, version };
    for (const [key, { format, value, secret }] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (!sees(place, key)) continue;
      if (key.includes(text)) hits.push({ ...place, key, line: 0, text: key });
      for (const [index, line] of !secret && format !== "binary" && value.includes(text)
        ? value.split("\n").entries()
        : []) {
        if (line.includes(text)) hits.push({ ...place, key, line: index + 1, text: startOf(line, HIT_CHARS_MAX) });
        if (hits.length > limit) return { hits: hits.slice(0, limit), more: true };
      }
    }
  }
  return { hits, more: false };
}
