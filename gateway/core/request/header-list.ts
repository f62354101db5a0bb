/** Header fields as lists and records. */
import { own, setOwn } from "#base";

/** An answer's headers by name, in lower case. A header that occurs more than once has a list of values. */
export type AnswerHeaders = Record<string, string | string[] | undefined>;

export type HeaderPair = readonly [name: string, value: string];

/** From a list of name, value, name, value. */
export function headerRecord(headers: readonly string[]): AnswerHeaders {
  // Without a prototype, since a service may use any name.
  const record = Object.create(null) as AnswerHeaders;
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const before = own(record, name);
    const value = headers[i + 1] as string;
    setOwn(record, name, before === undefined ? value : [before, value].flat());
  }
  return record;
}

/** All values of one header in a list of name, value, name, value; the name in lower case. */
export function headerValues(headers: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const candidate = headers[i] as string;
    if (candidate.length === name.length && candidate.toLowerCase() === name) values.push(headers[i + 1] as string);
  }
  return values;
}

/** The first of these values; undefined when the list does not contain the header. */
export function firstHeaderValue(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).length === name.length && (headers[i] as string).toLowerCase() === name)
      return headers[i + 1];
  }
  return undefined;
}

/** Back to a list of name, value, name, value. */
export function headerList(record: AnswerHeaders): string[] {
  const list: string[] = [];
  for (const [name, value] of Object.entries(record)) {
    if (Array.isArray(value)) for (const one of value) list.push(name, one);
    else if (value !== undefined) list.push(name, value);
  }
  return list;
}
