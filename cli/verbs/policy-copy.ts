/** `posthouse policy copy NAME NEW-NAME`: a policy of your own that begins as another one. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse policy copy agent my-agent"]);
  controlAction(command, context, async ({ client, args: [from = "", to = ""], terminal }) => {
    const { description, rules } = await client.access.policy(from);
    const body = { rules, ...(description === undefined ? {} : { description }) };
    // Copying never replaces a policy that somebody has.
    await client.access.setPolicy(to, body, { ifRevision: 0 });
    terminal.out(`policy ${to} is a copy of ${from}; change it: posthouse policy show ${to} -o yaml > ${to}.yaml\n`);
  });
}
