/**
 * Patterns of JSON Schemas, compiled by RE2: the time of a match is linear in the text, so no pattern holds up a check.
 * RE2 has neither lookaround nor backreferences; a schema that needs them is refused, with the place of the pattern.
 */
import { RE2JS } from "re2js";
import { LineCounter, parseDocument } from "yaml";
import { messageOf, pointerPart } from "#base";
import { isTable, YAML_OPTIONS } from "#base/formats";
import { offsetOf } from "#base/yaml";
import type { ReleaseProblem } from "../api.ts";

/** Keywords whose values are data, not schemas. */
const DATA = new Set(["const", "enum", "default", "examples"]);

/** Compiles patterns for one schema, and remembers those that RE2 cannot express. */
export class LinearPatterns {
  /** Patterns that were refused, with the reason. */
  readonly #refused = new Map<string, string>();

  /** For `code.regExp` of Ajv. A refused pattern matches nothing: the schema is refused before it is used. */
  readonly engine = Object.assign(
    (pattern: string) => {
      const regex = this.#compile(pattern);
      // JSON Schema's patterns are not anchored. Ajv keeps compiled patterns by their text.
      return { test: (text: string) => regex?.test(text) ?? false, toString: () => pattern };
    },
    { code: "" },
  );

  #compile(pattern: string): RE2JS | undefined {
    try {
      // Spellings of JavaScript that RE2 has another one for, such as \u00e9.
      return RE2JS.compile(RE2JS.translateRegExp(pattern));
    } catch (error) {
      this.#refused.set(pattern, messageOf(error));
      return undefined;
    }
  }

  /** One problem for each place of a refused pattern in the schema's text. */
  problemsOf(key: string, schema: string): ReleaseProblem[] {
    if (this.#refused.size === 0) return [];
    const lines = new LineCounter();
    const document = parseDocument(schema, { ...YAML_OPTIONS, lineCounter: lines, prettyErrors: false });
    return [...patternsIn(JSON.parse(schema), "")].flatMap(({ pattern, pointer }) => {
      const reason = this.#refused.get(pattern);
      if (reason === undefined) return [];
      const { line, col } = lines.linePos(offsetOf(document, pointer) ?? 0);
      const message = `pattern "${pattern}" is not an RE2 pattern (${reason}). Write it without lookaround and backreferences.`;
      return [{ key, pointer, message, line, column: col }];
    });
  }
}

interface PlacedPattern {
  readonly pattern: string;
  readonly pointer: string;
}

/** Every place of a schema that may hold a pattern. */
function* patternsIn(schema: unknown, pointer: string): Generator<PlacedPattern> {
  if (Array.isArray(schema)) {
    for (const [index, part] of schema.entries()) yield* patternsIn(part, `${pointer}/${index}`);
  }
  if (!isTable(schema)) return;
  for (const [keyword, value] of Object.entries(schema)) {
    const at = `${pointer}/${pointerPart(keyword)}`;
    if (DATA.has(keyword) && !pointer.endsWith("/properties")) continue;
    if (keyword === "pattern" && typeof value === "string") yield { pattern: value, pointer: at };
    if (keyword === "patternProperties" && isTable(value)) {
      for (const pattern of Object.keys(value)) yield { pattern, pointer: `${at}/${pointerPart(pattern)}` };
    }
    yield* patternsIn(value, at);
  }
}
