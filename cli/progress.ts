/** Progress of long work, on standard error: a line that replaces itself on a terminal, and plain lines elsewhere. */
import type { Terminal } from "./terminal.ts";

/** Milliseconds between two pictures of the spinner, and before anything is shown: short work needs no progress. */
const SPIN_MS = 120;
const QUIET_MS = { terminal: 250, lines: 1_000 } as const;
const PICTURES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/** Moves to the begin of the line and clears it. */
const CLEAR_LINE = "\r\u001B[K";

export interface Progress extends Disposable {
  /** Replaces the text, such as the current step. */
  show(text: string): void;
}

/** Disposing it removes the line of a terminal. Lines elsewhere stay; each text is written once. */
export function startProgress(terminal: Terminal, text: string): Progress {
  return terminal.isErrorInteractive ? spinner(terminal, text) : lines(terminal, text);
}

function spinner(terminal: Terminal, text: string): Progress {
  let shown = text;
  let turn = 0;
  const begun = performance.now();
  const timer = setInterval(() => {
    const ms = performance.now() - begun;
    if (ms < QUIET_MS.terminal) return;
    const picture = PICTURES[turn++ % PICTURES.length];
    terminal.err(`${CLEAR_LINE}${picture} ${shown}${ms >= 2_000 ? ` (${Math.floor(ms / 1000)} s)` : ""}`);
  }, SPIN_MS);
  timer.unref();
  return {
    show: (next) => void (shown = next),
    [Symbol.dispose]() {
      clearInterval(timer);
      if (turn > 0) terminal.err(CLEAR_LINE);
      turn = 0;
    },
  };
}

function lines(terminal: Terminal, text: string): Progress {
  let last = text;
  let isQuiet = true;
  const timer = setTimeout(() => {
    isQuiet = false;
    terminal.err(`${last}\n`);
  }, QUIET_MS.lines);
  timer.unref();
  return {
    show(next) {
      if (next === last) return;
      last = next;
      if (!isQuiet) terminal.err(`${next}\n`);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
