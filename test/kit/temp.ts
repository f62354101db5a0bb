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

/** Milliseconds between two questions: short at first, and longer the longer it takes, since most questions are calls. */
const PAUSE_MS = { min: 10, max: 50 } as const;

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
  const begunMs = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    const passedMs = performance.now() - begunMs;
    if (passedMs > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`, { cause: last });
    const pauseMs = Math.min(PAUSE_MS.max, PAUSE_MS.min + passedMs / 20);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Aborts what hangs, long after it would have ended on a busy machine. */
export function hangSignal(): AbortSignal {
  return AbortSignal.timeout(EVENTUALLY_MS_MAX);
}
