/** The connections of one listener: looked through from time to time for those that are silent, stalled or too old. */
import type { CancelTimer, Host } from "#base";
import { Waiters } from "#base";
import { IDLE_MS_MAX, STALLED_MS_MAX, SWEEP_MS } from "./limits.ts";
import type { Relay } from "./relay.ts";

const LIMITS = { idleMs: IDLE_MS_MAX, stalledMs: STALLED_MS_MAX } as const;

export class Relays<About> {
  readonly #host: Host;
  readonly #lifetimeMs: number | undefined;
  readonly #relays = new Map<Relay, About>();
  readonly #empty = new Waiters();
  #cancel: CancelTimer | undefined;

  constructor(host: Host, lifetimeMs: number | undefined) {
    this.#host = host;
    this.#lifetimeMs = lifetimeMs;
  }

  get size(): number {
    return this.#relays.size;
  }

  add(relay: Relay, about: About): void {
    this.#relays.set(relay, about);
    this.#cancel ??= this.#host.clock.after(SWEEP_MS, () => this.#sweep());
  }

  delete(relay: Relay): void {
    this.#relays.delete(relay);
    if (this.#relays.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#empty.wakeAll();
  }

  /** Cuts the connections that a condition selects. */
  cutWhere(selects: (about: About) => boolean): void {
    for (const [relay, about] of this.#relays) if (selects(about)) relay.cut();
  }

  #sweep(): void {
    const nowMs = this.#host.clock.monotonic();
    this.#cancel = this.#host.clock.after(SWEEP_MS, () => this.#sweep());
    for (const relay of this.#relays.keys()) {
      if (nowMs - relay.beganMs > (this.#lifetimeMs ?? Infinity)) relay.cut();
      else relay.sweep(nowMs, LIMITS);
    }
  }

  /** Waits until all have ended, for at most so many milliseconds, and cuts the rest. */
  async close(drainMs: number): Promise<void> {
    const { clock } = this.#host;
    const endMs = clock.monotonic() + drainMs;
    while (this.#relays.size > 0 && clock.monotonic() < endMs)
      await this.#empty.wait({ limit: { clock, ms: endMs - clock.monotonic() } });
    for (const relay of this.#relays.keys()) relay.cut();
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
