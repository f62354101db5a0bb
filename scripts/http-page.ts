/** The page of HTTP routes, from an OpenAPI document: by tag, with parameters, bodies and answers. */

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly description?: string;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema?: { readonly $ref?: string } }>>;
}

interface Operation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content;
  readonly responses?: Readonly<Record<string, Content>>;
}

export interface HttpDocument {
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** Name of the shape of a body, or its media type. */
function bodyOf(content: Content | undefined): string {
  const [type, body] = Object.entries(content?.content ?? {})[0] ?? [];
  const shape = body?.schema?.$ref?.split("/").at(-1);
  return shape === undefined ? (type === undefined ? "" : type) : `\`${shape}\``;
}

function rowOf(path: string, method: string, operation: Operation): string {
  const named = (operation.parameters ?? []).filter((one) => one.in !== "path");
  const parameters = named.map((one) => `\`${one.name}\`${one.required ? " (required)" : ""}`).join(", ");
  const success = Object.entries(operation.responses ?? {}).find(([status]) => status.startsWith("2"));
  const answer = success ? `${success[0]} ${bodyOf(success[1])}`.trim() : "";
  return `| \`${method.toUpperCase()} ${path}\` | ${operation.summary ?? ""} | ${parameters} | ${bodyOf(operation.requestBody)} | ${answer} |`;
}

/** Sections of one API. @param json file with the whole document, beside the page */
export function httpSections(title: string, json: string, { tags = [], paths }: HttpDocument): string[] {
  const lines = [`## ${title}`, "", `The whole description, with every field: [${json}](${json}).`];
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const names = [
    ...new Set([...tags.map(({ name }) => name), ...operations.flatMap(({ operation }) => operation.tags ?? [])]),
  ];
  for (const name of names) {
    const rows = operations.filter(({ operation }) => operation.tags?.[0] === name);
    if (rows.length === 0) continue;
    const about = tags.find((tag) => tag.name === name)?.description;
    lines.push("", `### ${title}: ${name}`, "", ...(about === undefined ? [] : [about, ""]));
    lines.push("| route | summary | query and headers | body | answer |", "| --- | --- | --- | --- | --- |");
    lines.push(...rows.map(({ path, method, operation }) => rowOf(path, method, operation)));
  }
  return lines;
}
