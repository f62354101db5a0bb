/**
 * Passes bytes between two sockets, in both directions, unparsed. A side that ends its writing ends the other's, and may still read. A
 * slow reader stops its writer. An error on one side resets the other, so that a cut stream never looks complete.
 */
import type { Socket } from "node:net";

export interface RelayEvents {
  /** Bytes from the near side to the far side, or back. */
  readonly onBytes: (toFar: boolean, bytes: number) => void;
  /** Both sockets are closed. */
  readonly onEnd: () => void;
}

/** One side: its socket, and how to reset it. TLS itself has no reset; the socket below it has. */
export interface RelaySide {
  readonly socket: Socket;
  readonly reset: () => void;
}

export class Relay {
  readonly #near: RelaySide;
  readonly #far: RelaySide;
  readonly #events: RelayEvents;
  readonly beganMs: number;
  #open = 2;
  #ended = 0;
  #cut = false;
  #moved = 0;
  #movedBefore = -1;
  #movedAtMs: number;

  /** Both sockets are connected, allow a half-open connection, and have not been read further than what was unshifted. */
  constructor(near: RelaySide, far: RelaySide, events: RelayEvents, nowMs: number) {
    this.#near = near;
    this.#far = far;
    this.#events = events;
    this.beganMs = nowMs;
    this.#movedAtMs = nowMs;
    this.#join(near.socket, far.socket, true);
    this.#join(far.socket, near.socket, false);
  }

  #join(from: Socket, to: Socket, toFar: boolean): void {
    from.on("data", (chunk: Buffer) => {
      this.#moved += chunk.length;
      this.#events.onBytes(toFar, chunk.length);
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => {
      this.#moved += 1;
      from.resume();
    });
    from.once("end", () => {
      this.#ended += 1;
      to.end();
    });
    from.on("error", () => this.cut());
    from.once("close", (failed: boolean) => {
      this.#open -= 1;
      // Without an end, the other side must not take what it has for everything.
      if (failed || !from.readableEnded) this.cut();
      else if (this.#open > 0 && to.writableFinished && to.readableEnded) to.destroy();
      if (this.#open === 0) this.#events.onEnd();
    });
    if (from.destroyed) queueMicrotask(() => this.cut());
    from.resume();
  }

  /** Ends it when it has been silent or stalled for too long. Returns whether it did. */
  sweep(nowMs: number, { idleMs, stalledMs }: { readonly idleMs: number; readonly stalledMs: number }): boolean {
    if (this.#moved !== this.#movedBefore) {
      this.#movedBefore = this.#moved;
      this.#movedAtMs = nowMs;
      return false;
    }
    const isStalled = this.#ended > 0 || this.#near.socket.writableLength > 0 || this.#far.socket.writableLength > 0;
    if (nowMs - this.#movedAtMs < (isStalled ? stalledMs : idleMs)) return false;
    this.cut();
    return true;
  }

  /** Resets both sides. */
  cut(): void {
    if (this.#cut) return;
    this.#cut = true;
    for (const { socket, reset } of [this.#near, this.#far]) {
      reset();
      socket.destroy();
    }
  }
}

/** Ends a socket so that its peer sees an error, where the kind of socket can. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  try {
    socket.resetAndDestroy();
  } catch {
    // A Unix socket has no reset.
    socket.destroy();
  }
}
