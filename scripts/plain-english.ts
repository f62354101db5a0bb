/**
 * Finds dialect: patterns that plain technical English does not have, in comments, in messages and in documents.
 * `node scripts/plain-english.ts [FOLDER…]` lists them; `test/plain-english.test.ts` fails on any.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One pattern, and what plain English writes instead. */
interface DialectPattern {
  readonly pattern: RegExp;
  readonly instead: string;
}

/** The rules of CONTRIBUTING.md ("How we write") that a pattern can see. */
export const DIALECT_PATTERNS: readonly DialectPattern[] = [
  { pattern: /\b(?:whoever|whom|whomever)\b/iu, instead: "name the noun: the caller, the client, the instance" },
  { pattern: /(?:^|[.;:] )Who (?![^.]*\?)/u, instead: "a noun as the subject: Callers that …" },
  { pattern: /(?:^|[.;] )What (?![^.]*\?)/u, instead: "a noun as the subject" },
  { pattern: /\bnobody\b/iu, instead: "no caller, no client, no instance" },
  { pattern: /\b(?:is|are|was|were|be|been|being|gets?) told\b/iu, instead: "receives, is notified of, is sent" },
  { pattern: /\bvouch/iu, instead: "confirms, is verified by" },
  { pattern: /\bmend(?:s|ed|ing)?\b/iu, instead: "fix, repair, correct" },
  { pattern: /\banew\b/iu, instead: "again" },
  { pattern: /\bsick\b/iu, instead: "unhealthy" },
  { pattern: /\b(?:go|goes|gone|went|going) past\b/iu, instead: "bypasses, skips" },
  { pattern: /\bon wish\b/iu, instead: "on request, optionally" },
  { pattern: /\bstands?\b(?! (?:for|alone))/iu, instead: "is, applies, remains" },
  { pattern: /\bliv(?:e|es|ed|ing) by\b/iu, instead: "belongs to, depends on" },
  { pattern: /\b(?:is|are|was|were|be) no (?!longer\b)/iu, instead: "is not a valid …" },
  { pattern: /\bno more\b/iu, instead: "no longer" },
  { pattern: /\b(?:he|him|himself|his)\b/iu, instead: "the caller, it, its" },
  { pattern: /\b(?:t?here|it) shall\b|\bshall (?:be|not)\b/iu, instead: "must, will" },
  { pattern: /\bhearsay\b/iu, instead: "secondhand data" },
  { pattern: /\bof (?:its|their) own accord\b/iu, instead: "without a request" },
  { pattern: /\b(?:came|come|comes) (?:by|off) (?:it|them)\b/iu, instead: "say what happens" },
  {
    pattern: /\bbehaviour|\bcolour|\bhonour|\bneighbour|\bserialis|\bnormalis|\brecognis|\binitialis\b/iu,
    instead: "US spelling",
  },
];

/** Places where a pattern is right, or is quoted: `path: text of the line`. */
export const DIALECT_ALLOWED: readonly { readonly path: string; readonly text: string; readonly why: string }[] = [];

export interface DialectHit {
  readonly path: string;
  readonly line: number;
  readonly found: string;
  readonly instead: string;
  readonly text: string;
}

/** The prose of a line of TypeScript: its comment, and the texts in quotes that have more than one word. */
function proseOfCode(line: string): string[] {
  const trimmed = line.trim();
  if (/^(?:\/\/|\/?\*)/u.test(trimmed))
    return [trimmed.replace(/^(?:\/\/|\/?\*+\/?)\s*/u, "").replace(/`[^`]*`/gu, "x")];
  const texts = [...trimmed.matchAll(/"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)/gu)].map(
    ([, quoted, template]) => quoted ?? template ?? "",
  );
  const comment = /\s\/\/ (.*)$/u.exec(trimmed)?.[1];
  return [...texts.filter((text) => / /u.test(text)), ...(comment === undefined ? [] : [comment])];
}

/** Each line's prose, by kind of file. Fenced blocks and inline code of documents do not count. */
function* proseOf(path: string, source: string): Generator<{ line: number; prose: string }> {
  let isFenced = false;
  for (const [at, text] of source.split("\n").entries()) {
    if (path.endsWith(".md")) {
      if (/^\s*```/u.test(text)) isFenced = !isFenced;
      else if (!isFenced) yield { line: at + 1, prose: text.replace(/`[^`]*`/gu, "x").replace(/^[#>\s*-]+/u, "") };
    } else {
      for (const prose of proseOfCode(text)) yield { line: at + 1, prose };
    }
  }
}

export function dialectIn(path: string, source: string): DialectHit[] {
  const hits: DialectHit[] = [];
  for (const { line, prose } of proseOf(path, source)) {
    if (DIALECT_ALLOWED.some((allowed) => allowed.path === path && prose.includes(allowed.text))) continue;
    for (const { pattern, instead } of DIALECT_PATTERNS) {
      const found = pattern.exec(prose)?.[0];
      if (found !== undefined) hits.push({ path, line, found: found.trim(), instead, text: prose });
    }
  }
  return hits;
}

/** The sources and documents that the scan reads: all but the Chinese ones and those that quote the patterns. */
export function plainEnglishPaths(root: string): string[] {
  return execFileSync("git", ["ls-files", "*.ts", "*.md"], { cwd: root, encoding: "utf8" })
    .split("\n")
    .filter(
      (path) => path !== "" && !/\.zh-CN\.md$|^(?:scripts\/plain-english|test\/plain-english\.test)\.ts$/u.test(path),
    );
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..");
  const folders = process.argv.slice(2);
  const paths = plainEnglishPaths(root).filter(
    (path) => folders.length === 0 || folders.some((folder) => path.startsWith(folder)),
  );
  const hits = paths.flatMap((path) => dialectIn(path, readFileSync(join(root, path), "utf8")));
  for (const { path, line, found, instead, text } of hits)
    console.log(`${path}:${line} "${found}" → ${instead} | ${text}`);
  console.log(`${hits.length} in ${paths.length} files`);
}
