/**
 * What the workers of one gateway tell each other, so that limits, breakers and ejections hold for all of them. Pure:
 * each keeps what the others said and reckons with it; nobody waits for anybody, so all of it is some milliseconds old.
 *
 * What was let through of a rate is told as an amount and paid by the others after the fact: at once, they may let
 * through more than the limit by what came within the delay; over time they may not, for the debt is theirs, too.
 */

/** An endpoint that one of them found to answer badly. */
export interface Ejection {
  readonly cluster: string;
  /** The endpoint's key: address and TLS. */
  readonly endpoint: string;
  /** How often it was ejected, as its load counts them. */
  readonly ejections: number;
  /** Milliseconds from now. */
  readonly forMs: number;
}

export interface PeerNews {
  /** Let through since the last news, by the key of a rate: how far apart its requests are, and how many. */
  readonly spent?: readonly (readonly [key: string, spacingMs: number, requests: number])[];
  /** Under way now, by the key of a limit on concurrency. */
  readonly held?: readonly (readonly [key: string, requests: number])[];
  /** Under way now, by cluster: tries, and of these further ones. */
  readonly clusters?: readonly (readonly [key: string, inFlight: number, retrying: number])[];
  readonly ejected?: readonly Ejection[];
}

/** Numbers that each worker says of itself, by key, and their sums. */
export class PeerCounts {
  readonly #byWorker = new Map<number, Map<string, number>>();
  readonly #sums = new Map<string, number>();

  /** 0 when nobody said anything else. */
  sum(key: string): number {
    return this.#sums.get(key) ?? 0;
  }

  set(worker: number, key: string, value: number): void {
    let counts = this.#byWorker.get(worker);
    if (!counts) this.#byWorker.set(worker, (counts = new Map()));
    const sum = this.sum(key) - (counts.get(key) ?? 0) + value;
    if (value === 0) counts.delete(key);
    else counts.set(key, value);
    if (sum === 0) this.#sums.delete(key);
    else this.#sums.set(key, sum);
  }

  /** It is gone, and with it all that it had under way. */
  forget(worker: number): void {
    for (const key of this.#byWorker.get(worker)?.keys() ?? []) this.set(worker, key, 0);
    this.#byWorker.delete(worker);
  }
}

interface Known {
  readonly held: Map<string, number>;
  readonly clusters: Map<string, readonly [inFlight: number, retrying: number]>;
}

/** Rates of which a newcomer is told how much is spent; beyond, the longest unused are begun anew with it. */
export const SPENT_TOLD_MAX = 10_000;

/** What all said so far, as far as it still holds: for a worker that starts in the midst of it. */
export class PeerRecord {
  readonly #workers = new Map<number, Known>();
  /** By cluster and endpoint, with the moment that each ends. */
  readonly #ejected = new Map<string, { readonly ejection: Ejection; readonly untilMs: number }>();

  /** By the key of a rate: the moment when it is whole again. The last used come last. */
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

  /** What each worker but this one has under way, and once, under the newcomer's own number, what is ejected and spent. */
  for(newcomer: number, nowMs: number): { readonly worker: number; readonly news: PeerNews }[] {
    const told = [...this.#workers]
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
    return [...told, { worker: newcomer, news: { ejected, ...(spent.length > 0 ? { spent } : {}) } }];
  }
}
