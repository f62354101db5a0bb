/** Any Unicode text. */
import { withTexts } from "./fill-in.ts";
import { NO_UNICODE } from "./problems.ts";
import type { ValueFormat } from "./value-format.ts";

export const text: ValueFormat = {
  speed: 1000,
  check: (value) => (value.isWellFormed() ? undefined : NO_UNICODE),
  fillIn: (value, fill) => withTexts(value, fill.texts(value), (part) => part),
};
