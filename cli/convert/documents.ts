/** YAML and JSON of exports, whose shape is not known. */
import { readYaml } from "#base/yaml";
import { CliErrors } from "../errors.ts";
import { type SourceFile, textOf } from "./conversion.ts";

/** Kong's files share plugin configs by aliases; a few hundred are usual. */
const ALIASES_MAX = 1_000;

/** @throws CLI_EXPORT_INVALID */
export function readDocument({ path, bytes }: SourceFile): unknown {
  const text = textOf(bytes);
  if (text === undefined) throw CliErrors.EXPORT_INVALID(`${path} is not UTF-8.`);
  const read = readYaml(text, ALIASES_MAX);
  if (!read.problems) return read.tree;
  const [first] = read.problems;
  throw CliErrors.EXPORT_INVALID(
    `${path}:${first?.line ?? 1}:${first?.column ?? 1}: ${first?.message ?? "not readable"}`,
  );
}

export type Fields = Readonly<Record<string, unknown>>;

/** The fields of an object; none for anything else. */
export function asObject(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asText(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

export function asTexts(value: unknown): string[] {
  return asList(value).map(asText).filter(Boolean);
}

export function asNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
