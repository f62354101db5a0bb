/**
 * Random faults between two parts of the world: how long a message takes, whether it is lost, whether the connection is
 * cut. One per link, so that each has its own randomness; calm ends all faults.
 */
import type { Random } from "#base";
import type { Life, SimTime } from "./host.ts";

/** How bad it is. Chances are per message. */
export interface Severity {
  /** The request is lost: it never arrives. */
  readonly lose: number;
  /** It arrives and is done, and the answer is lost. */
  readonly loseAnswer: number;
  /** A stream breaks at this message. */
  readonly cut: number;
  /** A message is late by up to `lateMs` rather than by a few milliseconds. */
  readonly late: number;
  readonly lateMs: number;
}

const USUAL_MS = 6;

export class Link {
  /** Nothing passes, either way. */
  partitioned = false;
  calm = false;
  readonly random: Random;
  readonly #time: SimTime;
  readonly #severity: Severity;
  readonly #waiting = new Set<() => void>();

  constructor(time: SimTime, random: Random, severity: Severity) {
    this.#time = time;
    this.random = random;
    this.#severity = severity;
  }

  happens(kind: "lose" | "loseAnswer" | "cut" | "late"): boolean {
    // Asked in calm, too: then chance goes on alike, whenever calm begins.
    return this.random.float() < this.#severity[kind] && !this.calm;
  }

  /** The time of one message on its way. */
  async travel(life: Life, signal?: AbortSignal): Promise<void> {
    const ms = this.random.float() * (this.happens("late") ? this.#severity.lateMs : USUAL_MS);
    await this.#time.sleep(life, ms, signal);
  }

  heal(): void {
    this.partitioned = false;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Resolves when messages pass again. */
  async open(): Promise<void> {
    while (this.partitioned) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }
}
