/** The latest points of one series, each over the same time: a ring of tallies. Pure; the time is a parameter. */
import { addTally, emptyTally, TALLY_WIDTH, type Tally } from "./counts.ts";

/** Largest number of one cell: the array holds 32 bits. */
const CELL_MAX = 0xffff_ffff;

export class Ring {
  readonly #points: number;
  readonly #pointMs: number;
  readonly #cells: Uint32Array;
  /** Number of the newest point, counted from 1970. */
  #newest = -1;

  constructor(points: number, pointMs: number) {
    this.#points = points;
    this.#pointMs = pointMs;
    this.#cells = new Uint32Array(points * TALLY_WIDTH);
  }

  /** Adds to the point of a time. A time before the ring's reach is ignored. */
  add(atMs: number, tally: Tally): void {
    const point = Math.floor(atMs / this.#pointMs);
    this.#advance(point);
    if (point <= this.#newest - this.#points) return;
    const at = this.#offset(point);
    for (let index = 0; index < TALLY_WIDTH; index++) {
      this.#cells[at + index] = Math.min(CELL_MAX, (this.#cells[at + index] ?? 0) + (tally[index] ?? 0));
    }
  }

  /** The point with a number; empty when the ring has none. */
  point(point: number): Tally {
    if (point > this.#newest || point <= this.#newest - this.#points) return EMPTY;
    const at = this.#offset(point);
    return this.#cells.subarray(at, at + TALLY_WIDTH);
  }

  /** The sum of the points from one to another, both included. */
  sum(first: number, last: number): Tally {
    const sum = emptyTally();
    for (let point = Math.max(first, this.#newest - this.#points + 1); point <= Math.min(last, this.#newest); point++) {
      addTally(sum, this.point(point));
    }
    return sum;
  }

  /** Whether nothing was added since a point. */
  isQuietSince(point: number): boolean {
    return this.#newest < point;
  }

  #advance(point: number): void {
    if (point <= this.#newest) return;
    const cleared = Math.min(this.#points, point - this.#newest);
    for (let step = 0; step < cleared; step++) {
      const at = this.#offset(point - step);
      this.#cells.fill(0, at, at + TALLY_WIDTH);
    }
    this.#newest = point;
  }

  #offset(point: number): number {
    return (point % this.#points) * TALLY_WIDTH;
  }
}

const EMPTY: Tally = Object.freeze(emptyTally());
