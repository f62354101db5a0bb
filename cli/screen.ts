/** A live view on the alternate screen of a terminal: reads again and again, draws, and follows keys and the size of the window. */

/** Alternate screen without a cursor, on which long lines are cut; and back. */
const ENTER = "\u001B[?1049h\u001B[?25l\u001B[?7l";
const LEAVE = "\u001B[?7h\u001B[?25h\u001B[?1049l";
const HOME = "\u001B[H";
/** Clears the rest of a line, and everything below. */
const CLEAR_LINE = "\u001B[K";
const CLEAR_BELOW = "\u001B[J";

export interface ScreenView<Data, State extends { readonly columns: number; readonly lines: number }> {
  readonly read: () => Promise<Data>;
  readonly intervalMs: number;
  readonly begin: State;
  readonly draw: (data: Data, state: State) => readonly string[];
  /** The state after a key; undefined ends the view. */
  readonly onKey: (key: string, state: State, data: Data) => State | undefined;
  /** The last data with a failed refresh noted. */
  readonly onProblem: (data: Data, error: unknown) => Data;
}

/** Ends by a key or a signal. The first read fails as any command does. */
export async function runScreen<Data, State extends { readonly columns: number; readonly lines: number }>(
  view: ScreenView<Data, State>,
): Promise<void> {
  const { stdin, stdout } = process;
  let data = await view.read();
  let state: State = view.begin;
  const done = Promise.withResolvers<void>();
  const draw = () => {
    state = { ...state, columns: stdout.columns || 80, lines: stdout.rows || 24 };
    const lines = view.draw(data, state).map((line) => line + CLEAR_LINE);
    stdout.write(HOME + lines.join("\r\n") + CLEAR_BELOW);
  };
  const onInput = (chunk: Buffer) => {
    for (const key of keysIn(chunk.toString("utf8"))) {
      const next = view.onKey(key, state, data);
      if (next === undefined) return done.resolve();
      state = next;
    }
    draw();
  };
  const stop = () => done.resolve();
  let isReading = false;
  const refresh = async () => {
    if (isReading) return;
    isReading = true;
    data = await view.read().catch((error: unknown) => view.onProblem(data, error));
    isReading = false;
    draw();
  };
  const timer = setInterval(() => void refresh(), view.intervalMs);
  stdin.setRawMode(true);
  stdin.on("data", onInput);
  stdout.on("resize", draw);
  process.on("SIGTERM", stop);
  stdout.write(ENTER);
  try {
    draw();
    await done.promise;
  } finally {
    clearInterval(timer);
    stdin.off("data", onInput);
    stdin.setRawMode(false);
    stdin.pause();
    stdout.off("resize", draw);
    process.off("SIGTERM", stop);
    stdout.write(LEAVE);
  }
}

const ESCAPE = "\u001B";

/** A key is one character, or an escape sequence such as that of an arrow. Typed ahead, several arrive at once. */
function keysIn(text: string): string[] {
  const keys: string[] = [];
  for (let at = 0; at < text.length;) {
    const [sequence = ""] = text[at] === ESCAPE ? (/^\[[0-9;]*[A-Za-z~]/.exec(text.slice(at + 1)) ?? []) : [];
    const key = text[at] === ESCAPE ? ESCAPE + sequence : String.fromCodePoint(text.codePointAt(at) ?? 0);
    keys.push(key);
    at += key.length;
  }
  return keys;
}
