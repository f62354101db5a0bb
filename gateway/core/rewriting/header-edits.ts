/** Headers that a route adds, sets and removes, in requests and in answers. */
import { own, setOwn } from "#base";
import type { HeaderEdits } from "../../api.ts";
import { compileText, renderText, type Template, type TemplateContext } from "./template.ts";

export interface CompiledEdits {
  readonly remove: ReadonlySet<string>;
  readonly set: readonly (readonly [name: string, value: Template])[];
  readonly add: readonly (readonly [name: string, value: Template])[];
}

/** Edits with their values for one message. */
export interface RenderedEdits {
  /** Names, in lower case, whose present values are dropped: those of `remove` and `set`. */
  readonly drop: ReadonlySet<string>;
  /** Headers that are added afterwards. */
  readonly put: readonly (readonly [name: string, value: string])[];
}

export function compileEdits(edits: HeaderEdits | undefined, pathNames: readonly string[]): CompiledEdits | undefined {
  if (!edits) return undefined;
  const compile = (record: Readonly<Record<string, string>> = {}) =>
    Object.entries(record).map(([name, text]) => [name.toLowerCase(), compileText(text, pathNames)] as const);
  return {
    remove: new Set((edits.remove ?? []).map((name) => name.toLowerCase())),
    set: compile(edits.set),
    add: compile(edits.add),
  };
}

/** Combines several edits in order; undefined when there are none. */
export function renderEdits(
  edits: readonly (CompiledEdits | undefined)[],
  context: TemplateContext,
): RenderedEdits | undefined {
  let drop: Set<string> | undefined;
  let put: (readonly [string, string])[] = [];
  for (const one of edits) {
    if (!one) continue;
    drop ??= new Set();
    const gone = new Set([...one.remove, ...one.set.map(([name]) => name)]);
    put = put.filter(([name]) => !gone.has(name));
    for (const name of gone) drop.add(name);
    for (const [name, value] of [...one.set, ...one.add]) put.push([name, renderText(value, context)]);
  }
  return drop && { drop, put };
}

/** Changes an answer's headers, whose names are in lower case. */
export function editAnswer(headers: Record<string, string | string[] | undefined>, { drop, put }: RenderedEdits): void {
  for (const name of drop) delete headers[name];
  for (const [name, value] of put) addHeader(headers, name, value);
}

export function addHeader(headers: Record<string, string | string[] | undefined>, name: string, value: string): void {
  const present = own(headers, name);
  setOwn(headers, name, present === undefined ? value : [present, value].flat());
}

/** Adds a word to `Vary`, once. */
export function addVary(headers: Record<string, string | string[] | undefined>, word: string): void {
  const words = [headers["vary"] ?? []].flat().flatMap((value) => value.split(",").map((one) => one.trim()));
  if (words.includes("*") || words.some((one) => one.toLowerCase() === word.toLowerCase())) return;
  headers["vary"] = [...words, word].join(", ");
}
