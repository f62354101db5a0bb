/** `posthouse config rollout start SET KEY [FILE]`: releases a key stage by stage. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { RolloutRequest } from "#config-server/api";
import { REASON, setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { itemOf, releaseChanged } from "../live-set.ts";
import { casOption, givenOnly, secondsOption, withExamples } from "../options.ts";
import { followRollout } from "../rollout-progress.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

interface StartOptions {
  readonly percent?: number[];
  readonly instances?: string[];
  readonly labels?: Record<string, string>;
  readonly holdSeconds?: number;
  readonly ackTimeoutSeconds?: number;
  readonly onFailure?: "rollback" | "pause";
  readonly service?: string;
  readonly reason?: string;
  readonly cas?: number;
  readonly wait?: boolean;
}

export function define(command: Command, context: VerbContext): void {
  const seconds = secondsOption();
  command
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
    .option("--service <name>", "service whose health counts (default: the app's name)")
    .option("--cas <version>", "only if this is the live version of the set", casOption)
    .option("--wait", "wait for the end; exit code 1 when it is rolled back")
    .option(...REASON);
  withExamples(command, [
    "posthouse config rollout start orders/prod app.yaml app.yaml --percent 10,50 --hold-seconds 60 --wait",
  ]);
  setAction(command, context, async ({ client, set, args: [key = "", file], options, terminal }) => {
    const given = options as StartOptions;
    const { cas, reason } = given;
    const items = { [key]: await itemOf(key, await readInput(terminal, file)) };
    const change = { items, cas, rollout: requestOf(given), ...givenOnly({ reason }) };
    const { version } = await releaseChanged(client, set, change);
    terminal.out(`the rollout of ${setText(set)}@${version} has started\n`);
    if (given.wait) context.exit(await followRollout(client, terminal, set, version));
  });
}

function requestOf(options: StartOptions): RolloutRequest {
  const { percent = [], instances, labels, holdSeconds, ackTimeoutSeconds, onFailure, service } = options;
  const gate = givenOnly({ holdSeconds, ackTimeoutSeconds });
  const stages: RolloutRequest["stages"] = [
    ...(instances === undefined ? [] : [{ instances, ...gate }]),
    ...(labels === undefined ? [] : [{ labels, ...gate }]),
    ...percent.map((share) => ({ percent: share, ...gate })),
  ];
  if (stages.length === 0) {
    throw CliErrors.ARGUMENT_INVALID("A rollout needs a stage. Give --percent 10,50, --instances or --labels.");
  }
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
