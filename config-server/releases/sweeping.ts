/** Sweeps now and then, each time with what the sweep before saw: only what both of them see is nobody's any more. */
import { AppError, messageOf, type Host } from "#base";

/** Milliseconds between two sweeps. What was seen by the last one and is not used by now is nobody's any more. */
const SWEEP_MS = 3_600_000;

/** Until the signal aborts. A store that does not answer puts a sweep off to the next. */
export async function sweepRegularly<Seen>(
  host: Host,
  { what, none, sweep }: { what: string; none: Seen; sweep: (seen: Seen) => Promise<Seen> },
  signal: AbortSignal,
): Promise<void> {
  let seen = none;
  while (!signal.aborted) {
    await host.clock.sleep(SWEEP_MS, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      seen = await sweep(seen);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      host.log.debug({ code: error.code }, `${what} were not swept: ${messageOf(error)}`);
    }
  }
}
