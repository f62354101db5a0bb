/**
 * Reads a config value's text as the data of its format. Checks and users of a value share these readers. Each format is one file,
 * under its name.
 */
import type { ValueFormatName } from "../format-names.ts";
import { own } from "../own.ts";
import { binary } from "./binary.ts";
import { json } from "./json.ts";
import { properties } from "./properties.ts";
import type { ValueReader } from "./reader.ts";
import { text } from "./text.ts";
import { toml } from "./toml.ts";
import { yaml } from "./yaml.ts";

export { Literal } from "../literal.ts";
export { isTable, nestsTooDeep, NESTING_MAX, valueAt } from "./data.ts";
export { dataOf, parseYaml, YAML_OPTIONS } from "./yaml.ts";

const READERS: Readonly<Record<ValueFormatName, ValueReader>> = { yaml, json, toml, properties, text, binary };

type Valued = { readonly format: string; readonly value: string };

/**
 * `yaml`, `json` and `toml` as their data, `properties` as one flat object of texts, `text` as it is, `binary` (base64) as a
 * Uint8Array. An integer that a number would round is a bigint.
 * @throws Error with what does not parse, or for an unknown format
 */
export function readValue({ format, value }: Valued): unknown {
  return readerOf(format).read(value);
}

/**
 * The same, with each scalar that is not a text as a Literal, which keeps its spelling; null is null. For templates, which insert
 * values into other texts.
 * @throws as readValue
 */
export function readSource({ format, value }: Valued): unknown {
  const reader = readerOf(format);
  return reader.readSource ? reader.readSource(value) : reader.read(value);
}

function readerOf(format: string): ValueReader {
  const reader = own(READERS, format);
  if (!reader) throw new Error(`unknown format "${format}"`);
  return reader;
}
