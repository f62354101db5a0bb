/**
 * A request's body on its way up: taken from the client when the upstream asks for it, counted, and cut at the limit.
 * Nothing is read before the connection stands, so a refused connection leaves the body whole for another endpoint.
 */
import { Readable } from "node:stream";

/** Where a body comes from: a stream, and whether all of it has come. Node's IncomingMessage is one. */
export interface BodySource extends Readable {
  readonly complete: boolean;
}

export class RequestBody extends Readable {
  readonly #source: BodySource;
  readonly #bytesMax: number;
  readonly #onStart: () => void;
  #bytes = 0;
  /** Whether any of it was asked for. */
  started = false;
  /** Whether it was cut for its size. */
  tooLarge = false;

  /** `onStart`: the upstream is there and wants it, so a client that waits for leave to send may get it. */
  constructor(source: BodySource, bytesMax: number, onStart: () => void) {
    super({ highWaterMark: 64 * 1024 });
    this.#source = source;
    this.#bytesMax = bytesMax;
    this.#onStart = onStart;
    // Whoever reads it hears of an error by its own listener; when nobody does any more, there is nobody to tell.
    this.on("error", () => {});
  }

  override _read(): void {
    if (!this.started) {
      this.started = true;
      this.#onStart();
      this.#source.on("data", this.#onData);
      this.#source.on("end", this.#onEnd);
      this.#source.on("error", this.#onGone);
      this.#source.on("close", this.#onGone);
    }
    this.#source.resume();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) {
      this.tooLarge = true;
      this.destroy(new Error(`the request body is larger than ${this.#bytesMax} bytes`));
      return;
    }
    if (!this.push(chunk)) this.#source.pause();
  };

  readonly #onEnd = (): void => {
    this.push(null);
  };

  readonly #onGone = (): void => {
    if (!this.#source.complete) this.destroy(new Error("the client went away while sending"));
  };

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.off("data", this.#onData);
    this.#source.off("end", this.#onEnd);
    this.#source.off("error", this.#onGone);
    this.#source.off("close", this.#onGone);
    this.#source.pause();
    callback(error);
  }
}
