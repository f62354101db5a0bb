/** `posthouse token rotate ID`: a new secret for a token. Standard output has only the token, so that a script can store it. */
import type { Command } from "commander";
import { OVERLAP_SECONDS, OVERLAP_SECONDS_MAX } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { secondsOption, withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command.option(
    "--overlap-seconds <seconds>",
    `time for which the previous secret stays valid (default: ${OVERLAP_SECONDS}); 0: it ends now`,
    secondsOption(OVERLAP_SECONDS_MAX),
  );
  withExamples(command, [
    "posthouse token rotate 0123456789abcdef > agent.token",
    "posthouse token rotate 0123456789abcdef --overlap-seconds 0 > agent.token",
  ]);
  controlAction(command, context, async ({ client, args: [id = ""], options, terminal }) => {
    const overlapSeconds = options["overlapSeconds"] as number | undefined;
    const body = overlapSeconds === undefined ? {} : { overlapSeconds };
    const { token, name, previousUntil } = await client.access.rotateToken(id, body);
    terminal.out(`${token}\n`);
    const previous = previousUntil === undefined ? "has ended" : `is valid until ${minuteText(previousUntil)} UTC`;
    terminal.err(`token ${id} of "${name}" has a new secret, which is not shown again; the previous one ${previous}\n`);
  });
}
