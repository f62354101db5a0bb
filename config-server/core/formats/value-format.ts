/** A format of config values, as the config server uses it. */
import type { Fill } from "./fill-in.ts";

/** Why a value is not valid, and where in its text, from 1. */
export interface FormatProblem {
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
}

/** The data of a value, and the place in its text of what a JSON pointer names. */
export interface PlacedData {
  readonly data: unknown;
  readonly placeOf: (pointer: string) => { readonly line?: number; readonly column?: number };
}

export interface ValueFormat {
  /** How many times faster than YAML a value is checked. */
  readonly speed: number;
  /** The first problem of a value. */
  check(value: string): FormatProblem | undefined;
  /** Fills in the placeholders of a value. Absent: it cannot have any. */
  fillIn?(value: string, fill: Fill): string;
  /** Reads a valid value for its schema. Absent: problems with the schema have no line and column. */
  readPlaced?(value: string): PlacedData;
}
