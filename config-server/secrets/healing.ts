/** Tries again what could not be decrypted, whenever there are other keys and now and then, until it can be told. */
import { AppError, messageOf, Trigger, type Host, own } from "#base";
import { setId } from "../core/keys.ts";
import type { Pointer } from "../core/live.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** Milliseconds between two tries: a data key may have been brought back, or wrapped under a key that is here. */
const HEAL_MS = 5_000;

export interface Healed {
  /** What is live now. */
  readonly live: () => Iterable<Pointer>;
  /** The same set, read and decrypted anew. */
  readonly open: (set: Pointer) => Promise<Pointer>;
  /** Takes over sets of which more can be read than before. */
  readonly take: (sets: readonly Pointer[]) => void;
}

export class Healing {
  readonly #host: Host;
  readonly #what: Healed;
  readonly #due = new Trigger();

  constructor(host: Host, keys: SecretKeys, what: Healed) {
    this.#host = host;
    this.#what = what;
    keys.onChange(() => this.#due.fire());
  }

  /** Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const cancel = this.#host.clock.after(HEAL_MS, () => this.#due.fire());
      await this.#due.wait(signal);
      cancel();
      if (signal.aborted) return;
      try {
        await this.#try();
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#host.log.debug({ code: error.code }, `secrets were not tried again: ${messageOf(error)}`);
      }
    }
  }

  async #try(): Promise<void> {
    const before = [...this.#what.live()].filter((set) => lost(set) > 0);
    const opened = await Promise.all(before.map((set) => this.#what.open(set)));
    // What was released meanwhile was opened as it came.
    const now = new Set(this.#what.live());
    const healed = opened.filter((set, i) => now.has(before[i] as Pointer) && lost(set) < lost(before[i] as Pointer));
    if (healed.length === 0) return;
    this.#host.log.info({ sets: healed.map(({ name }) => setId(name)) }, "secrets can be read again");
    this.#what.take(healed);
  }
}

/** How many of its secrets cannot be read. */
function lost({ sealed, release, candidateSealed, candidate }: Pointer): number {
  return (
    Object.keys(sealed).filter((key) => own(release.items, key)?.unreadable).length +
    Object.keys(candidateSealed).filter((key) => own(candidate?.items, key)?.unreadable).length
  );
}
