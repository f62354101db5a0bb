/** Waits until all who must know have seen that an instance of this host drains. */
import type { Clock } from "#base";
import type { Drain } from "#registry/api";
import type { ClaimName } from "./api.ts";
import type { ControlPlane } from "./caches.ts";

/** Seconds that one question after a drain is held at the server, and milliseconds between two that were not. */
const WAIT_SECONDS = 10;
const LOOK_MS = 100;

export type Drained = Pick<Drain, "seen" | "waitingFor">;

/**
 * How far it came when everyone has seen it, or when the signal aborted. `isTold`: whether the control plane has the claim as it is
 * stated here, and so knows of the drain.
 */
export async function drained(
  clock: Clock,
  registry: ControlPlane["registry"],
  { name, isTold, signal }: { name: ClaimName; isTold: () => boolean; signal: AbortSignal },
): Promise<Drained> {
  const untold: Drained = { seen: false, waitingFor: ["the control plane"] };
  let status = untold;
  while (!signal.aborted && !status.seen) {
    if (isTold()) {
      const asked = registry.drain(name, WAIT_SECONDS, { signal });
      const { lifecycle, seen, waitingFor } = await asked.catch(() => ({ ...status, lifecycle: "serving" }));
      status = { seen: seen && lifecycle !== "serving", waitingFor };
    } else status = untold;
    if (!status.seen) await clock.sleep(LOOK_MS, signal).catch(() => {});
  }
  return status;
}
