/**
 * A lingering close. A connection that is closed while its client still sends is reset, and the reset can reach the
 * client before it has read the answer. So the gateway closes its half after the answer, and keeps reading, within
 * limits, until the client closes the other half.
 * @see RFC 9112 §9.6
 */
import type { Socket } from "node:net";
import type { Clock } from "#base";
import { Deadline } from "../upstream/deadline.ts";

/** Milliseconds from the half-close to the end of the connection; as long as nginx's `lingering_time`. */
export const LINGER_MS_MAX = 30_000;
/** Milliseconds of silence after which a lingering client is assumed to be done; as nginx's `lingering_timeout`. */
const LINGER_SILENCE_MS_MAX = 5_000;
/** Bytes discarded for one answer: as much as an honest client on a fast network sends in part of that time. */
const LINGER_BYTES_MAX = 1024 * 1024 * 1024;

/** The three limits on discarded input. `onOver` is called once. */
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

  /** The answer is sent, and the time limits start. */
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

/** Whether further bytes on the connection are discarded, and not parsed as requests. */
export function isLingering(socket: Socket): boolean {
  return (socket as { [LINGERING]?: boolean })[LINGERING] === true;
}

export class Lingering {
  readonly #socket: Socket;
  readonly #limits: LingerLimits;
  #ended = false;
  #halfClosed = false;

  /** Takes over reading from the socket. Nothing that is read is a request from now on. */
  constructor(clock: Clock, socket: Socket) {
    this.#socket = socket;
    (socket as { [LINGERING]?: boolean })[LINGERING] = true;
    this.#limits = new LingerLimits(clock, () => socket.destroy());
    // Removes the parser. With it Node's server forgets the rest of the request.
    socket.removeAllListeners("data");
    socket.removeAllListeners("end");
    socket.on("data", (chunk: Buffer) => this.#limits.note(chunk.length));
    socket.on("end", () => {
      this.#ended = true;
      if (this.#halfClosed) this.#finish();
    });
    socket.on("error", () => {});
    // The request that was being read may pause the connection, now or as its last action.
    socket.on("pause", () => setImmediate(() => this.#flow()));
    socket.once("close", () => this.#limits.close());
    this.#flow();
  }

  #flow(): void {
    if (this.#socket.destroyed) return;
    this.#socket.resume();
    // A parser that read directly from the handle leaves the socket believing that a read is in progress.
    this.#socket._read(0);
  }

  /** The whole answer is written. */
  halfClose(): void {
    if (this.#halfClosed) return;
    this.#halfClosed = true;
    if (this.#socket.destroyed) return;
    this.#limits.start();
    this.#socket.end();
    if (this.#ended) this.#finish();
  }

  /** Closes the socket once the answer is sent. */
  #finish(): void {
    const socket = this.#socket;
    if (socket.writableFinished) socket.destroy();
    else socket.once("finish", () => socket.destroy());
  }
}
