/**
 * An adaptive limit of the requests to a cluster. While answers take their usual time, the limit rises a little. When
 * they take longer, requests are queueing somewhere, and the limit falls in proportion.
 * @see Netflix, concurrency-limits, Gradient2Limit
 */
import { invariant } from "#base";

export interface GradientPolicy {
  readonly min: number;
  readonly max: number;
}

/** How many times the usual latency is still accepted. */
const TOLERANCE = 1.5;
/** Weight of the newly computed limit in the next one; the rest is the old limit. */
const SMOOTHING = 0.2;
/** Answers over which the usual latency is averaged: each has the inverse of this as its weight. */
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

  /** Sets other bounds. The current limit is kept within them. */
  use(policy: GradientPolicy): void {
    this.#policy = policy;
    this.#limit = Math.min(policy.max, Math.max(policy.min, this.#limit));
  }

  /** `latencyMs`: of an answer; `inFlight`: the requests in flight when it arrived. */
  note(latencyMs: number, inFlight: number): void {
    const seen = Math.max(latencyMs, 0.001);
    this.#usualMs = this.#usualMs === 0 ? seen : this.#usualMs + (seen - this.#usualMs) / USUAL_ANSWERS;
    // Once an overload is over, the latency that was usual during it is forgotten.
    if (this.#usualMs / seen > 2) this.#usualMs *= 0.95;
    // Few requests do not show how many the cluster could serve.
    if (inFlight < this.#limit / 2) return;
    const gradient = Math.max(0.5, Math.min(1, (TOLERANCE * this.#usualMs) / seen));
    const next = this.#limit * gradient + Math.sqrt(this.#limit);
    const smooth = this.#limit * (1 - SMOOTHING) + next * SMOOTHING;
    this.#limit = Math.min(this.#policy.max, Math.max(this.#policy.min, smooth));
    invariant(this.#limit >= this.#policy.min, "an adaptive limit is a number, and not below its least");
  }
}
