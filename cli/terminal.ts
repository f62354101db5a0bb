/** The input and output of a command. A parameter, so that tests can run commands in their own process. */
import { buffer } from "node:stream/consumers";

export interface Terminal {
  /** Writes to standard output: the requested result, and nothing else. */
  out(text: string): void;
  /** Writes to standard error: everything else. */
  err(text: string): void;
  /** Reads all of standard input. */
  input(): Promise<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether standard output is a terminal. */
  readonly isInteractive: boolean;
  /** Aborts when the command should end, such as by Ctrl-C during a watch. */
  stopSignal(): AbortSignal;
}

export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    input: () => buffer(process.stdin),
    environment: process.env,
    isInteractive: process.stdout.isTTY,
    stopSignal() {
      const stop = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
      // A reader such as `head` closes the pipe when it has enough.
      process.stdout.on("error", () => stop.abort());
      return stop.signal;
    },
  };
}
