/** Adds a route to the text of a gateway config, and leaves every other character as it is, so that comments stay. Pure. */

export interface NewRoute {
  readonly name: string;
  readonly prefix: string;
  readonly service: string;
  /** The provider of the required token; undefined: none is required. */
  readonly provider: string | undefined;
}

/** undefined: the routes have a form that only their author can extend, such as a list in one line. */
export function withRoute(text: string, route: NewRoute): string | undefined {
  if (text.trimStart().startsWith("{")) return inJson(text, route);
  const lines = text.split("\n");
  const at = lines.findIndex((line) => /^routes\s*:/.test(line));
  if (at < 0) return `${text.trimEnd()}${text.trim() === "" ? "" : "\n\n"}routes:\n${itemOf(route, "  ")}\n`;
  const rest = (lines[at] ?? "")
    .replace(/^routes\s*:/, "")
    .replace(/(^|\s)#.*$/, "")
    .trim();
  if (rest === "[]") {
    const head = (lines[at] ?? "").replace("[]", "").trimEnd();
    return [...lines.slice(0, at), head, itemOf(route, "  "), ...lines.slice(at + 1)].join("\n");
  }
  if (rest !== "") return undefined;
  const end = endOfBlock(lines, at);
  const first = lines.slice(at + 1, end).find((line) => /^\s*-(\s|$)/.test(line));
  const indent = first === undefined ? "  " : (/^\s*/.exec(first)?.[0] ?? "");
  return [...lines.slice(0, end), itemOf(route, indent), ...lines.slice(end)].join("\n");
}

/** The line after the last one that belongs to the block of a key. Comments and blank lines at its end belong to what follows. */
function endOfBlock(lines: readonly string[], at: number): number {
  let end = at + 1;
  for (let index = at + 1; index < lines.length; index++) {
    const line = lines[index] ?? "";
    if (line.trim() === "" || line.startsWith("#")) continue;
    if (!/^(\s|-(\s|$))/.test(line)) break;
    end = index + 1;
  }
  return end;
}

function itemOf({ name, prefix, service, provider }: NewRoute, indent: string): string {
  return [
    `${indent}- name: ${scalar(name)}`,
    `${indent}  match: { path: { prefix: ${scalar(prefix)} } }`,
    `${indent}  service: ${scalar(service)}`,
    ...(provider === undefined ? [] : [`${indent}  jwt: { provider: ${scalar(provider)} }`]),
  ].join("\n");
}

/** A text that YAML reads as this text: bare where no reader could take it for a number, a boolean or a sign. */
function scalar(text: string): string {
  const isBare = /^\/?[A-Za-z][\w./-]*$|^\/$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return isBare ? text : JSON.stringify(text);
}

/** JSON has no comments, so the whole text is written again. */
function inJson(text: string, { name, prefix, service, provider }: NewRoute): string | undefined {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof tree !== "object" || tree === null) return undefined;
  const { routes = [] } = tree as { readonly routes?: unknown };
  if (!Array.isArray(routes)) return undefined;
  const route = {
    name,
    match: { path: { prefix } },
    service,
    ...(provider === undefined ? {} : { jwt: { provider } }),
  };
  return `${JSON.stringify({ ...tree, routes: [...(routes as unknown[]), route] }, null, 2)}\n`;
}
