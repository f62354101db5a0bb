/** Runs commands in this process, and keeps what they print. */
import type { AddressInfo } from "node:net";
import { type TestControl, withControl } from "#test/kit";
import { EXIT } from "../../cli/exit-codes.ts";
import { runCli } from "../../cli/program.ts";
import { Interruption } from "../../cli/terminal.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Whether standard output is a terminal. */
  readonly isInteractive?: boolean;
  /** Told all output so far at each write; true ends the command as Ctrl-C does. */
  readonly until?: (out: string) => boolean;
}

export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  let out = "";
  let err = "";
  const stop = new AbortController();
  const { code } = await runCli(args, {
    out(text) {
      out += text;
      if (options.until?.(out)) stop.abort(new Interruption(EXIT.interrupted));
    },
    err: (text) => void (err += text),
    input: async () => Buffer.from(options.input ?? ""),
    environment: options.environment ?? {},
    isInteractive: options.isInteractive ?? false,
    isErrorInteractive: false,
    isInputInteractive: false,
    stopSignal: () => stop.signal,
  });
  return { code, out, err };
}

export interface ListeningControl extends TestControl {
  readonly url: string;
  /** A command against this control plane, as its operator. */
  posthouse(line: string, options?: RunOptions): Promise<Ran>;
}

/** A control plane with a socket, and commands that find it. */
export async function withListeningControl(...options: Parameters<typeof withControl>): Promise<ListeningControl> {
  const control = await withControl(...options);
  await control.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = control.app.server.address() as AddressInfo;
  const environment = {
    POSTHOUSE_CONTROL_URLS: `http://127.0.0.1:${port}`,
    POSTHOUSE_TOKEN: control.token,
  };
  return {
    ...control,
    url: environment.POSTHOUSE_CONTROL_URLS,
    posthouse: (line, given = {}) =>
      run(line.split(" "), { ...given, environment: { ...environment, ...given.environment } }),
  };
}
