/** Plans a release with one changed key: the server checks it, and the difference is shown. Nothing is released. */
import { AppError } from "#base";
import type { ControlCalls } from "#client/light";
import type { FileProblem, SetName } from "#config-server/api";
import { showDifference, showProblem } from "./config-report.ts";
import { setText } from "./set-name.ts";
import type { Terminal } from "./terminal.ts";

interface Planned {
  readonly client: ControlCalls;
  readonly terminal: Terminal;
  readonly set: SetName;
}

/** @throws CONFIG_IMPORT_INVALID after the problems were written */
export async function planKey({ client, terminal, set }: Planned, key: string, bytes: Uint8Array): Promise<void> {
  const { zipSync } = await import("fflate");
  const zip = zipSync({ [key]: bytes });
  try {
    const { sets } = await client.config.importZip(zip, { mode: "dry-run", keep: true, ...set });
    const differences = sets.flatMap((one) => one.differences ?? []);
    for (const difference of differences) showDifference(terminal, difference);
    terminal.err(
      `${setText(set)}: ${differences.length === 0 ? "valid, and equal to the live value" : "valid; nothing is released"}\n`,
    );
  } catch (error) {
    const { problems = [] } = (error instanceof AppError ? error.extra : {}) as { problems?: readonly FileProblem[] };
    for (const problem of problems) showProblem(terminal, problem);
    throw error;
  }
}
