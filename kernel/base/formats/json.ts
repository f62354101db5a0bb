/** JSON, with exact integers. */
import { exactNumber, Literal } from "../literal.ts";
import type { ValueReader } from "./reader.ts";

/** Digits or exponents that a number may lose. */
const MAY_ROUND = /\d{16}|[eE]\+?\d{3}/;

/** JSON.parse passes a third argument, which the library's types do not have yet. */
type Reviver = (this: unknown, name: string, value: unknown, context?: { readonly source?: string }) => unknown;
const exactly: Reviver = (_name, value, { source = "" } = {}) =>
  typeof value === "number" ? exactNumber(source, value) : value;
const literally: Reviver = (_name, value, { source = "" } = {}) => {
  if (typeof value === "number") return new Literal(source, exactNumber(source, value), "json");
  return typeof value === "boolean" ? new Literal(source, value, "json") : value;
};

export const json: ValueReader = {
  read: (text) => (MAY_ROUND.test(text) ? JSON.parse(text, exactly) : JSON.parse(text)) as unknown,
  readSource: (text) => JSON.parse(text, literally) as unknown,
};
