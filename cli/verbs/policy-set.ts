/** `posthouse policy set [NAME] -f FILE`: creates or replaces a policy from a document. */
import type { Command } from "commander";
import type { PolicyBody } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { casOption, withExamples } from "../options.ts";
import { parsePolicyDocument } from "../policy-document.ts";
import type { VerbContext } from "../verb.ts";

interface PolicyDocument extends PolicyBody {
  readonly name?: string;
}

export function define(command: Command, context: VerbContext): void {
  command
    .requiredOption("-f, --file <file>", "the policy, YAML or JSON; - for standard input")
    .option("--cas <revision>", "only if the policy still has this revision; 0: only if it does not exist", casOption);
  withExamples(command, [
    "posthouse policy set -f orders-team.yaml",
    "posthouse policy show viewer -o yaml | posthouse policy set my-viewer -f -",
  ]);
  controlAction(command, context, async ({ client, args: [given], options, terminal }) => {
    const file = String(options["file"]);
    const { name, ...body } = await parsePolicyDocument<PolicyDocument>(
      await readInput(terminal, file),
      "fields: name and rules",
    );
    const chosen = given ?? name;
    if (chosen === undefined) {
      throw CliErrors.ARGUMENT_INVALID(`${file} has no "name". Give it: posthouse policy set NAME -f ${file}.`);
    }
    const ifRevision = options["cas"] as number | undefined;
    const { revision, usedBy } = await client.access.setPolicy(chosen, body, { ifRevision });
    const users = usedBy.length === 0 ? "it has no users yet" : `${usedBy.length} have it, from now on`;
    terminal.out(`policy ${chosen} is set, revision ${revision}; ${users}\n`);
  });
}
