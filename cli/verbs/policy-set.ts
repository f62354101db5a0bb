/** `posthouse policy set [NAME] -f FILE`: creates or replaces a policy from a document. */
import type { Command } from "commander";
import { messageOf } from "#base";
import type { PolicyBody } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { casOption, withExamples } from "../options.ts";
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
    const { name, ...body } = await parsePolicy(await readInput(terminal, file));
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

/** YAML, or JSON, which is YAML, too. The server checks its fields. @throws CLI_RESOURCE_INVALID */
async function parsePolicy(bytes: Uint8Array): Promise<PolicyDocument> {
  const { parse } = await import("yaml");
  let policy: unknown;
  try {
    policy = parse(Buffer.from(bytes).toString("utf8"), { maxAliasCount: 0 });
  } catch (cause) {
    throw CliErrors.RESOURCE_INVALID(`The policy is not valid YAML or JSON: ${messageOf(cause)}`, { cause });
  }
  if (typeof policy === "object" && policy !== null && !Array.isArray(policy)) return policy as PolicyDocument;
  throw CliErrors.RESOURCE_INVALID("A policy must have fields: name and rules.");
}
