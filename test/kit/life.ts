/** The life of a process: what holds before a restart holds after it. */
import { expect } from "vitest";
import { restartByKill, restartBySigterm, type Posthouse } from "./process.ts";

/**
 * Checks that something holds now, after a stop by SIGTERM and a start, and after kill -9 and a start. Stops the last
 * process, which must end well. `holds` is called with the process that runs then; it must wait for what takes a moment.
 */
export async function outlivesRestarts(
  posthouse: Posthouse,
  holds: (running: Posthouse) => Promise<unknown>,
): Promise<void> {
  await holds(posthouse);
  await using stopped = await restartBySigterm(posthouse);
  await holds(stopped);
  await using killed = await restartByKill(stopped);
  await holds(killed);
  expect(await killed.stop()).toEqual({ code: 0, signal: null });
}
