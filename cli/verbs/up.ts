/** `posthouse up`: runs a server until it is asked to stop. */
import type { Command } from "commander";
import { envOf, flagOf } from "#settings";
import { type GivenOptions, readSettings, withExamples, withSettings } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal, exit }: VerbContext): void {
  command
    .option("--workers <number>", `short for ${flagOf("gatewayWorkers")}`)
    .option("--demo", "also run three small services, registered through the agent");
  withSettings(command);
  withExamples(command, [
    "posthouse up --demo",
    "posthouse up --port-base 9500                    every port from 9500 on, where 8500 is taken",
    "posthouse up --roles gateway --control-urls http://127.0.0.1:8500",
  ]);
  command.addHelpText("after", `\nEvery setting is also an environment variable, such as ${envOf("port")}.`);
  command.action(async ({ workers, demo, ...options }: GivenOptions) => {
    const settings = readSettings({ gatewayWorkers: workers, ...options }, terminal);
    const { serve } = await import("../serve.ts");
    exit(await serve(settings, { demo: demo === true }));
    // All that is ours is closed. A connection that a library still keeps must not delay the end.
    setImmediate(() => process.exit());
  });
}
