/**
 * A lingering close. A connection that is closed while its client still sends is reset, and the reset can reach the
 * client before the answer is read. So the gateway closes its half behind the answer, and reads on until the client
 * closes the other half, within limits.
 * @see RFC 9112 §9.6
 */
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { Deadline } from "../upstream/deadline.ts";

/** Milliseconds from the half-close to the end of the connection; as long as nginx's `lingering_time`. */
export const LINGER_MS_MAX = 30_000;
/** Milliseconds in which a lingering client sends nothing, and most likely never will; as nginx's `lingering_timeout`. */
const LINGER_SILENCE_MS_MAX = 5_000;
/** Bytes that are read away for one answer: what an honest client on a fast network sends in a part of that time. */
const LINGER_BYTES_MAX = 1024 * 1024 * 1024;

/** The three limits, whatever is read away. `onOver` is called once. */
export class LingerLimits {
  readonly #clock: Clock;
  readonly #silence: Deadline;
  readonly #onOver: () => void;
  #bytes = 0;
  #cancel: (() => void) | undefined;
  #timed = false;

  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
    this.#silence = new Deadline(clock, () => this.#over());
  }

  /** The answer is out; from now on it is the client's turn. */
  start(): void {
    if (this.#timed) return;
    this.#timed = true;
    this.#silence.set(LINGER_SILENCE_MS_MAX);
    this.#cancel = this.#clock.after(LINGER_MS_MAX, () => this.#over());
  }

  note(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > LINGER_BYTES_MAX) this.#over();
    else if (this.#timed) this.#silence.set(LINGER_SILENCE_MS_MAX);
  }

  #over(): void {
    this.close();
    this.#onOver();
  }

  close(): void {
    this.#cancel?.();
    this.#silence.close();
  }
}

const LINGERING = Symbol("lingering close");

/** Whether nothing that comes on a connection is a request any more. */
export function isLingering(socket: Socket): boolean {
  return (socket as { [LINGERING]?: boolean })[LINGERING] === true;
}

export class Lingering {
  readonly #socket: Socket;
  readonly #limits: LingerLimits;
  #ended = false;
  #halfClosed = false;

  /** Takes over what is read from the socket: nothing of it is a request any more. */
  constructor(clock: Clock, socket: Socket) {
    this.#socket = socket;
    (socket as { [LINGERING]?: boolean })[LINGERING] = true;
    this.#limits = new LingerLimits(clock, () => socket.destroy());
    // Whatever parser was there; with it Node's server forgets the rest of the request.
    socket.removeAllListeners("data");
    socket.removeAllListeners("end");
    socket.on("data", (chunk: Buffer) => this.#limits.note(chunk.length));
    socket.on("end", () => {
      this.#ended = true;
      if (this.#halfClosed) this.#finish();
    });
    socket.on("error", () => {});
    // The request that was being read may hold the connection back, now or as the last thing that it does.
    socket.on("pause", () => setImmediate(() => this.#flow()));
    socket.once("close", () => this.#limits.close());
    this.#flow();
  }

  #flow(): void {
    if (this.#socket.destroyed) return;
    this.#socket.resume();
    // A parser that read the connection past the socket leaves it believing that a read is under way.
    this.#socket._read(0);
  }

  /** All of the answer was written. */
  halfClose(): void {
    if (this.#halfClosed) return;
    this.#halfClosed = true;
    if (this.#socket.destroyed) return;
    this.#limits.start();
    this.#socket.end();
    if (this.#ended) this.#finish();
  }

  /** Both halves are closed once the answer is out. */
  #finish(): void {
    const socket = this.#socket;
    if (socket.writableFinished) socket.destroy();
    else socket.once("finish", () => socket.destroy());
  }
}
