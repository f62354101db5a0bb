/** A child command: it has its own process group, and an exit code like that of a shell. */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";

/** Signals that are forwarded to the command. */
export const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
export type ForwardedSignal = (typeof FORWARDED)[number];
/** Signals that end a wait while no command is running, and prevent a restart of the command. */
export const ENDING: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

/** Exit codes: the command does not exist, cannot be executed, or 128 plus the number of the signal that ended it. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_SIGNAL = 128;

/** The exit code of a process that a signal ended. */
export function exitBy(signal: NodeJS.Signals): number {
  return EXIT_SIGNAL + constants.signals[signal];
}

export function exitOf(child: ChildProcess, file: string): Promise<number> {
  return new Promise((resolve) => {
    child.on("error", (error: NodeJS.ErrnoException) => {
      say(`${file} cannot be run: ${error.message}`);
      resolve(error.code === "ENOENT" ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
    });
    child.on("exit", (code, signal) => resolve(signal ? exitBy(signal) : (code ?? 0)));
  });
}

export function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // The group has already ended.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Writes a line to standard error, marked as posthouse's. */
export function say(line: string): void {
  process.stderr.write(`posthouse: ${line}\n`);
}
