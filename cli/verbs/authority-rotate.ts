/** `posthouse authority rotate --part PART`. */
import { type Command, Option } from "commander";
import { printAuthority } from "../authority-text.ts";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { secondsOption, withExamples } from "../options.ts";
import { withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withYes(command);
  command
    .addOption(new Option("--part <part>", "what to replace").choices(["intermediate", "root"]).makeOptionMandatory())
    .option(
      "--overlap-seconds <seconds>",
      "time for which both roots are trusted, before and after the switch; absent: 8 days",
      secondsOption(),
    );
  withExamples(command, [
    "posthouse authority rotate --part intermediate",
    "posthouse authority rotate --part root --yes",
    "posthouse authority rotate --part root --overlap-seconds 3600 --yes",
  ]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const part = options["part"] as "root" | "intermediate";
    const overlapSeconds = options["overlapSeconds"] as number | undefined;
    if (part === "root") {
      const days = overlapSeconds === undefined ? "8 days" : `${overlapSeconds} s`;
      await confirm(
        terminal,
        options,
        `Replace the root? Processes that are away for more than ${days} must join again.`,
      );
    }
    const view = await client.identity.rotateAuthority({
      part,
      ...(overlapSeconds === undefined ? {} : { overlapSeconds }),
    });
    await printAuthority(terminal, options, view);
  });
}
