/** What a command reads and writes. It is handed in, so that a test runs commands in its own process. */
import { buffer } from "node:stream/consumers";

export interface Terminal {
  /** Standard output: what was asked for, and nothing else. */
  out(text: string): void;
  /** Standard error: everything else. */
  err(text: string): void;
  /** All of standard input. */
  input(): Promise<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether a person looks at standard output. */
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
      // A reader that closes the pipe, such as `head`, wants no more.
      process.stdout.on("error", () => stop.abort());
      return stop.signal;
    },
  };
}
