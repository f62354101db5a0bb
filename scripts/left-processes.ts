/** Finds processes that a test run left behind. Every process that it started inherited the run's mark in its environment. */
import { readdirSync, readFileSync } from "node:fs";

/** Does not begin with `POSTHOUSE_`, because unknown settings are rejected. */
export const TEST_RUN_VARIABLE = "TEST_RUN_OF_POSTHOUSE";
/** The run's folder, for what its files share. Absent when a file is run alone. */
export const TEST_RUN_FOLDER_VARIABLE = "TEST_RUN_FOLDER_OF_POSTHOUSE";

export interface LeftProcess {
  readonly pid: number;
  readonly command: string;
}

/** Reads /proc, so it finds nothing on systems without one. `mark`: the run's value of the variable. */
export function leftProcesses(mark: string): LeftProcess[] {
  const wanted = `${TEST_RUN_VARIABLE}=${mark}`;
  const found: LeftProcess[] = [];
  for (const name of namesIn("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(wanted)) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // A zombie has no command line, and disappears when its parent reaps it.
      if (command !== "") found.push({ pid, command });
    } catch {
      // The process has ended, or belongs to another user.
    }
  }
  return found;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
