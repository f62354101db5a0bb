/** The results of imports, sources and comparisons of config, as lines. */
import type { Difference, FileProblem, ImportReport } from "#config-server/api";
import { setText } from "./set-name.ts";
import type { Terminal } from "./terminal.ts";

/** Characters that identify a commit. */
const COMMIT_CHARS = 12;

/** The part of a commit's hash that people use. */
export function shortCommit(commit: string): string {
  return commit.slice(0, COMMIT_CHARS);
}

export function showReport(terminal: Terminal, { sets, ignored }: ImportReport): void {
  for (const set of sets) {
    const { outcome, added, changed, removed, version, proposal, error, differences = [] } = set;
    const at = version === undefined ? "" : `@${version}`;
    terminal.out(`${setText(set)}${at}\t${outcome}\t+${added.length} ~${changed.length} -${removed.length}\n`);
    if (proposal !== undefined) terminal.out(`  proposal ${proposal}\n`);
    if (error) terminal.err(`${setText(set)}: ${error.code}: ${error.detail}\n`);
    for (const difference of differences) showDifference(terminal, difference, "  ");
  }
  for (const file of ignored) terminal.err(`${file}: ignored, since it belongs to no set\n`);
}

export function showDifference(terminal: Terminal, { key, kind, lines = [] }: Difference, indent = ""): void {
  terminal.out(`${indent}${kind} ${key}\n`);
  for (const line of lines) if (!line.startsWith(" ")) terminal.out(`${indent}  ${line}\n`);
}

export function showProblem(terminal: Terminal, { file, line, column, pointer, message }: FileProblem): void {
  const at = [file, line, line === undefined ? undefined : column].filter((part) => part !== undefined).join(":");
  terminal.err(`${at}: ${pointer === undefined ? "" : `${pointer} `}${message}\n`);
}
