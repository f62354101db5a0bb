/** `posthouse authority import`: replaces the authority by one of the operator's own. */
import type { Command } from "commander";
import { printAuthority } from "../authority-text.ts";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { readInput } from "../input.ts";
import { secondsOption, withExamples } from "../options.ts";
import { withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withYes(command);
  command
    .requiredOption("--certificate <file>", "a root, or an intermediate followed by its issuers up to the root, in PEM")
    .requiredOption("--key <file>", "key of the first certificate, in PEM without a passphrase")
    .option(
      "--overlap-seconds <seconds>",
      "time for which both roots are trusted, before and after the switch; absent: 8 days",
      secondsOption(),
    );
  withExamples(command, ["posthouse authority import --certificate chain.pem --key intermediate.key --yes"]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const text = async (file: unknown) => Buffer.from(await readInput(terminal, String(file))).toString("utf8");
    const request = { certificate: await text(options["certificate"]), key: await text(options["key"]) };
    await confirm(terminal, options, "Send this key to the control plane, and issue certificates with it?");
    const overlapSeconds = options["overlapSeconds"] as number | undefined;
    const more = overlapSeconds === undefined ? {} : { overlapSeconds };
    await printAuthority(terminal, options, await client.identity.importAuthority({ ...request, ...more }));
  });
}
