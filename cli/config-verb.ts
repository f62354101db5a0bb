/** The parts that verbs about config share: the set, the reason of a change, and the call. */
import type { Command } from "commander";
import type { Client } from "#client";
import type { SetName } from "#config-server/api";
import { withControlClient } from "./control-client.ts";
import { CONTROL_SETTINGS, type GivenOptions, readSettings, withSettings } from "./options.ts";
import { parseSetName, withNamespaceOfSet } from "./set-name.ts";
import type { VerbContext } from "./verb.ts";

export const EMERGENCY = [
  "--emergency",
  "release although a review is required or a source owns the set; needs --reason",
] as const;
export const REASON = ["--reason <text>", "reason of the release, shown in the history"] as const;

/** Adds the settings, and an action that receives the client, the arguments and the options. */
export function configAction(
  command: Command,
  { terminal }: VerbContext,
  act: (call: { client: Client; args: readonly (string | undefined)[]; options: GivenOptions }) => Promise<void>,
): void {
  withSettings(command, CONTROL_SETTINGS);
  command.action(async (...all: unknown[]) => {
    const options = command.opts<GivenOptions>();
    const args = all.slice(0, command.registeredArguments.length) as (string | undefined)[];
    await withControlClient(readSettings(options, terminal), (client) => act({ client, args, options }));
  });
}

/** Like `configAction`, for a verb whose first argument is a set. The name is checked before any call. */
export function setAction(
  command: Command,
  context: VerbContext,
  act: (call: {
    client: Client;
    set: SetName;
    args: readonly (string | undefined)[];
    options: GivenOptions;
  }) => Promise<void>,
): void {
  withSettings(withNamespaceOfSet(command), CONTROL_SETTINGS);
  command.action(async (...all: unknown[]) => {
    const options = command.opts<GivenOptions>();
    const [text, ...args] = all.slice(0, command.registeredArguments.length) as [string, ...(string | undefined)[]];
    const set = parseSetName(text, options["namespace"] as string | undefined);
    await withControlClient(readSettings(options, context.terminal), (client) => act({ client, set, args, options }));
  });
}

export function reasonOf({ reason, emergency }: GivenOptions): { reason?: string; emergency?: true } {
  return {
    ...(typeof reason === "string" ? { reason } : {}),
    ...(emergency === true ? { emergency: true } : {}),
  };
}
