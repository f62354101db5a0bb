/** `posthouse policy show NAME`: one policy, as rules for people, or as the document that `policy set` reads. */
import type { Command } from "commander";
import type { PolicyRule } from "#authorization/api";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { withExamples } from "../options.ts";
import { ruleText, wrapped } from "../policy-text.ts";
import { formatDocument, formatFor, isParsedFormat, withOutput } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withExamples(command, [
    "posthouse policy show agent",
    "posthouse policy show orders-team -o yaml > orders-team.yaml",
  ]);
  controlAction(command, context, async ({ client, args: [name = ""], options, terminal }) => {
    const policy = await client.access.policy(name);
    const { description, rules, revision, changedAt, changedBy, usedBy, builtIn } = policy;
    const format = formatFor(options, terminal);
    const document = { name, ...(description === undefined ? {} : { description }), rules };
    if (format !== "table")
      return terminal.out(await formatDocument(isParsedFormat(format) ? format : "yaml", document));
    terminal.out(
      detailText([
        ["name", name],
        ["description", description],
        ["changed", builtIn ? "never: it is built in" : `${changedAt} by ${changedBy}, revision ${revision}`],
        ["used by", usedBy.length === 0 ? "nobody" : usedBy.join(", ")],
      ]),
    );
    terminal.out(`\n${rules.map((rule, at) => ruleLines(terminal, rule, at)).join("")}`);
  });
}

const NUMBER_COLUMNS = 4;
const EFFECT_COLUMNS = 8;

function ruleLines(terminal: Terminal, { effect, ...rule }: PolicyRule, index: number): string {
  const start = `${String(index + 1).padEnd(NUMBER_COLUMNS)}${effect.padEnd(EFFECT_COLUMNS)}`;
  return `${start}${wrapped(ruleText(rule), start.length, terminal)}\n`;
}
