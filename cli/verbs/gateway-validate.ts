/** `posthouse gateway validate FILE`: the checks of a release, without a release. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Located } from "#base/yaml";
import { loadFilters, parseNewGatewayConfig } from "#gateway/config-text";
import { failUnreadable } from "../input.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal, exit }: VerbContext): void {
  withSettings(command, ["gatewayFilters"]);
  withExamples(command, ["posthouse gateway validate gateway.yaml"]);
  command.action(async (path: string, options: GivenOptions) => {
    const { values } = readSettings(options, terminal);
    const text = await readFile(path, "utf8").catch(failUnreadable(path));
    const parsed = parseNewGatewayConfig(text, await loadFilters(values.gatewayFilters));
    for (const problem of parsed.problems) terminal.err(lineOf(path, problem));
    if (!parsed.config) return exit(1);
    for (const warning of parsed.warnings) terminal.err(lineOf(path, warning).replace(": ", ": warning: "));
    const { routes = [], clusters = [], consumers = [] } = parsed.config;
    terminal.out(
      `${path} is valid: ${routes.length} routes, ${clusters.length} clusters, ${consumers.length} consumers\n`,
    );
  });
}

function lineOf(path: string, { line, column, pointer, message }: Located): string {
  const place = line === undefined ? path : `${path}:${line}:${column}`;
  return `${place}: ${pointer === "" ? "" : `${pointer}: `}${message}\n`;
}
