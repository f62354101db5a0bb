/** Follows a rollout until it ends or is paused. */
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "#base";
import type { ControlCalls } from "#client/light";
import type { RolloutView, SetName } from "#config-server/api";
import { EXIT } from "./exit-codes.ts";
import { startProgress } from "./progress.ts";
import { setText } from "./set-name.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds between two questions. */
const ASK_MS = 500;

/** @returns 0 once it is live for every instance, 1 when it is rolled back, paused or superseded */
export async function followRollout(
  client: ControlCalls,
  terminal: Terminal,
  set: SetName,
  version: number,
): Promise<number> {
  using progress = startProgress(terminal, `rolling out ${setText(set)}@${version}`);
  for (;;) {
    const view = await viewOf(client, set, version);
    if (view === undefined || view.state === "running") {
      if (view) progress.show(lineOf(view));
      await sleep(ASK_MS);
      continue;
    }
    progress[Symbol.dispose]();
    const because = view.because === undefined ? "" : `: ${view.because}`;
    terminal.out(`the rollout of ${setText(set)}@${version} is ${view.state}${because}\n`);
    for (const { instance, error } of view.failures) terminal.err(`${instance}: ${error}\n`);
    return view.state === "completed" ? EXIT.done : EXIT.failed;
  }
}

/** The running rollout, or the record of the one that ended. */
async function viewOf(client: ControlCalls, set: SetName, version: number): Promise<RolloutView | undefined> {
  try {
    const view = await client.config.rollout(set);
    if (view.version === version) return view;
  } catch (error) {
    if (!(error instanceof AppError && error.code === "CONFIG_ROLLOUT_NOT_FOUND")) throw error;
  }
  return (await client.config.rollouts(set)).rollouts.find((one) => one.version === version);
}

function lineOf({ stage, stages, waitsFor, ...name }: RolloutView): string {
  const { reached, applied } = stages[stage] ?? {};
  const counts = reached === undefined ? "" : `, ${applied ?? 0} of ${reached} instances have applied it`;
  return `${setText(name)}@${name.version}: stage ${stage + 1} of ${stages.length}${counts}${waitsFor === undefined ? "" : `; waits for ${waitsFor}`}`;
}
