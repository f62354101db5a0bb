/**
 * A request's body on its way up: taken from the client when the upstream wants it, counted, cut at the limit, and held
 * back while the upstream cannot take more. Nothing is read before a connection stands, so a refused connection leaves
 * the body whole for another endpoint.
 */
import type { Readable } from "node:stream";
import { endOf, type WholeEnd } from "./end.ts";

/** Where the bytes go. */
export interface BodyWriter {
  /** False: no more, please, until `resume`. */
  writeBody(chunk: Buffer): boolean;
  /** The body is whole. */
  endBody(end: WholeEnd): void;
  /** It will never be whole. */
  cutBody(reason: BodyCut): void;
}

/** `client`: it left while sending. `size`: more than allowed. `slow`: it hardly sends. `content`: it cannot be read. */
export type BodyCut = "client" | "size" | "slow" | "content";

/** What a lane knows of a body that it took in. */
export interface BodySource {
  readonly stream: Readable;
  /** Whether its protocol marked the end; asked when the stream has ended or closed. */
  marked(): boolean;
  /** Bytes that it announced. */
  readonly announced: number | undefined;
  /** What came behind it, as name, value, name, value; asked when it is whole. */
  trailers(): readonly string[];
  /** Decodes the bytes, in place of passing them on as they are; undefined: nothing more comes. @throws when they mean nothing. */
  readonly translate?: ((chunk: Buffer | undefined) => Buffer) | undefined;
}

export interface BodyLimits {
  /** Whether this much more is too much. Asked for each piece, in order. */
  exceeds(chunk: Buffer): boolean;
  /** The upstream is there and wants it, so a client that waits for leave to send may get it. */
  onStart(): void;
  /** The upstream takes no more for now, or does again: a client that is held back is not slow. */
  onFlow(flowing: boolean): void;
  /** Bytes came. */
  onBytes(bytes: number): void;
}

export class RequestBody {
  readonly #source: BodySource;
  readonly #limits: BodyLimits;
  #writer: BodyWriter | undefined;
  #witness: BodyWriter | undefined;
  #paused = false;
  #received = 0;
  /** Whether any of it was asked for. */
  started = false;
  /** Whether all of it was handed on. */
  whole = false;
  /** Why it never will be. */
  cut: BodyCut | undefined;

  constructor(source: BodySource, limits: BodyLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  /** Sends it there. Once only. */
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

  /** Is shown what the writer gets, too, and holds nothing back. */
  watch(witness: BodyWriter): void {
    this.#witness = witness;
  }

  /** The writer takes no more for now. */
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

  /** Nobody wants the rest. What the client still sends is for the lane to read away. */
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
