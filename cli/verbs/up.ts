/** `posthouse up`: runs a server until a signal stops it. */
import type { Command } from "commander";
import { AppError } from "#base";
import { envOf, flagOf } from "#settings";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal, exit }: VerbContext): void {
  command
    .option("--workers <number>", `short form of ${flagOf("gatewayWorkers")}`)
    .option("--demo", "also run three small services, registered through the agent");
  withSettings(command);
  withExamples(command, [
    "posthouse up --demo",
    "posthouse up --port-base 9500                    all ports from 9500 on, when 8500 is in use",
    "posthouse up --roles gateway --control-urls http://127.0.0.1:8500",
  ]);
  command.addHelpText("after", `\nEvery setting is also an environment variable, such as ${envOf("port")}.`);
  command.action(async ({ workers, demo, ...options }: GivenOptions) => {
    const settings = readSettings({ gatewayWorkers: workers, ...options }, terminal);
    const { serve } = await import("../serve.ts");
    exit(await serve(settings, { demo: demo === true }).catch(failedStart));
    // All own resources are closed. A connection that a library still keeps must not delay the exit.
    setImmediate(() => process.exit());
  });
}

/** A start fails with 1 whatever the status on a wire would be. Wrong settings keep theirs. */
export function failedStart(error: unknown): never {
  if (!(error instanceof AppError) || error.status === 400) throw error;
  throw new AppError(error.code, { status: 500, title: error.title }, error.message, { cause: error });
}
