/** Sweeps regularly, each time with the result of the previous sweep: only entries that are unused in both are removed. */
import { AppError, messageOf, type Host } from "#base";

/** Milliseconds between two sweeps, and so the age of an unused entry before it is removed. */
const SWEEP_MS = 3_600_000;

/** Runs until the signal aborts. When the store does not answer, a sweep is skipped. */
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
