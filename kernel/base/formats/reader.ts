/** The reader of a format. */

/** Both functions throw an Error that says what does not parse. */
export interface ValueReader {
  /** A value's text as data. An integer that a number would round is a bigint. */
  read(text: string): unknown;
  /** The same, with each scalar that is not a text as a Literal. Absent: the format has texts only. */
  readSource?(text: string): unknown;
}
