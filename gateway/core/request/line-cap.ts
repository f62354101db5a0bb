/**
 * Limits the log lines of each kind. Lines that clients can cause at will must not fill a disk, nor cost more than the
 * rejected work. Omitted lines are counted.
 */

/** Lines of one kind in any second. Operators do not read more; at this rate, a day has 0.2 GB. */
export const LINES_PER_SECOND_MAX = 10;

interface Kind {
  /** When the last lines were written, as a ring. */
  readonly atMs: Float64Array;
  next: number;
  leftOut: number;
}

export class LineCap {
  readonly #kinds = new Map<string, Kind>();

  /** Whether a line of this kind may be written now. */
  take(name: string, nowMs: number): boolean {
    let kind = this.#kinds.get(name);
    if (!kind) {
      kind = { atMs: new Float64Array(LINES_PER_SECOND_MAX).fill(-Infinity), next: 0, leftOut: 0 };
      this.#kinds.set(name, kind);
    }
    if (nowMs - (kind.atMs[kind.next] as number) < 1_000) {
      kind.leftOut += 1;
      return false;
    }
    kind.atMs[kind.next] = nowMs;
    kind.next = (kind.next + 1) % LINES_PER_SECOND_MAX;
    return true;
  }

  /** How many lines of each kind were omitted since the last call. */
  leftOut(): [name: string, lines: number][] {
    const counts: [string, number][] = [];
    for (const [name, kind] of this.#kinds) {
      if (kind.leftOut > 0) counts.push([name, kind.leftOut]);
      kind.leftOut = 0;
    }
    return counts;
  }
}
