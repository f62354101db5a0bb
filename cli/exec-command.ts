/** What `posthouse exec` and `agent exec` are asked to run. */
import type { SetName } from "#config-server/api";
import type { NamedVariable } from "./environment.ts";

export interface ExecCommand {
  readonly sets: readonly SetName[];
  readonly prefix: string;
  readonly variables: readonly NamedVariable[];
  readonly command: readonly [string, ...string[]];
  readonly onChange: "restart" | "signal" | "none";
  /** What `onChange: "signal"` sends. */
  readonly signal: NodeJS.Signals;
  /** A change is acted on once nothing has changed for so long, and after so long at the most. */
  readonly quietSeconds: number;
  readonly quietSecondsMax: number;
  /** And then after a random part of this, so that not all hosts restart at once. */
  readonly splaySeconds: number;
  /** Between asking a command to end and ending it. */
  readonly graceSeconds: number;
  /** Seconds that the first config may take; absent: as long as it takes, unless this token may not read it. */
  readonly wait?: number;
  /** Under which name releases are acknowledged; absent: the host's and the command's. */
  readonly subscriber?: string;
}
