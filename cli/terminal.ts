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
  /** Columns of standard output, where it is a terminal. */
  readonly columns?: number | undefined;
  /** Whether standard error is a terminal, on which a line of progress can be replaced. */
  readonly isErrorInteractive: boolean;
  /** Whether standard input is a terminal, at which a person can answer. */
  readonly isInputInteractive: boolean;
  /** Aborts with an Interruption when the command should end, such as by Ctrl-C during a watch. */
  stopSignal(): AbortSignal;
}

/** Why a command ends before its work is done, as its exit code: 128 plus the signal, or 0 when its reader has enough. */
export class Interruption extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super("interrupted");
    this.exitCode = exitCode;
  }
}

/** The exit code for a signal of `stopSignal` that has aborted. */
export function exitOfStop({ reason }: AbortSignal): number {
  return reason instanceof Interruption ? reason.exitCode : 0;
}

/** Whether output is colored: on a terminal, unless NO_COLOR (no-color.org) is set. */
export function hasColor({ isInteractive, environment }: Terminal): boolean {
  return isInteractive && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    input: () => buffer(process.stdin),
    environment: process.env,
    isInteractive: process.stdout.isTTY,
    get columns() {
      return process.stdout.columns || undefined;
    },
    isErrorInteractive: process.stderr.isTTY,
    isInputInteractive: process.stdin.isTTY,
    stopSignal() {
      const stop = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.once(signal, () => stop.abort(new Interruption(EXIT_CODES[signal])));
      }
      // A reader such as `head` closes the pipe when it has enough.
      process.stdout.on("error", () => stop.abort(new Interruption(0)));
      return stop.signal;
    },
  };
}
