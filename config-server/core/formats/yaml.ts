/** YAML 1.2. A filled-in value is also the same for readers of YAML 1.1. */
import { isScalar, LineCounter, parseDocument, visit } from "yaml";
import { dataOf, parseYaml, YAML_OPTIONS } from "#base/formats";
import { readPlainJson } from "#base/plain-json";
import { offsetOf } from "#base/yaml";
import { fillPlaces, inQuotes, type Place } from "./fill-in.ts";
import { TOO_DEEP, unsound } from "./problems.ts";
import type { PlacedData, ValueFormat } from "./value-format.ts";

export const yaml: ValueFormat = {
  speed: 1,
  check(value) {
    if (opensTooMany(value)) return TOO_DEEP;
    const plain = readPlainJson(value);
    if (plain) return unsound(plain);
    const lines = new LineCounter();
    try {
      const document = parseDocument(value, { ...YAML_OPTIONS, lineCounter: lines, prettyErrors: false });
      const [first] = document.errors;
      if (first) {
        const { line, col } = lines.linePos(first.pos[0]);
        return { message: first.message, line, column: col };
      }
      return unsound(dataOf(document));
    } catch (error) {
      return { message: (error as Error).message };
    }
  },
  fillIn: (value, fill) =>
    fillPlaces(value, fill, stringsOf(value), { format: "yaml", comma: ", ", is: ": ", null: "null" }),
  readPlaced: readPlacedYaml,
};

/** Brackets open at a time in a YAML text, those in strings counted: beyond it a parser needs a kilobyte for each. */
const OPEN_BRACKETS_MAX = 10_000;

function opensTooMany(value: string): boolean {
  let open = 0;
  for (const [bracket] of value.matchAll(/[[\]{}]/g)) {
    open = bracket === "[" || bracket === "{" ? open + 1 : Math.max(0, open - 1);
    if (open > OPEN_BRACKETS_MAX) return true;
  }
  return false;
}

export function readPlacedYaml(value: string): PlacedData {
  const lines = new LineCounter();
  const document = parseDocument(value, { ...YAML_OPTIONS, lineCounter: lines, prettyErrors: false });
  return {
    data: dataOf(document),
    placeOf: (pointer) => {
      const offset = offsetOf(document, pointer);
      if (offset === undefined) return {};
      const { line, col } = lines.linePos(offset);
      return { line, column: col };
    },
  };
}

/** Values only: names are not filled in. */
function stringsOf(text: string): Place[] {
  const places: Place[] = [];
  visit(parseYaml(text), {
    Scalar(place, node, path) {
      const { value, range, type } = node;
      if (place === "key" || typeof value !== "string" || !range || !value.includes("${")) return;
      const inFlow = path.some((around) => (around as { flow?: boolean }).flow === true);
      const [start, end] = range;
      places.push({
        start,
        end,
        value,
        write: writerFor(type),
        read: (source) => readScalar(source, type, inFlow),
      });
    },
  });
  return places.sort((a, b) => a.start - b.start);
}

function writerFor(type: string | undefined | null): Place["write"] {
  if (type === "QUOTE_DOUBLE") return inQuotes;
  if (type === "QUOTE_SINGLE") return (text) => text.replaceAll("'", "''");
  if (type === "BLOCK_LITERAL") return (text, indent) => text.replaceAll("\n", `\n${" ".repeat(indent)}`);
  return (text) => text;
}

/** The value of a scalar's source in its place: in the same style, and equal for readers of YAML 1.1. */
function readScalar(source: string, type: string | undefined | null, inFlow: boolean): unknown {
  const [before, after] = inFlow ? ["[", "]"] : ["k: ", "\n"];
  const values = (["1.2", "1.1"] as const).map((version) => {
    const document = parseDocument(`${before}${source}${after}`, {
      ...YAML_OPTIONS,
      schema: SCHEMAS[version],
      version,
    });
    if (document.errors.length > 0) return undefined;
    const node = document.getIn([inFlow ? 0 : "k"], true);
    const alone = document.contents !== null && "items" in document.contents && document.contents.items.length === 1;
    const noted = isScalar(node) && node.comment !== undefined && node.comment !== null;
    return isScalar(node) && node.type === type && alone && !noted ? node.value : undefined;
  });
  return values[0] === values[1] ? values[0] : undefined;
}

const SCHEMAS = { "1.2": "core", "1.1": "yaml-1.1" } as const;
