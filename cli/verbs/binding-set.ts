/** `posthouse binding set SUBJECT --policy NAME`: gives policies to a person or to a group of the identity provider. */
import type { Command } from "commander";
import { own } from "#base";
import type { BindingBody } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { casOption, givenOnly, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .requiredOption(
      "--policy <policies...>",
      "policies, which grant together: viewer, editor, publisher, operator, or your own",
    )
    .option("--namespaces <namespaces...>", "only these namespaces; absent: all")
    .option("--apps <apps...>", "only the configs of these apps; absent: all")
    .option("--services <services...>", "only instances of these services; absent: all")
    .option("--cas <revision>", "only if the binding still has this revision; 0: only if there is none", casOption);
  withExamples(command, [
    "posthouse binding set group:developers --policy viewer",
    "posthouse binding set user:ann@example.com --policy operator",
  ]);
  controlAction(command, context, async ({ client, args: [subject = ""], options, terminal }) => {
    const names = (option: string) => own(options, option) as string[] | undefined;
    const body: BindingBody = {
      policies: names("policy") ?? [],
      ...givenOnly({ namespaces: names("namespaces"), apps: names("apps"), services: names("services") }),
    };
    const ifRevision = options["cas"] as number | undefined;
    const { policies, revision } = await client.access.setBinding(subject, body, { ifRevision });
    terminal.out(`${subject} has the policies ${policies.join(", ")}, revision ${revision}\n`);
  });
}
