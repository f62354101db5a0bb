/** Follows the log levels in the config. */
import { TaskGroup } from "#base";
import { followLogLevel } from "../log-level.ts";
import { isAlone, clientFor, type Parts } from "./parts.ts";

/** Starts last, because no other part waits for it. */
export async function startLogLevel(parts: Parts): Promise<void> {
  const { host, stack } = parts;
  if (!host.logControl || isAlone(parts)) return;
  const { config } = clientFor(parts, "log level", ["viewer"]);
  const control = host.logControl;
  stack.use(new TaskGroup(host.log)).run("log level", (signal) => followLogLevel(host, { config, control, signal }));
}
