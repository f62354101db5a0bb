/**
 * A request's body on its way to the upstream. It is read from the client when the upstream wants it, counted, cut at
 * the limit, and paused while the upstream cannot take more. Nothing is read before a connection is established, so
 * after a refused connection the whole body is still there for another endpoint.
 */
import type { Readable } from "node:stream";
import { endOf, type WholeEnd } from "./end.ts";

/** Where the bytes are written. */
export interface BodyWriter {
  /** False: write no further bytes until `resume`. */
  writeBody(chunk: Buffer): boolean;
  /** The body is whole. */
  endBody(end: WholeEnd): void;
  /** The body will never be complete. */
  cutBody(reason: BodyCut): void;
}

/**
 * `client`: the client disconnected while sending. `size`: larger than allowed. `slow`: sent too slowly. `content`: not
 * decodable.
 */
export type BodyCut = "client" | "size" | "slow" | "content";

/** A body as its lane received it. */
export interface BodySource {
  readonly stream: Readable;
  /** Whether its protocol marked the end. Called when the stream has ended or closed. */
  marked(): boolean;
  /** Bytes that it announced. */
  readonly announced: number | undefined;
  /** Its trailers, as name, value, name, value. Called when the body is complete. */
  trailers(): readonly string[];
  /**
   * Decodes the bytes; undefined: the end of the body. Absent: they are passed on unchanged. @throws for bytes that
   * cannot be decoded
   */
  readonly translate?: ((chunk: Buffer | undefined) => Buffer) | undefined;
}

export interface BodyLimits {
  /** Whether this chunk exceeds the limit. Called for each chunk, in order. */
  exceeds(chunk: Buffer): boolean;
  /** The upstream wants the body, so a client that waits for a 100 may get it. */
  onStart(): void;
  /** The upstream stopped or resumed reading. A client that is held back does not count as slow. */
  onFlow(flowing: boolean): void;
  /** Bytes were received. */
  onBytes(bytes: number): void;
}

export class RequestBody {
  readonly #source: BodySource;
  readonly #limits: BodyLimits;
  #writer: BodyWriter | undefined;
  #witness: BodyWriter | undefined;
  #paused = false;
  #received = 0;
  /** Whether the upstream has wanted any of it. */
  started = false;
  /** Whether all of it was written. */
  whole = false;
  /** Why it will never be complete. */
  cut: BodyCut | undefined;

  constructor(source: BodySource, limits: BodyLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  /** Starts to write the body. Called once at most. */
  start(writer: BodyWriter): void {
    const { stream } = this.#source;
    this.started = true;
    this.#writer = writer;
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
    stream.on("error", this.#onGone);
    stream.on("close", this.#onGone);
    if (stream.destroyed && !this.#end()) return this.#fail("client");
    this.#limits.onStart();
    this.#limits.onFlow(true);
    if (stream.readableEnded) this.#onEnd();
    else stream.resume();
  }

  /** The witness receives the same bytes as the writer, and cannot hold them back. */
  watch(witness: BodyWriter): void {
    this.#witness = witness;
  }

  /** The writer cannot take more at the moment. */
  get heldBack(): boolean {
    return this.#paused;
  }

  /** The writer can take more. */
  resume(): void {
    if (!this.#paused || !this.#writer) return;
    this.#paused = false;
    this.#limits.onFlow(true);
    this.#source.stream.resume();
  }

  /** The rest is not needed. The lane discards what the client still sends. */
  stop(): void {
    if (!this.#writer) return;
    this.#writer = undefined;
    const { stream } = this.#source;
    stream.off("data", this.#onData);
    stream.off("end", this.#onEnd);
    stream.off("error", this.#onGone);
    stream.off("close", this.#onGone);
    stream.pause();
    this.#limits.onFlow(false);
  }

  /** Ends it from the lane's side. */
  fail(reason: BodyCut): void {
    if (this.started && !this.whole) this.#fail(reason);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#limits.onBytes(chunk.length);
    this.#received += chunk.length;
    let bytes = chunk;
    if (this.#source.translate) {
      try {
        bytes = this.#source.translate(chunk);
      } catch {
        return this.#fail("content");
      }
      if (bytes.length === 0) return;
    }
    if (this.#limits.exceeds(bytes)) return this.#fail("size");
    this.#witness?.writeBody(bytes);
    if (this.#writer?.writeBody(bytes) === false && this.#writer) {
      this.#paused = true;
      this.#source.stream.pause();
      this.#limits.onFlow(false);
    }
  };

  readonly #onEnd = (): void => {
    const writer = this.#writer;
    const end = writer && this.#end();
    if (!writer || !end) return;
    try {
      this.#source.translate?.(undefined);
    } catch {
      return this.#fail("content");
    }
    this.whole = true;
    this.stop();
    this.#witness?.endBody(end);
    writer.endBody(end);
  };

  #end(): WholeEnd | undefined {
    const source = this.#source;
    const extent = { marked: source.marked(), announced: source.announced, received: this.#received };
    return endOf(extent, source.trailers());
  }

  readonly #onGone = (): void => {
    if (!this.#end()) this.#fail("client");
  };

  #fail(reason: BodyCut): void {
    const writer = this.#writer;
    if (!writer) return;
    this.cut ??= reason;
    this.stop();
    this.#witness?.cutBody(reason);
    writer.cutBody(reason);
  }
}
