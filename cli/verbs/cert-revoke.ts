/** `posthouse cert revoke SERIAL`. */
import type { Command } from "commander";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withYes(command);
  withExamples(command, ["posthouse cert revoke 5f0a3c0f7a1b4c2d8e9f001122334455 --yes"]);
  controlAction(command, context, async ({ client, args: [given = ""], options, terminal }) => {
    const serial = given.toLowerCase().replaceAll(":", "");
    const { spiffeId } = await client.identity.certificate(serial);
    await confirm(terminal, options, `Revoke certificate ${serial} of ${spiffeId}?`);
    await client.identity.revokeCertificate(serial);
    terminal.out(`certificate ${serial} of ${spiffeId} is revoked\n`);
  });
}
