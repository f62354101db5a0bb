/**
 * Two sockets joined after a switch of protocols: bytes cross as they come, each side waits for the other, silence on
 * both ends it, and so does the death of either.
 */
import type { Duplex } from "node:stream";
import type { Clock } from "#base";
import { Deadline } from "../upstream/deadline.ts";

export class Tunnel {
  readonly #sides: readonly [Duplex, Duplex];
  readonly #idle: Deadline;
  readonly #idleMs: number;

  constructor(clock: Clock, client: Duplex, upstream: Duplex, options: { idleMs: number; onIdle: () => void }) {
    this.#sides = [client, upstream];
    this.#idleMs = options.idleMs;
    this.#idle = new Deadline(clock, () => {
      options.onIdle();
      this.destroy();
    });
    this.#join(client, upstream);
    this.#join(upstream, client);
    this.#idle.set(options.idleMs);
    client.resume();
    upstream.resume();
  }

  #join(from: Duplex, to: Duplex): void {
    from.on("data", (chunk: Buffer) => {
      this.#idle.set(this.#idleMs);
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    // An end on one side may be a last word: what the other still has to say is let through.
    from.on("end", () => to.end());
    from.on("error", () => this.destroy());
    from.on("close", () => this.destroy());
  }

  destroy(): void {
    this.#idle.close();
    for (const side of this.#sides) side.destroy();
  }
}
