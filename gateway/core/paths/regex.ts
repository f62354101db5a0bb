/**
 * Regular expressions of a config, by RE2. They take linear time for every pattern, so neither a config nor a request can
 * hang a gateway. Patterns have limits of length and of program size. They match the whole text, as in Envoy and the
 * Gateway API.
 */
import { RE2JS } from "re2js";

/** Most instructions of a compiled pattern. Repetitions multiply them: `(a{100}){100}` has ten thousand. */
export const REGEX_PROGRAM_MAX = 1000;

export type CompiledRegex =
  | { readonly regex: RE2JS; readonly problem?: undefined }
  | { readonly regex?: undefined; readonly problem: string };

export function compileRegex(pattern: string): CompiledRegex {
  try {
    const regex = RE2JS.compile(pattern);
    const size = regex.programSize();
    if (size > REGEX_PROGRAM_MAX) {
      return {
        problem: `The pattern compiles to ${size} instructions; at most ${REGEX_PROGRAM_MAX} are allowed. Use fewer or smaller repetitions.`,
      };
    }
    return { regex };
  } catch (error) {
    return { problem: `The pattern is not valid RE2: ${(error as Error).message}.` };
  }
}

/** For a pattern that was checked before. */
export function regexOf(pattern: string): RE2JS {
  const { regex, problem } = compileRegex(pattern);
  if (!regex) throw new Error(problem);
  return regex;
}

/** The literal text that every match of a pattern starts with; empty when a simple look does not show it. */
export function literalHead(pattern: string): string {
  if (pattern.startsWith("(?") || alternates(pattern)) return "";
  const start = pattern.startsWith("^") ? 1 : 0;
  const written = /^(?:[A-Za-z0-9/_~%-]|\\[.+~-])*/.exec(pattern.slice(start))?.[0] ?? "";
  const head = written.replaceAll("\\", "");
  const next = pattern[start + written.length];
  // A quantifier applies to the last character.
  return next !== undefined && "*?{+".includes(next) ? head.slice(0, -1) : head;
}

/** Whether a pattern has, or might have, alternatives at the top level: `a|b`, but not `(a|b)c`. */
function alternates(pattern: string): boolean {
  if (!pattern.includes("|")) return false;
  // Quotations and nested classes are not parsed here.
  if (pattern.includes("\\Q") || pattern.includes("[:")) return true;
  let depth = 0;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at];
    if (char === "\\") at++;
    else if (char === "(") depth++;
    else if (char === ")") depth--;
    else if (char === "|" && depth === 0) return true;
    else if (char === "[") at = endOfClass(pattern, at);
  }
  return false;
}

/** The end of the class that starts at `start`. Its first character may be a closing bracket. */
function endOfClass(pattern: string, start: number): number {
  let at = start + (pattern[start + 1] === "^" ? 2 : 1);
  do at += pattern[at] === "\\" ? 2 : 1;
  while (at < pattern.length && pattern[at] !== "]");
  return at;
}

/** The parts of a replacement: texts, and the numbers of groups for `\1` to `\9`. */
export function parseReplacement(text: string): readonly (string | number)[] {
  return text
    .split(/(\\[1-9])/)
    .flatMap((part) => (part === "" ? [] : [/^\\[1-9]$/.test(part) ? Number(part[1]) : part]));
}

/** Replaces every match of the pattern. */
export function replaceRegex(regex: RE2JS, text: string, replacement: readonly (string | number)[]): string {
  const matcher = regex.matcher(text);
  let done = "";
  let at = 0;
  while (matcher.find()) {
    done += text.slice(at, matcher.start());
    for (const part of replacement) done += typeof part === "string" ? part : (matcher.group(part) ?? "");
    at = matcher.end();
  }
  return done + text.slice(at);
}
