/** Waits until every subscriber of the registry has seen that an instance of this host drains. */
import type { Clock } from "#base";
import type { Drain } from "#registry/api";
import type { ClaimName } from "./api.ts";
import type { ControlPlane } from "./caches.ts";

/** Seconds that the server may hold one request for the state of a drain, and milliseconds between two requests. */
const WAIT_SECONDS = 10;
const LOOK_MS = 100;

export type Drained = Pick<Drain, "seen" | "waitingFor">;

/**
 * The state of the drain once every subscriber has seen it, or when the signal aborts. `isSynced`: whether the control plane has
 * the claim as this host states it, and so knows of the drain.
 */
export async function drained(
  clock: Clock,
  registry: ControlPlane["registry"],
  { name, isSynced, signal }: { name: ClaimName; isSynced: () => boolean; signal: AbortSignal },
): Promise<Drained> {
  const notSynced: Drained = { seen: false, waitingFor: ["the control plane"] };
  let status = notSynced;
  while (!signal.aborted && !status.seen) {
    if (isSynced()) {
      const asked = registry.drain(name, WAIT_SECONDS, { signal });
      const { lifecycle, seen, waitingFor } = await asked.catch(() => ({ ...status, lifecycle: "serving" }));
      status = { seen: seen && lifecycle !== "serving", waitingFor };
    } else status = notSynced;
    if (!status.seen) await clock.sleep(LOOK_MS, signal).catch(() => {});
  }
  return status;
}
