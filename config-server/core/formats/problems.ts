/** Problems that values of several formats can have. */
import { hasLoneSurrogate } from "#base";
import { nestsTooDeep, NESTING_MAX } from "#base/formats";
import type { FormatProblem } from "./value-format.ts";

export const TOO_DEEP = {
  message: `lists and objects are nested more than ${NESTING_MAX} deep, or one contains itself`,
};

export const NO_UNICODE = {
  message: "a text in it is not Unicode: half of a surrogate pair is alone; remove it, or write both halves",
};

/** Problems of data in any format: nested too deep, or with a text that no file can hold. */
export function unsound(data: unknown): FormatProblem | undefined {
  if (nestsTooDeep(data)) return TOO_DEEP;
  return hasLoneSurrogate(data) ? NO_UNICODE : undefined;
}
