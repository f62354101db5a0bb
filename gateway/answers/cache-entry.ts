/** An answer in the cache. */
import { type StoredHead } from "../core/decision/stored-answer.ts";

export interface CachedAnswer {
  readonly head: StoredHead;
  readonly body: Buffer;
  /** The resource that it represents; see resourceOf. */
  readonly resource: string;
}

export type Outcome = "hit" | "miss" | "revalidated" | "stale" | "bypass";
