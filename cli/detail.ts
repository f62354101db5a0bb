/** One object as lines of a name and a value, for people. */
import { oneLine, widthOf } from "./table.ts";

/** Fields without a value are left out. */
export function detailText(fields: readonly (readonly [name: string, value: string | number | undefined])[]): string {
  const given = fields.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(0, ...given.map(([name]) => widthOf(name)));
  return given.map(([name, value]) => `${name.padEnd(width)}   ${oneLine(String(value))}\n`).join("");
}
