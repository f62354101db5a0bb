/** Text: a value as it is. */
import type { ValueReader } from "./reader.ts";

export const text: ValueReader = { read: (value) => value };
