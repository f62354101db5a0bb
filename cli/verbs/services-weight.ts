/** `posthouse services weight SERVICE ID WEIGHT`: changes how large a part of the requests an instance receives. */
import type { Command } from "commander";
import { WEIGHT_MAX } from "#registry/api";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(withNamespace(command, "the services"), ["posthouse services weight orders orders-1 10"]);
  controlAction(command, context, async ({ client, args: [service = "", id = "", given = ""], options, terminal }) => {
    const weight = weightOf(given);
    await client.registry.setWeight({ namespace: String(options["namespace"]), service, id }, { weight });
    terminal.out(`${service}/${id} has weight ${weight}\n`);
  });
}

function weightOf(text: string): number {
  const weight = Number(text);
  if (text.trim() !== "" && Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX) return weight;
  throw CliErrors.ARGUMENT_INVALID(`"${text}" is not a weight. Give a whole number from 0 to ${WEIGHT_MAX}.`);
}
