/** Header fields as lists and records. */
import { own, setOwn } from "#base";

/** An answer's headers for whoever looks them up by name, in lower case; those that came more than once are a list. */
export type AnswerHeaders = Record<string, string | string[] | undefined>;

export type HeaderPair = readonly [name: string, value: string];

/** Of name, value, name, value. */
export function headerRecord(headers: readonly string[]): AnswerHeaders {
  // Without a prototype: a service may call a header as it likes.
  const record = Object.create(null) as AnswerHeaders;
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const before = own(record, name);
    const value = headers[i + 1] as string;
    setOwn(record, name, before === undefined ? value : [before, value].flat());
  }
  return record;
}

/** And back. */
export function headerList(record: AnswerHeaders): string[] {
  const list: string[] = [];
  for (const [name, value] of Object.entries(record)) {
    if (Array.isArray(value)) for (const one of value) list.push(name, one);
    else if (value !== undefined) list.push(name, value);
  }
  return list;
}
