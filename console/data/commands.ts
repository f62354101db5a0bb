/** The command lines that do what the console does. */
import type { ApiCall } from "./api.ts";

/** The page, by a type that tests outside of a browser have too. */
const page = globalThis as unknown as { readonly location: { readonly origin: string } };

/** Quotes a word for a POSIX shell where it needs quotes. */
export function shellWord(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** A posthouse command from its words; undefined words are left out. */
export function cliOf(...words: readonly (string | undefined)[]): string {
  return ["posthouse", ...words.filter((word) => word !== undefined).map(shellWord)].join(" ");
}

/** The option `--namespace`, also for `default`, since the context of the command's user may have another namespace. */
export function namespaceWords(namespace: string): readonly string[] {
  return ["--namespace", namespace];
}

/** An option with a text, unless the text is empty. */
export function optionWords(flag: string, value: string): readonly string[] {
  return value.trim() === "" ? [] : [flag, value];
}

/** The call as a curl command; the token comes from the environment. */
export function curlOf({ method = "GET", path, body, headers = {} }: ApiCall): string {
  const parts = ["curl -sS"];
  if (method !== "GET") parts.push(`-X ${method}`);
  parts.push(shellWord(`${page.location.origin}${path}`), '-H "authorization: Bearer $POSTHOUSE_TOKEN"');
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${shellWord(`${name}: ${value}`)}`);
  if (body !== undefined && typeof body !== "string") parts.push("-H 'content-type: application/json'");
  if (body !== undefined)
    parts.push(`--data-binary ${shellWord(typeof body === "string" ? body : JSON.stringify(body))}`);
  return parts.join(" ");
}
