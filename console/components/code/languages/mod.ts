/**
 * The syntax of each format of config values, for colors and indentation. Full grammars would cost 15 KB more; the server checks
 * the syntax in any case.
 */
import { StreamLanguage, type StreamParser } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { jsonSyntax } from "./json.ts";
import { propertiesSyntax } from "./properties.ts";
import { tomlSyntax } from "./toml.ts";
import { yamlSyntax } from "./yaml.ts";

const LANGUAGES: Readonly<Record<string, () => Extension>> = {
  yaml: languageOf(yamlSyntax),
  json: languageOf(jsonSyntax),
  toml: languageOf(tomlSyntax),
  properties: languageOf(propertiesSyntax),
};

function languageOf<State>(syntax: StreamParser<State>): () => Extension {
  return () => StreamLanguage.define(syntax);
}

/** Plain text has none. */
export function codeLanguage(format: string): Extension {
  return Object.hasOwn(LANGUAGES, format) ? (LANGUAGES[format]?.() ?? []) : [];
}
