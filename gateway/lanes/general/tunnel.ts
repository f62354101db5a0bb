/**
 * Two sockets joined after a switch of protocols. Bytes pass as they arrive, each side waits for the other, and the
 * tunnel ends when both are silent or either closes.
 */
import type { Duplex } from "node:stream";
import type { Clock } from "#base";
import { Deadline } from "../../upstream/deadline.ts";

export interface TunnelOptions {
  readonly idleMs: number;
  readonly onIdle: () => void;
  /** Ends the client's side, if destroying it is not enough. */
  readonly cutClient?: () => void;
}

export class Tunnel {
  readonly #sides: readonly [client: Duplex, upstream: Duplex];
  readonly #idle: Deadline;
  readonly #options: TunnelOptions;

  constructor(clock: Clock, client: Duplex, upstream: Duplex, options: TunnelOptions) {
    this.#sides = [client, upstream];
    this.#options = options;
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
      this.#idle.set(this.#options.idleMs);
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    // One side may end first: what the other side still sends is passed on.
    from.on("end", () => to.end());
    from.on("error", () => this.destroy());
    from.on("close", () => {
      // Bytes sent before the close are still delivered, as fast as the other side reads.
      if (from.readableEnded && !to.destroyed && !to.writableFinished) to.once("finish", () => this.destroy());
      else this.destroy();
    });
  }

  destroy(): void {
    this.#idle.close();
    this.#options.cutClient?.();
    for (const side of this.#sides) side.destroy();
  }
}
