/** Runs the program that decides whether a new file may replace the old one. */
import type { Host } from "#base";
import { AgentErrors, RELOAD_DEFAULTS, type FileCheck } from "./api.ts";
import { failureOf, programProbe } from "./reloader.ts";

export type FileChecker = (
  check: FileCheck,
  path: string,
  options: { temp: string; signal: AbortSignal },
) => Promise<void>;

/** Rejects with AGENT_CHECK_REFUSED unless the program exits with 0 in time; the error contains the start of its output. */
export function fileChecker(host: Host, execAllow: readonly string[]): FileChecker {
  const probe = programProbe(host, execAllow);
  return async ({ command, timeoutSeconds = RELOAD_DEFAULTS.timeoutSeconds }, path, { temp, signal }) => {
    const [program = "", ...args] = command.map((part, i) => (i === 0 ? part : part.replaceAll("{path}", temp)));
    const failure = await failureOf(probe, {
      target: { type: "exec", program, args },
      timeoutMs: timeoutSeconds * 1000,
      signal,
    });
    if (failure === undefined) return;
    throw AgentErrors.CHECK_REFUSED(`${path} stays as it is, because its check rejected the new content: ${failure}`, {
      extra: { path },
    });
  };
}
