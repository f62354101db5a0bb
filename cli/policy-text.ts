/** Policies and limits as lines for people. */
import type { PolicyRule } from "#authorization/api";
import type { Terminal } from "./terminal.ts";

/** `config:read, config:draft on namespace prod; app orders, team-*`. */
export function ruleText({ actions, on = {} }: Omit<PolicyRule, "effect">): string {
  const fields = Object.entries(on).map(([field, globs]) => `${field} ${globs.join(", ")}`);
  return `${actions.join(", ")}${fields.length === 0 ? "" : ` on ${fields.join("; ")}`}`;
}

interface NamedLimits {
  readonly namespaces?: readonly string[] | undefined;
  readonly apps?: readonly string[] | undefined;
  readonly services?: readonly string[] | undefined;
}

/** `namespaces prod; apps orders`; undefined without limits. */
export function limitsText({ namespaces, apps, services }: NamedLimits): string | undefined {
  const given = Object.entries({ namespaces, apps, services }).filter(([, names]) => names !== undefined);
  if (given.length === 0) return undefined;
  return given.map(([kind, names]) => `${kind} ${names?.join(", ") || "(none)"}`).join("; ");
}

/** Columns of text that is wrapped, where the output is not a terminal, or does not say how wide it is. */
const WIDTH = 80;

/** A text in lines as wide as the terminal at most, which begin after an indentation, except the first one. */
export function wrapped(text: string, indent: number, { columns = WIDTH }: Pick<Terminal, "columns">): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && indent + last.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}
