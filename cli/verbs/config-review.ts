/** `posthouse config review SET PROPOSAL`: approves or rejects a proposal of another author. */
import { type Command, Option } from "commander";
import { setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { givenOnly, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .addOption(new Option("--approve", "approve it, so that it can be published").conflicts("reject"))
    .option("--reject", "reject it, which closes it")
    .option("--comment <text>", "comment for the author");
  withExamples(command, [
    "posthouse config review orders/prod 0123456789abcdef --approve",
    "posthouse config review orders/prod 0123456789abcdef --reject --comment 'the pool is too large'",
  ]);
  setAction(command, context, async ({ client, set, args: [id = ""], options, terminal }) => {
    const { approve, reject, comment } = options as { approve?: boolean; reject?: boolean; comment?: string };
    if (!approve && !reject) throw CliErrors.ARGUMENT_INVALID("A review needs a verdict. Give --approve or --reject.");
    const verdict = approve ? "approve" : "reject";
    await client.config.review(set, id, { verdict, ...givenOnly({ comment }) });
    terminal.out(`proposal ${id} is ${approve ? "approved" : "rejected"}\n`);
  });
}
