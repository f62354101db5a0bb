/** The options that describe a gradual release: its stages, and when one passes. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { RolloutRequest } from "#config-server/api";
import { givenOnly, secondsOption } from "./options.ts";

interface RolloutOptions {
  readonly percent?: number[];
  readonly instances?: string[];
  readonly labels?: Record<string, string>;
  readonly holdSeconds?: number;
  readonly ackTimeoutSeconds?: number;
  readonly onFailure?: "rollback" | "pause";
  readonly service?: string;
}

export function withRolloutOptions(command: Command): Command {
  const seconds = secondsOption();
  return command
    .option("--percent <shares>", "stages by share of the instances, such as 10,50", percents)
    .option("--instances <ids...>", "a first stage of these instances")
    .option(
      "--labels <name=value>",
      "a first stage of the instances with these labels, such as zone=eu,canary=yes",
      labels,
    )
    .option("--hold-seconds <seconds>", "time between the last acknowledgement and the next stage", seconds)
    .option("--ack-timeout-seconds <seconds>", "time that acknowledgements may be missing", seconds)
    .addOption(new Option("--on-failure <what>", "reaction to a failure").choices(["rollback", "pause"]))
    .option("--service <name>", "service whose health counts (default: the app's name)");
}

/** undefined: no stage is given, so every instance receives the release at once. */
export function rolloutRequestOf(options: RolloutOptions): RolloutRequest | undefined {
  const { percent = [], instances, labels, holdSeconds, ackTimeoutSeconds, onFailure, service } = options;
  const gate = givenOnly({ holdSeconds, ackTimeoutSeconds });
  const stages: RolloutRequest["stages"] = [
    ...(instances === undefined ? [] : [{ instances, ...gate }]),
    ...(labels === undefined ? [] : [{ labels, ...gate }]),
    ...percent.map((share) => ({ percent: share, ...gate })),
  ];
  if (stages.length === 0) return undefined;
  return {
    stages,
    everybody: gate,
    ...givenOnly({ onFailure }),
    ...(service === undefined ? {} : { health: { service } }),
  };
}

function percents(text: string): number[] {
  const shares = text.split(",").map(Number);
  if (shares.every((share) => share > 0 && share <= 100)) return shares;
  throw new InvalidArgumentError("It must be shares above 0 and up to 100, such as 10,50.");
}

function labels(text: string): Record<string, string> {
  const pairs = text.split(",").map((pair) => pair.split("=", 2));
  if (pairs.every(([name, value]) => name && value)) return Object.fromEntries(pairs) as Record<string, string>;
  throw new InvalidArgumentError("It must be NAME=VALUE, such as zone=eu,canary=yes.");
}
