/** Folders and conditions: a folder that is gone afterwards, and waiting for something to become true. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TempFolder extends AsyncDisposable {
  readonly path: string;
}

export async function tempFolder(): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), "posthouse-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Milliseconds that a condition may take: far beyond what it takes on an idle machine, so that a busy one fails no test. */
export const EVENTUALLY_MS_MAX = 120_000;

/**
 * Asks again and again until the answer is neither undefined nor false. The limit is there for a hang alone: a test that
 * claims something about a time says so by `within`.
 */
export function eventually<T>(what: string, probe: () => Probed<T> | Promise<Probed<T>>): Promise<T> {
  return within(EVENTUALLY_MS_MAX, what, probe);
}

type Probed<T> = T | undefined | false;

/** Like `eventually`; fails with `what` after so many milliseconds, where the time itself is the claim. */
export async function within<T>(
  limitMs: number,
  what: string,
  probe: () => Probed<T> | Promise<Probed<T>>,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Aborts what hangs, long after it would have ended on a busy machine. */
export function hangSignal(): AbortSignal {
  return AbortSignal.timeout(EVENTUALLY_MS_MAX);
}
