/** JSON pointers. @see RFC 6901 */

/** One name as a part of a pointer. */
export function escapePointer(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}
