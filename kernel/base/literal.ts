/**
 * A value's scalar as it was written. A number, a boolean or a date has a spelling that its value does not keep:
 * `12345678901234567890`, `0644`, `1.10`, `True`. A template inserts its source text.
 */
import type { ValueFormatName } from "./format-names.ts";

/** The grammar of RFC 8259 §6. */
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Any integer that a supported format spells: decimal with an optional sign, hexadecimal, octal, binary. */
const INTEGER = /^(?:[+-]?\d+|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)$/;

export class Literal {
  readonly source: string;
  readonly value: number | bigint | boolean | Date;
  readonly format: ValueFormatName;

  constructor(source: string, value: Literal["value"], format: ValueFormatName) {
    this.source = source;
    this.value = value;
    this.format = format;
  }

  /** How JSON spells it, digit for digit. @throws Error for infinities and NaN, which JSON does not have */
  get json(): string {
    const { source, value } = this;
    if (typeof value === "boolean") return String(value);
    if (value instanceof Date) return JSON.stringify(source);
    if (JSON_NUMBER.test(source)) return source;
    if (typeof value === "bigint") return String(value);
    if (Number.isFinite(value)) return String(value);
    throw new Error(`${source} is a number that JSON cannot represent; write it as a string`);
  }

  /** Its text in another format: as written where that format reads it the same way, else as JSON spells it. */
  textIn(format: ValueFormatName): string {
    return format === this.format ? this.source : this.json;
  }

  /** For JSON.stringify: the number itself, with all of its digits. */
  toJSON(): unknown {
    const { json } = this;
    return json.startsWith('"') ? this.source : (JSON as unknown as { rawJSON(text: string): object }).rawJSON(json);
  }
}

/**
 * The number that a text spells, exactly: an integer that a number would round is a bigint.
 * @throws Error when the number is so large that it would become infinite
 */
export function exactNumber(source: string, value: number): number | bigint {
  if (Number.isSafeInteger(value)) return value;
  const digits = source.replaceAll("_", "");
  if (INTEGER.test(digits))
    return digits.startsWith("-") ? -BigInt(digits.slice(1)) : BigInt(digits.replace(/^\+/, ""));
  if (!Number.isFinite(value) && /\d/.test(source))
    throw new Error(`${source} is larger than any number; write it as a string`);
  return value;
}
