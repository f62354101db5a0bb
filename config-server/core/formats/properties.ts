/** Java's properties. Names and values are filled in, comments are not. */
import { escapeProperty, logicalLines, propertyProblem, readProperties } from "#base/properties";
import { type Fill, withTexts } from "./fill-in.ts";
import { unsound } from "./problems.ts";
import type { ValueFormat } from "./value-format.ts";

export const properties: ValueFormat = {
  speed: 16,
  check: (value) => propertyProblem(value) ?? unsound(readProperties(value)),
  fillIn,
};

function fillIn(text: string, fill: Fill): string {
  let filled = "";
  let at = 0;
  for (const { pieces, keyLength } of logicalLines(text)) {
    let behind = 0;
    for (const { start, end } of pieces) {
      const source = text.slice(start, end);
      const texts = source.includes("${") ? fill.texts(source) : undefined;
      const lengthBefore = behind;
      behind += source.length;
      if (!texts) continue;
      const place = (offset: number) => (lengthBefore + offset < keyLength ? "key" : "value");
      filled += text.slice(at, start) + withTexts(source, texts, (part, offset) => escapeProperty(part, place(offset)));
      at = end;
    }
  }
  return filled + text.slice(at);
}
