/** `posthouse lock NAME -- COMMAND`. */
import type { Command } from "commander";
import { runWithLock } from "../lock.ts";
import { controlSettings } from "../control-client.ts";
import { namespaceOf, withNamespace } from "../namespace.ts";
import { secondsOption, withControl, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface LockOptions extends Record<string, unknown> {
  readonly value?: string;
  readonly waitSeconds?: number;
  readonly delaySeconds?: number;
  readonly sessionSeconds: number;
  readonly graceSeconds: number;
}

export function define(command: Command, { terminal, exit }: VerbContext): void {
  const seconds = secondsOption();
  withNamespace(command, "the lock")
    .option("--value <text>", "value of the lock, which others can read, such as this host's name")
    .option("--wait-seconds <seconds>", "give up after this long, with exit code 75 (default: never)", seconds)
    .option(
      "--delay-seconds <seconds>",
      "how long the lock stays unavailable when this process vanishes (default 15)",
      seconds,
    )
    .option(
      "--session-seconds <seconds>",
      "time without a heartbeat after which this process counts as vanished",
      seconds,
      15,
    )
    .option("--grace-seconds <seconds>", "time from SIGTERM to SIGKILL once the lock is lost", seconds, 5);
  withControl(command);
  withExamples(command, ["posthouse lock nightly/backup -- ./backup.sh /data"]);
  command.addHelpText(
    "after",
    "\nThe command receives LOCK_NAME and LOCK_TOKEN. The exit code is that of the command, or 75 when the lock was lost or not " +
      "acquired in time.",
  );
  command.action(async (name: string, words: [string, ...string[]], options: LockOptions) => {
    const { value, waitSeconds, delaySeconds, sessionSeconds, graceSeconds } = options;
    const settings = await controlSettings(options, terminal);
    exit(
      await runWithLock(settings, {
        name,
        namespace: namespaceOf(command, settings.values.namespace),
        command: words,
        options: {
          sessionSeconds,
          ...(value === undefined ? {} : { value }),
          ...(delaySeconds === undefined ? {} : { lockDelaySeconds: delaySeconds }),
        },
        waitSeconds,
        graceSeconds,
      }),
    );
  });
}
