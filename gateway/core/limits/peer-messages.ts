/**
 * Messages between the workers of one gateway, so that limits, breakers and ejections apply to all of them. Pure: each
 * worker keeps the reports of the others and includes them in its decisions. Workers never wait for each other, so the
 * reports are some milliseconds old.
 *
 * Workers report the requests that they admitted under a rate, and the others charge them afterwards. For a moment they
 * may together admit more than the limit, by the requests within the delay; over time they may not.
 */
import { invariant } from "#base";

/** An endpoint that one worker ejected. */
export interface Ejection {
  readonly cluster: string;
  /** The endpoint's key: address and TLS. */
  readonly endpoint: string;
  /** How often it was ejected, by the count of its load. */
  readonly ejections: number;
  /** Remaining milliseconds. */
  readonly forMs: number;
}

export interface PeerNews {
  /** Admitted requests since the last report, by the key of a rate: the spacing of its requests, and their number. */
  readonly spent?: readonly (readonly [key: string, spacingMs: number, requests: number])[];
  /** Requests in flight, by the key of a concurrency limit. */
  readonly held?: readonly (readonly [key: string, requests: number])[];
  /** Requests in flight by cluster, and how many of them are retries. */
  readonly clusters?: readonly (readonly [key: string, inFlight: number, retrying: number])[];
  readonly ejected?: readonly Ejection[];
}

/** Numbers that each worker reports, by key, and their sums. */
export class PeerCounts {
  readonly #byWorker = new Map<number, Map<string, number>>();
  readonly #sums = new Map<string, number>();

  /** 0 for a key without reports. */
  sum(key: string): number {
    return this.#sums.get(key) ?? 0;
  }

  set(worker: number, key: string, value: number): void {
    let counts = this.#byWorker.get(worker);
    if (!counts) this.#byWorker.set(worker, (counts = new Map()));
    const sum = this.sum(key) - (counts.get(key) ?? 0) + value;
    invariant(sum >= value, "a sum over workers is not below the number of one of them");
    if (value === 0) counts.delete(key);
    else counts.set(key, value);
    if (sum === 0) this.#sums.delete(key);
    else this.#sums.set(key, sum);
  }

  /** Removes the numbers of a worker that ended. */
  forget(worker: number): void {
    for (const key of this.#byWorker.get(worker)?.keys() ?? []) this.set(worker, key, 0);
    this.#byWorker.delete(worker);
  }
}

interface WorkerCounts {
  readonly held: Map<string, number>;
  readonly clusters: Map<string, readonly [inFlight: number, retrying: number]>;
}

/** Most rates whose use a new worker receives. The rates that were unused for longest start at zero there. */
export const SPENT_TOLD_MAX = 10_000;

/** The reports of all workers that still apply, for a worker that starts later. */
export class PeerRecord {
  readonly #workers = new Map<number, WorkerCounts>();
  /** By cluster and endpoint, with the end of each ejection. */
  readonly #ejected = new Map<string, { readonly ejection: Ejection; readonly untilMs: number }>();

  /** By the key of a rate: when its allowance is full again. In the order of use. */
  readonly #spent = new Map<string, number>();

  note(worker: number, news: PeerNews, nowMs: number): void {
    let known = this.#workers.get(worker);
    if (!known) this.#workers.set(worker, (known = { held: new Map(), clusters: new Map() }));
    for (const [key, requests] of news.held ?? []) {
      if (requests === 0) known.held.delete(key);
      else known.held.set(key, requests);
    }
    for (const [key, inFlight, retrying] of news.clusters ?? []) {
      if (inFlight === 0 && retrying === 0) known.clusters.delete(key);
      else known.clusters.set(key, [inFlight, retrying]);
    }
    for (const [key, spacingMs, requests] of news.spent ?? []) {
      const untilMs = Math.max(this.#spent.get(key) ?? nowMs, nowMs) + spacingMs * requests;
      this.#spent.delete(key);
      this.#spent.set(key, untilMs);
    }
    for (const [key, untilMs] of this.#spent) {
      if (untilMs > nowMs && this.#spent.size <= SPENT_TOLD_MAX) break;
      this.#spent.delete(key);
    }
    for (const [key, { untilMs }] of this.#ejected) if (untilMs <= nowMs) this.#ejected.delete(key);
    for (const ejection of news.ejected ?? []) {
      const key = `${ejection.cluster} ${ejection.endpoint}`;
      this.#ejected.set(key, { ejection, untilMs: nowMs + ejection.forMs });
    }
  }

  forget(worker: number): void {
    this.#workers.delete(worker);
  }

  /** The counts of each other worker, and under the new worker's own number the ejections and the used allowances. */
  for(newcomer: number, nowMs: number): { readonly worker: number; readonly news: PeerNews }[] {
    const counts = [...this.#workers]
      .filter(([worker]) => worker !== newcomer)
      .map(([worker, { held, clusters }]) => ({
        worker,
        news: { held: [...held], clusters: [...clusters].map(([key, [a, b]]) => [key, a, b] as const) },
      }));
    const ejected = [...this.#ejected.values()]
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ ejection, untilMs }) => ({ ...ejection, forMs: untilMs - nowMs }));
    const spent = [...this.#spent]
      .filter(([, untilMs]) => untilMs > nowMs)
      .map(([key, untilMs]) => [key, untilMs - nowMs, 1] as const);
    return [...counts, { worker: newcomer, news: { ejected, ...(spent.length > 0 ? { spent } : {}) } }];
  }
}
