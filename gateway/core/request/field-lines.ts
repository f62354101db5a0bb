/** Header fields as lines of HTTP/1.1. */

/**
 * Characters that end a line, and those that become other characters when a head is written byte for byte: U+010A would
 * become a line feed. Node's parsers let none of them through, so only a filter can set one.
 * @see RFC 9110 §5.5
 */
const UNWRITABLE = /[\r\n\0\u0100-\uffff]/;

/** The lines of a list of name, value, name, value; undefined when one of them cannot be written. */
export function fieldLines(headers: readonly string[]): string | undefined {
  let lines = "";
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    if (UNWRITABLE.test(value) || UNWRITABLE.test(name)) return undefined;
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}
