/** A command that is run for somebody: a process group of its own, and an exit code as shells say it. */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";

/** Handed on to the command. */
export const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
export type Forwarded = (typeof FORWARDED)[number];

/** A command that is not there, or may not be run, and 128 with the number of a signal. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_SIGNAL = 128;

/** The exit code of whatever a signal ended. */
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
    // It has ended by itself.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** On standard error, apart from what the command says. */
export function say(line: string): void {
  process.stderr.write(`posthouse: ${line}\n`);
}
