/** `posthouse config status SET`: which subscriber runs which release; with `--wait` until all of them run the live one. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { ControlCalls } from "#client/light";
import type { AcknowledgementList, SetName } from "#config-server/api";
import { CliErrors } from "../errors.ts";
import { defineListing } from "../listing.ts";
import { secondsOption, withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import { parseSetName, setText, withNamespaceOfSet } from "../set-name.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

/** Milliseconds between two questions of a wait. */
const ASK_MS = 500;

interface Given {
  readonly set: SetName;
  readonly waitSeconds: number | undefined;
}
interface Row {
  readonly subscriber: string;
  readonly state: string;
  readonly current: string;
  readonly connected: string;
  readonly since: string;
  readonly lateMs?: number | undefined;
  readonly error?: string | undefined;
}

export function define(command: Command, context: VerbContext): void {
  withNamespaceOfSet(command).option(
    "--wait <seconds>",
    "wait until every subscriber has applied the live config",
    secondsOption(86_400),
  );
  withExamples(command, ["posthouse config status orders/prod", "posthouse config status orders/prod --wait 60"]);
  defineListing<Row, Given>(command, context, {
    columns: [
      ["SUBSCRIBER", ({ subscriber }) => subscriber],
      ["STATE", ({ state }) => state],
      ["CURRENT", ({ current }) => current],
      ["CONNECTED", ({ connected }) => connected],
      ["SINCE", ({ since }) => since],
      ["LATE MS", ({ lateMs }) => lateMs],
      ["ERROR", ({ error }) => error],
    ],
    given: ([set = ""], { namespace, wait }, home) => ({
      set: parseSetName(set, namespace as string | undefined, home),
      waitSeconds: wait as number | undefined,
    }),
    before: (client, given) => waitForAll(client, context.terminal, given),
    rows: async (client, { set }) => rowsOf(await client.config.acknowledgements(set)),
    empty: "no subscriber follows this set",
  });
}

function rowsOf({ subscribers, silent }: AcknowledgementList): Row[] {
  const yes = (is: boolean) => (is ? "yes" : "no");
  return [
    ...subscribers.map(({ subscriber, outcome, current, present, at, lateMs, error }) => ({
      subscriber,
      state: outcome,
      current: yes(current),
      connected: yes(present),
      since: at,
      lateMs,
      error,
    })),
    ...silent.map(({ subscriber, since }) => ({ subscriber, state: "silent", current: "no", connected: "yes", since })),
  ];
}

/** @throws CLI_TIMEOUT with the missing subscribers */
async function waitForAll(client: ControlCalls, terminal: Terminal, { set, waitSeconds }: Given): Promise<void> {
  if (waitSeconds === undefined) return;
  const until = performance.now() + waitSeconds * 1000;
  using progress = startProgress(terminal, `waiting for the subscribers of ${setText(set)}`);
  for (;;) {
    const rows = rowsOf(await client.config.acknowledgements(set)).filter(({ connected }) => connected === "yes");
    const missing = rows.filter(({ state, current }) => state !== "applied" || current !== "yes");
    if (missing.length === 0) return;
    const names = missing.map(({ subscriber, state }) => `${subscriber} (${state})`).join(", ");
    progress.show(`${rows.length - missing.length} of ${rows.length} subscribers have applied it; missing: ${names}`);
    if (performance.now() > until) {
      throw CliErrors.TIMEOUT(`Not applied within ${waitSeconds} s by ${names}.`);
    }
    await sleep(ASK_MS);
  }
}
