/**
 * Texts with variables, for headers that the gateway sets: `{client.address}`, `{request.method}`,
 * `{request.header.NAME}`. A variable's value is never parsed as a template. Characters that a header cannot contain are
 * percent-encoded, so that a value never ends a line.
 */
import { own } from "#base";
import type { Claims } from "../callers/claims.ts";
import { claimValues } from "../callers/claims.ts";
import type { RequestHead } from "../request/head.ts";

/** Longest value of a variable, in characters. */
const VALUE_CHARS_MAX = 2048;

export interface TemplateContext {
  readonly head: RequestHead;
  readonly route: string;
  readonly consumer: string | undefined;
  readonly claims: Claims | undefined;
  /** The variables of the path's template or regex. */
  readonly variables: Readonly<Record<string, string>>;
}

export type Template = readonly (string | Variable)[];
interface Variable {
  readonly name: string;
  readonly of: (context: TemplateContext) => string;
}

const PLAIN: Readonly<Record<string, Variable["of"]>> = {
  "client.address": ({ head }) => head.client,
  "request.method": ({ head }) => head.method,
  "request.host": ({ head }) => head.host,
  "request.authority": ({ head }) => head.authority,
  "request.scheme": ({ head }) => head.scheme,
  "request.path": ({ head }) => head.path,
  "request.query": ({ head }) => head.query,
  "request.listener": ({ head }) => head.listener,
  "route.name": ({ route }) => route,
  "consumer.name": ({ consumer }) => consumer ?? "",
};

/** Headers whose values are secret, or that only the gateway may set. */
const UNREADABLE =
  /^(authorization|proxy-authorization|cookie|x-api-key|x-forwarded-.*|x-posthouse-.*|x-consumer-.*|x-jwt-.*)$/;

/** The parts of a text, or its problem. `{{` and `}}` are literal braces. */
export function parseText(text: string, pathNames: readonly string[] = []): Template | { readonly problem: string } {
  const parts: (string | Variable)[] = [];
  let plain = "";
  for (let at = 0; at < text.length;) {
    const char = text[at] as string;
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 9) || code > 0x7e) return { problem: "A header may contain printable ASCII only." };
    if ((char === "{" || char === "}") && text[at + 1] === char) {
      plain += char;
      at += 2;
    } else if (char === "{") {
      const end = text.indexOf("}", at);
      if (end < 0) return { problem: "Unmatched {. Write {{ for a literal brace." };
      const name = text.slice(at + 1, end);
      const variable = variableOf(name, pathNames);
      if ("problem" in variable) return variable;
      if (plain !== "") parts.push(plain);
      plain = "";
      parts.push(variable);
      at = end + 1;
    } else if (char === "}") {
      return { problem: "Unmatched }. Write }} for a literal brace." };
    } else {
      plain += char;
      at += 1;
    }
  }
  if (plain !== "") parts.push(plain);
  return parts;
}

function variableOf(name: string, pathNames: readonly string[]): Variable | { readonly problem: string } {
  const plain = own(PLAIN, name);
  if (plain) return { name, of: plain };
  const [, kind, key = ""] = /^(request\.header|request\.query|path|claim)\.(.+)$/.exec(name) ?? [];
  if (kind === "request.header") {
    const lower = key.toLowerCase();
    if (UNREADABLE.test(lower))
      return { problem: `The header "${key}" is secret or set by the gateway, so it cannot be copied.` };
    return { name, of: ({ head }) => head.header(lower).join(", ") };
  }
  if (kind === "request.query") return { name, of: ({ head }) => new URLSearchParams(head.query).get(key) ?? "" };
  if (kind === "claim") return { name, of: ({ claims }) => claimValues(claims ?? {}, key).join(",") };
  if (kind === "path") {
    if (pathNames.includes(key)) return { name, of: ({ variables }) => own(variables, key) ?? "" };
    return {
      problem: `match.path has no variable "${key}"${pathNames.length > 0 ? `; it has ${pathNames.join(", ")}` : ""}.`,
    };
  }
  return {
    problem: `Unknown variable {${name}}. Available: ${Object.keys(PLAIN).join(", ")}, request.header.NAME, request.query.NAME, path.NAME, claim.NAME.`,
  };
}

/** For a text that was checked before. */
export function compileText(text: string, pathNames: readonly string[] = []): Template {
  const parts = parseText(text, pathNames);
  if ("problem" in parts) throw new Error(parts.problem);
  return parts;
}

export function renderText(template: Template, context: TemplateContext): string {
  let text = "";
  for (const part of template) text += typeof part === "string" ? part : safe(part.of(context));
  return text;
}

function safe(value: string): string {
  const short = value.length > VALUE_CHARS_MAX ? value.slice(0, VALUE_CHARS_MAX) : value;
  // Half of a surrogate pair cannot be encoded, so it is replaced.
  return /^[\x20-\x7e]*$/.test(short)
    ? short
    : short.replaceAll(/[^\x20-\x7e]/gu, (char) => encodeURIComponent(char.toWellFormed()));
}
