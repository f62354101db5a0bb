/** YAML 1.2. Aliases are bounded, because a few bytes of them can expand to gigabytes. */
import { parseDocument, visit, type Document, type DocumentOptions, type ParseOptions, type SchemaOptions } from "yaml";
import { exactNumber, Literal } from "../literal.ts";
import type { ValueReader } from "./reader.ts";

/** Alias expansions in one YAML value: plenty for handwritten anchors, too few for an alias bomb. */
const YAML_ALIASES_MAX = 100;

/** YAML 1.2 with unique keys, and merge keys (`<<`), which most readers of YAML know. */
export const YAML_OPTIONS = {
  prettyErrors: true,
  uniqueKeys: true,
  schema: "core",
  merge: true,
} as const satisfies ParseOptions & DocumentOptions & SchemaOptions;

export const yaml: ValueReader = {
  read: (text) => dataOf(parseYaml(text)),
  readSource(text) {
    const document = parseYaml(text);
    visit(document, {
      Scalar(place, node) {
        const { source, value } = node as { source?: string; value: unknown };
        if (source === undefined || value === null || typeof value === "string") return;
        // A name is its text, too: a number as a name would lose its digits.
        if (place === "key") node.value = source;
        else if (typeof value === "number") node.value = new Literal(source, exactNumber(source, value), "yaml");
        else if (typeof value === "boolean") node.value = new Literal(source, value, "yaml");
      },
    });
    return toData(document);
  },
};

/** @throws the text's first error */
export function parseYaml(text: string): Document.Parsed {
  const document = parseDocument(text, YAML_OPTIONS);
  const [first] = document.errors;
  if (first) throw first;
  return document;
}

/** Integers that a number would round are bigints. @throws Error for too many aliases */
export function dataOf(document: Document): unknown {
  visit(document, {
    Scalar(place, node) {
      const { source, value } = node as { source?: string; value: unknown };
      if (source === undefined || typeof value !== "number") return;
      const exact = exactNumber(source, value);
      if (typeof exact === "bigint") node.value = place === "key" ? source : exact;
    },
  });
  return toData(document);
}

function toData(document: Document): unknown {
  return document.toJS({ maxAliasCount: YAML_ALIASES_MAX }) as unknown;
}
