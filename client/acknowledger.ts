/**
 * Says which config is applied, or why it could not be: until the control plane has heard it, and again before that is
 * forgotten there. What was said before is not worth repeating once there is something newer.
 */
import { fullJitter, messageOf, Trigger, type Host } from "#base";
import type { Acknowledge } from "#config-server/api";

/** Milliseconds after which it is said again; without a session it is kept for an hour. */
const REPEAT_MS = 1_200_000;
const RETRY = { baseMs: 100, capMs: 30_000 };

export type Said = Pick<Acknowledge, "releaseKey" | "outcome" | "error">;

/** `send` once fails and is asked again. Nothing is said any more once the signal aborts. */
export function acknowledger(
  host: Host,
  send: (said: Said, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): (said: Said) => void {
  const wake = new Trigger();
  let latest: Said | undefined;
  const run = async () => {
    let failures = 0;
    for (;;) {
      await wake.wait(signal);
      if (signal.aborted || !latest) return;
      let againMs = REPEAT_MS;
      try {
        await send(latest, signal);
        failures = 0;
      } catch (error) {
        againMs = fullJitter(host.random, failures++, RETRY);
        host.log.debug({ err: error, ...latest }, `not acknowledged: ${messageOf(error)}`);
      }
      // Something newer wakes it before that.
      const cancel = host.clock.after(againMs, () => wake.fire());
      signal.addEventListener("abort", cancel, { once: true });
    }
  };
  return (said) => {
    const first = latest === undefined;
    latest = said;
    wake.fire();
    if (first) void run();
  };
}
