/** The options of `posthouse exec` and `agent exec`. */
import type { SetName } from "#config-server/api";
import type { NamedVariable } from "./environment.ts";

export interface ExecCommand {
  readonly sets: readonly SetName[];
  readonly prefix: string;
  readonly variables: readonly NamedVariable[];
  readonly command: readonly [string, ...string[]];
  readonly onChange: "restart" | "signal" | "none";
  /** The signal that `onChange: "signal"` sends. */
  readonly signal: NodeJS.Signals;
  /** A change takes effect once nothing has changed for this long, and after the maximum at the latest. */
  readonly quietSeconds: number;
  readonly quietSecondsMax: number;
  /** A change then waits for a random part of this, so that hosts do not restart all at once. */
  readonly splaySeconds: number;
  /** Seconds from SIGTERM to SIGKILL. */
  readonly graceSeconds: number;
  /** Seconds that the first config may take; absent: unlimited, unless the token may not read it. */
  readonly wait?: number;
  /** Name that acknowledges the releases; absent: that of the host and the command. */
  readonly subscriber?: string;
}
