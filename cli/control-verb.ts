/** The one way from a verb to the control plane: its options, its arguments, the calls and the output. */
import type { Command } from "commander";
import type { ControlCalls } from "#client/light";
import { controlSettings, withControlCalls } from "./control-client.ts";
import { namespaceOf } from "./namespace.ts";
import { type GivenOptions, withControl } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import type { VerbContext } from "./verb.ts";

export interface ControlCall {
  readonly client: ControlCalls;
  readonly args: readonly (string | undefined)[];
  readonly options: GivenOptions;
  readonly terminal: Terminal;
}

/**
 * Adds the options that name the control plane, and the action. `before` checks arguments without a call; `home` is the namespace of a
 * command line without one.
 */
export function controlAction<Checked = undefined>(
  command: Command,
  { terminal }: VerbContext,
  act: (call: ControlCall, checked: Checked) => Promise<void>,
  before: (args: ControlCall["args"], options: GivenOptions, home: string) => Checked | Promise<Checked> = () =>
    undefined as Checked,
): void {
  withControl(command);
  command.action(async (...all: unknown[]) => {
    const given = command.opts<GivenOptions>();
    const args = all.slice(0, command.registeredArguments.length) as (string | undefined)[];
    const settings = await controlSettings(given, terminal);
    const home = settings.values.namespace;
    const options = "namespace" in given ? { ...given, namespace: namespaceOf(command, home) } : given;
    const checked = await before(args, options, home);
    await withControlCalls(settings, (client) => act({ client, args, options, terminal }, checked));
  });
}
