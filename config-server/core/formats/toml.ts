/** TOML 1.0. */
import { TomlError } from "smol-toml";
import { readValue } from "#base/formats";
import { readTomlSource, tomlValue } from "#base/toml-source";
import { fillPlaces, inQuotes, type Place } from "./fill-in.ts";
import { unsound } from "./problems.ts";
import type { ValueFormat } from "./value-format.ts";

export const toml: ValueFormat = {
  speed: 8,
  check(value) {
    try {
      return unsound(readValue({ format: "toml", value }));
    } catch (error) {
      if (!(error instanceof TomlError)) return { message: (error as Error).message };
      return { message: error.message.split("\n", 1)[0] ?? "", line: error.line, column: error.column };
    }
  },
  fillIn: (value, fill) => fillPlaces(value, fill, stringsOf(value), { format: "toml", comma: ", ", is: " = " }),
};

function stringsOf(text: string): Place[] {
  return readTomlSource(text).strings.map((string): Place => {
    const isLiteral = text[string.start] === "'";
    return { ...string, write: isLiteral ? (part) => part : inQuotes, read: tomlValue };
  });
}
