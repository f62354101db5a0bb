/** Where a cursor is in a YAML text: the path of its field, and whether a name or a value is being typed. */

export interface YamlPlace {
  readonly kind: "name" | "value";
  /** Names of the fields around the cursor; `*` is an element of a list. For a value, the last is its own field. */
  readonly path: readonly string[];
  /** The word that is being typed, which a completion replaces. */
  readonly typed: string;
}

interface Token {
  readonly column: number;
  /** Absent for the dash of a list. */
  readonly name?: string;
}

const NAME = String.raw`[\w.$@/-]+|"[^"]*"|'[^']*'`;
const LINE = new RegExp(String.raw`^(\s*)((?:-\s+)*)(?:(${NAME})\s*:(?:\s|$))?`);
const TYPING_NAME = /^\s*(?:-\s+)*([\w.$-]*)$/;
const TYPING_VALUE = new RegExp(String.raw`^\s*(?:-\s+)*(?:${NAME})\s*:\s+([^\s#]*)$`);

/** @param lines the text up to the cursor; the last line ends at the cursor */
export function yamlPlaceAt(lines: readonly string[]): YamlPlace | undefined {
  const line = lines.at(-1) ?? "";
  const value = TYPING_VALUE.exec(line);
  if (value) {
    const tokens = tokensOf(line);
    return { kind: "value", path: pathAbove(lines, tokens, [tokens.at(-1)?.name ?? ""]), typed: value[1] ?? "" };
  }
  const name = TYPING_NAME.exec(line);
  if (!name) return undefined;
  const typed = name[1] ?? "";
  const tokens = [...dashesOf(line), { column: line.length - typed.length, name: typed }];
  return { kind: "name", path: pathAbove(lines, tokens, []), typed };
}

/** Goes up from the cursor: each token further left than the last one is around it. */
function pathAbove(lines: readonly string[], own: readonly Token[], path: string[]): string[] {
  let limit = own.at(-1)?.column ?? 0;
  let isInList = false;
  const take = (token: Token): void => {
    const isAround = token.name !== undefined && isInList ? token.column <= limit : token.column < limit;
    if (!isAround) return;
    path.unshift(token.name ?? "*");
    limit = token.column;
    isInList = token.name === undefined;
  };
  for (const token of own.slice(0, -1).toReversed()) take(token);
  for (const line of lines.slice(0, -1).toReversed()) {
    if (/^\s*(#|$)/.test(line)) continue;
    for (const token of tokensOf(line).toReversed()) take(token);
    if (limit === 0 && !isInList) break;
  }
  return path;
}

function dashesOf(line: string): Token[] {
  const lead = /^(\s*)((?:-\s+)*)/.exec(line);
  const start = lead?.[1]?.length ?? 0;
  return [...(lead?.[2] ?? "").matchAll(/-/g)].map(({ index }) => ({ column: start + index }));
}

function tokensOf(line: string): Token[] {
  const found = LINE.exec(line);
  const name = found?.[3];
  const dashes = dashesOf(line);
  if (!found || name === undefined) return dashes;
  const column = (found[1] ?? "").length + (found[2] ?? "").length;
  return [...dashes, { column, name: name.replace(/^(["'])(.*)\1$/, "$2") }];
}
