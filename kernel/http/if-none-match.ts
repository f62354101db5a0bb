/**
 * If-None-Match, for every endpoint: `*`, or a list of entity tags, compared weakly.
 * @see RFC 9110 §13.1.2 and §8.8.3
 */

/** Longest header that is accepted, in characters: some dozens of tags. */
export const IF_NONE_MATCH_CHARS_MAX = 4096;

export interface IfNoneMatch {
  /** Whether the caller has the representation with this tag. Pass the tag without quotes and `W/`. */
  matches(tag: string): boolean;
}

const LIST =
  /^[ \t]*(?:(?:W\/)?"[\x21\x23-\x7e\x80-\u00ff]*"|)(?:[ \t]*,[ \t]*(?:(?:W\/)?"[\x21\x23-\x7e\x80-\u00ff]*"|))*[ \t]*$/;
const TAG = /"([^"]*)"/g;

/** Undefined without a valid condition: the header is absent or malformed. */
export function parseIfNoneMatch(header: string | undefined): IfNoneMatch | undefined {
  if (header === undefined || header.length > IF_NONE_MATCH_CHARS_MAX) return undefined;
  if (header.trim() === "*") return { matches: () => true };
  // A tag without quotes, as some clients send it.
  const bare = /^[A-Za-z0-9._-]+$/.exec(header.trim())?.[0];
  if (bare !== undefined) return { matches: (tag) => tag === bare };
  if (!LIST.test(header)) return undefined;
  const tags = new Set([...header.matchAll(TAG)].map(([, tag = ""]) => tag));
  return tags.size === 0 ? undefined : { matches: (tag) => tags.has(tag) };
}
