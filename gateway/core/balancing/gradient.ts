/**
 * How many requests a cluster bears at once, found out while it runs: as long as answers take what they usually take,
 * the limit rises by a little; when they take longer, requests queue somewhere, and it falls by as much as they do.
 * @see Netflix, concurrency-limits, Gradient2Limit
 */

export interface GradientPolicy {
  readonly min: number;
  readonly max: number;
}

/** How much longer than usual is still usual. */
const TOLERANCE = 1.5;
/** Share of the new limit in the next; the rest is what it was. */
const SMOOTHING = 0.2;
/** Answers that make "usual": the weight of one is its inverse. */
const USUAL_ANSWERS = 600;

export class GradientLimit {
  #policy: GradientPolicy;
  #limit: number;
  #usualMs = 0;

  constructor(policy: GradientPolicy) {
    this.#policy = policy;
    this.#limit = Math.min(policy.max, Math.max(policy.min, 20));
  }

  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** Other bounds from now on; what was found out is kept as far as they let it. */
  use(policy: GradientPolicy): void {
    this.#policy = policy;
    this.#limit = Math.min(policy.max, Math.max(policy.min, this.#limit));
  }

  /** An answer took so long, with so many under way when it came. */
  note(latencyMs: number, inFlight: number): void {
    const seen = Math.max(latencyMs, 0.001);
    this.#usualMs = this.#usualMs === 0 ? seen : this.#usualMs + (seen - this.#usualMs) / USUAL_ANSWERS;
    // What was usual under overload is forgotten once that is over.
    if (this.#usualMs / seen > 2) this.#usualMs *= 0.95;
    // Nobody knows what more of them would do while there are few.
    if (inFlight < this.#limit / 2) return;
    const gradient = Math.max(0.5, Math.min(1, (TOLERANCE * this.#usualMs) / seen));
    const next = this.#limit * gradient + Math.sqrt(this.#limit);
    const smooth = this.#limit * (1 - SMOOTHING) + next * SMOOTHING;
    this.#limit = Math.min(this.#policy.max, Math.max(this.#policy.min, smooth));
  }
}
