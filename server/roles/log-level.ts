/** Follows the log level that config sets. */
import { TaskGroup } from "#base";
import { followLogLevel } from "../log-level.ts";
import { isAlone, clientFor, type Parts } from "./parts.ts";

/** Last, so that nothing waits for it. */
export async function startLogLevel(parts: Parts): Promise<void> {
  const { host, stack } = parts;
  if (!host.logControl || isAlone(parts)) return;
  const { config } = clientFor(parts, "log level", "reader");
  const control = host.logControl;
  stack.use(new TaskGroup(host.log)).run("log level", (signal) => followLogLevel(host, { config, control, signal }));
}
