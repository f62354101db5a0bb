/** `posthouse deregister SERVICE ID`: at once, or after every subscriber has seen the drain. */
import type { Command } from "commander";
import { DRAIN_SECONDS, DRAIN_SECONDS_MAX } from "#registry/api";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the service").option(
    "--drain [seconds]",
    `drain first, for at most this long (default ${DRAIN_SECONDS})`,
  );
  withExamples(command, ["posthouse deregister orders orders-1 --drain 60"]);
  controlAction<number | undefined>(
    command,
    context,
    async ({ client, args: [service = "", id = ""], options, terminal }, seconds) => {
      const instance = { namespace: String(options["namespace"]), service, id };
      const { seen, waitingFor = [] } = await client.registry.deregister(
        instance,
        seconds === undefined ? {} : { drainSeconds: seconds },
      );
      const all = seen ? "; every subscriber had seen it drain" : "";
      terminal.out(`${service}/${id} is deregistered${all}\n`);
      if (seen === false) terminal.err(`not seen within ${seconds} s by: ${waitingFor.join(", ")}\n`);
    },
    (_args, { drain }) => drainSeconds(drain as string | boolean | undefined),
  );
}

/** The seconds of `--drain`, which is `true` without a value. */
function drainSeconds(given: string | boolean | undefined): number | undefined {
  if (given === undefined || given === false) return undefined;
  const seconds = given === true ? DRAIN_SECONDS : Number(given);
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= DRAIN_SECONDS_MAX) return seconds;
  throw CliErrors.ARGUMENT_INVALID(`--drain ${given} is not valid. Use whole seconds from 1 to ${DRAIN_SECONDS_MAX}.`);
}
