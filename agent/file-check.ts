/** Asks a program whether a new file may take the place of the old one. */
import type { Host } from "#base";
import { AgentErrors, RELOAD_DEFAULTS, type FileCheck } from "./api.ts";
import { ask, programProbe } from "./reloader.ts";

export type FileChecker = (
  check: FileCheck,
  path: string,
  options: { temp: string; signal: AbortSignal },
) => Promise<void>;

/** Rejects with AGENT_CHECK_REFUSED unless the program ends with 0 in its time; the error has the start of what it said. */
export function fileChecker(host: Host, execAllow: readonly string[]): FileChecker {
  const probe = programProbe(host, execAllow);
  return async ({ command, timeoutSeconds = RELOAD_DEFAULTS.timeoutSeconds }, path, { temp, signal }) => {
    const [program = "", ...args] = command.map((part, i) => (i === 0 ? part : part.replaceAll("{path}", temp)));
    const failure = await ask(probe, {
      target: { type: "exec", program, args },
      timeoutMs: timeoutSeconds * 1000,
      signal,
    });
    if (failure === undefined) return;
    throw AgentErrors.CHECK_REFUSED(`${path} stays as it is, its check refused the new one: ${failure}`, {
      extra: { path },
    });
  };
}
