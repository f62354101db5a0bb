/** `posthouse config watch SET`: one line per change of the effective config. */
import { own } from "#base";
import type { Command } from "commander";
import type { EffectiveConfig } from "#config-server/api";
import { setAction } from "../config-verb.ts";
import { eventWriter, withEventOutput } from "../event-lines.ts";
import { withExamples } from "../options.ts";
import { exitOfStop } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

interface ConfigEvent {
  readonly time: string;
  readonly revision: number;
  readonly releaseKey: string;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** `PROFILE@VERSION` of the releases that it consists of. */
  readonly from: readonly string[];
}

export function define(command: Command, context: VerbContext): void {
  withEventOutput(command);
  withExamples(command, ["posthouse config watch orders/prod", "posthouse config watch orders/prod -o ndjson"]);
  setAction(command, context, async ({ client, set, options, terminal }) => {
    const signal = terminal.stopSignal();
    const write = eventWriter<ConfigEvent>(terminal, options, [
      ["TIME", ({ time }) => time, 24],
      ["REVISION", ({ revision }) => revision, 8],
      ["FROM", ({ from }) => from.join(","), 16],
      ["ADDED", ({ added }) => added.join(","), 16],
      ["CHANGED", ({ changed }) => changed.join(","), 16],
      ["REMOVED", ({ removed }) => removed.join(","), 16],
    ]);
    let before: EffectiveConfig | undefined;
    for await (const frame of client.config.watch(set, { signal })) {
      if (frame.event !== "snapshot" && frame.event !== "delta") continue;
      const config = frame.data;
      if (!config || config.releaseKey === before?.releaseKey) continue;
      write(eventOf(config, before));
      before = config;
    }
    context.exit(exitOfStop(signal));
  });
}

function eventOf(config: EffectiveConfig, before: EffectiveConfig | undefined): ConfigEvent {
  const { items, revision, releaseKey } = config;
  const known = before?.items ?? {};
  const keys = Object.keys(items);
  const differs = (key: string) => JSON.stringify(own(known, key)) !== JSON.stringify(own(items, key));
  return {
    time: new Date().toISOString(),
    revision,
    releaseKey,
    added: keys.filter((key) => !Object.hasOwn(known, key)),
    changed: keys.filter((key) => Object.hasOwn(known, key) && differs(key)),
    removed: Object.keys(known).filter((key) => !Object.hasOwn(items, key)),
    from: [...new Set(Object.values(items).map(({ origin }) => `${origin.profile}@${origin.version}`))],
  };
}
