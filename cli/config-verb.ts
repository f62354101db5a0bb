/** The parts that verbs about config share: the set, the reason of a change, and the call. */
import type { Command } from "commander";
import type { SetName } from "#config-server/api";
import { controlAction, type ControlCall } from "./control-verb.ts";
import type { GivenOptions } from "./options.ts";
import { parseSetName, withNamespaceOfSet } from "./set-name.ts";
import type { VerbContext } from "./verb.ts";

export const EMERGENCY = [
  "--emergency",
  "release although a review is required or a source owns the set; needs --reason",
] as const;
export const REASON = ["--reason <text>", "reason of the release, shown in the history"] as const;

/** An action whose first argument is a set. The name is checked before any call. */
export function setAction(
  command: Command,
  context: VerbContext,
  act: (call: ControlCall & { readonly set: SetName }) => Promise<void>,
): void {
  controlAction<SetName>(
    withNamespaceOfSet(command),
    context,
    ({ args: [, ...args], ...call }, set) => act({ ...call, args, set }),
    ([text = ""], { namespace }, home) => parseSetName(text, namespace as string | undefined, home),
  );
}

export function reasonOf({ reason, emergency }: GivenOptions): { reason?: string; emergency?: true } {
  return {
    ...(typeof reason === "string" ? { reason } : {}),
    ...(emergency === true ? { emergency: true } : {}),
  };
}
