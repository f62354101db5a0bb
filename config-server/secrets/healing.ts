/** Tries again to decrypt unreadable secrets, when keys change and regularly, until they can be read. */
import { AppError, messageOf, Trigger, type Host, own } from "#base";
import { setId } from "../core/keys.ts";
import type { Pointer } from "../core/live.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** Milliseconds between two attempts: a data key may have been restored, or rewrapped with a key that is here. */
const HEAL_MS = 5_000;

export interface Healed {
  /** All live sets. */
  readonly live: () => Iterable<Pointer>;
  /** Reads and decrypts a set again. */
  readonly open: (set: Pointer) => Promise<Pointer>;
  /** Publishes sets with newly readable secrets. */
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
        this.#host.log.debug({ code: error.code }, `unreadable secrets were not decrypted again: ${messageOf(error)}`);
      }
    }
  }

  async #try(): Promise<void> {
    const before = [...this.#what.live()].filter((set) => lost(set) > 0);
    const opened = await Promise.all(before.map((set) => this.#what.open(set)));
    // A set that was released meanwhile has been decrypted by its release.
    const now = new Set(this.#what.live());
    const healed = opened.filter((set, i) => now.has(before[i] as Pointer) && lost(set) < lost(before[i] as Pointer));
    if (healed.length === 0) return;
    this.#host.log.info({ sets: healed.map(({ name }) => setId(name)) }, "secrets can be read again");
    this.#what.take(healed);
  }
}

/** The number of secrets that cannot be read. */
function lost({ sealed, release, candidateSealed, candidate }: Pointer): number {
  return (
    Object.keys(sealed).filter((key) => own(release.items, key)?.unreadable).length +
    Object.keys(candidateSealed).filter((key) => own(candidate?.items, key)?.unreadable).length
  );
}
