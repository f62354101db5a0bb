/**
 * `posthouse store repair`: recovers a damaged embedded store without a backup. Standard output lists the dropped records, standard
 * error the rest. As JSON or YAML, the whole report is on standard output.
 */
import type { Command } from "commander";
import type { RepairReport } from "#server";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import { type Column, formatDocument, formatFor, formatRows, isDocument, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

const COLUMNS: readonly Column<RepairReport["dropped"][number]>[] = [
  ["KEY", ({ key }) => key],
  ["REVISION", ({ revision }) => revision],
  ["TABLE", ({ table }) => table],
  ["PAGE", ({ page }) => page],
  ["REASON", ({ reason }) => reason],
];

export function define(command: Command, { terminal }: VerbContext): void {
  withOutput(command);
  command.option("--dry-run", "only list the records that would be dropped");
  withSettings(command, ["data", "store", "logLevel", "logFormat"]);
  withExamples(command, ["posthouse store repair --dry-run", "posthouse store repair --data /var/lib/posthouse"]);
  command.action(async ({ dryRun, ...options }: GivenOptions) => {
    const { values } = readSettings(options, terminal);
    const { systemHost } = await import("#base/system");
    const { repairOwnStore } = await import("#server");
    const report = await repairOwnStore(systemHost(values), values, { dryRun: dryRun === true });
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, report));
    if (report.dropped.length > 0) terminal.out(await formatRows(format, COLUMNS, report.dropped));
    terminal.err(summaryOf(report));
  });
}

function summaryOf({ folder, outcome, damage, dropped, unreadable, kept, damagedFile }: RepairReport): string {
  if (outcome === "whole") return `the store in ${folder} is intact: ${kept.keys} keys; nothing was changed\n`;
  const would = outcome === "dry-run" ? "would be " : "";
  const lines = [
    ...damage.map((one) => `damaged: ${one}`),
    `${would}kept: ${kept.keys} keys, ${kept.leases} leases; ${would}dropped: ${dropped.length === 0 ? "nothing" : "the listed records"}`,
  ];
  if (unreadable > 0) {
    lines.push(
      `the keys of up to ${unreadable} changes cannot be read: keys may be missing, deleted keys may be back, and others may have an earlier value`,
    );
  }
  if (damagedFile !== undefined) lines.push(`the damaged file is ${damagedFile}; delete it when you no longer need it`);
  return lines.map((line) => `${line}\n`).join("");
}
