/** `posthouse services drain SERVICE ID`: takes an instance out of rotation, and waits until every subscriber has seen that. */
import type { Command } from "commander";
import { DRAIN_SECONDS, DRAIN_SECONDS_MAX } from "#registry/api";
import { withNamespace } from "../namespace.ts";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { secondsOption, withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import type { VerbContext } from "../verb.ts";

/** Seconds of one question to the server, so that progress is shown in between. */
const WAIT_SECONDS = 5;

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the services")
    .option(
      "--seconds <seconds>",
      "longest time of the drain; then the instance is stopped",
      secondsOption(DRAIN_SECONDS_MAX),
      DRAIN_SECONDS,
    )
    .option("--no-wait", "do not wait for the subscribers")
    .option("--undo", "put the instance back into rotation");
  withExamples(command, [
    "posthouse services drain orders orders-1",
    "posthouse services drain orders orders-1 --undo",
  ]);
  controlAction(command, context, async ({ client, args: [service = "", id = ""], options, terminal }) => {
    const name = { namespace: String(options["namespace"]), service, id };
    if (options["undo"] === true) {
      await client.registry.setLifecycle(name, { lifecycle: "serving" });
      return terminal.out(`${service}/${id} is serving\n`);
    }
    const seconds = Math.max(1, Math.round(options["seconds"] as number));
    await client.registry.setLifecycle(name, { lifecycle: "draining", deadlineSeconds: seconds });
    if (options["wait"] === false) return terminal.out(`${service}/${id} is draining\n`);
    using progress = startProgress(terminal, `waiting for every subscriber to see the drain of ${service}/${id}`);
    let left = seconds;
    for (;;) {
      const { seen, waitingFor } = await client.registry.drain(name, Math.min(left, WAIT_SECONDS));
      if (seen) return terminal.out(`${service}/${id} is draining; every subscriber has seen it\n`);
      left -= WAIT_SECONDS;
      progress.show(`${service}/${id} is not seen yet by: ${waitingFor.join(", ")}`);
      if (left <= 0) throw CliErrors.TIMEOUT(`Not seen within ${seconds} s by: ${waitingFor.join(", ")}.`);
    }
  });
}
