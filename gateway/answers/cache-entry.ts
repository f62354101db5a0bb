/** An answer that the cache keeps. */
import { type StoredHead } from "../core/decision/stored-answer.ts";

export interface CachedAnswer {
  readonly head: StoredHead;
  readonly body: Buffer;
  /** What it tells of; see resourceOf. */
  readonly resource: string;
}

export type Outcome = "hit" | "miss" | "revalidated" | "stale" | "bypass";
