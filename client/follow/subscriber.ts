/** Names of subscribers. */

/** Characters of a subscriber's name. */
const SUBSCRIBER_CHARS_MAX = 128;

/** A valid subscriber's name from a text such as a host name, which may hold other characters. */
export function subscriberNameOf(text: string, fallback: string): string {
  const name = text.replaceAll(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return name.slice(0, SUBSCRIBER_CHARS_MAX) || fallback;
}
