/**
 * A request's body gathered whole, up to a limit, for those that must see all of it; and then sent on as if it had just
 * come.
 */
import { Readable } from "node:stream";
import { RequestBody, type BodyCut, type BodyWriter } from "../upstream/body.ts";
import type { Transfer } from "../upstream/transfer.ts";

export interface Gathered {
  readonly bytes: Buffer;
  readonly trailers: readonly string[];
}

/** Takes a body in. Exactly one of the two is called, and neither after `abort`. */
export class Gathering implements BodyWriter, Transfer {
  readonly #body: RequestBody;
  readonly #bytesMax: number;
  readonly #onWhole: (gathered: Gathered) => Transfer;
  readonly #onCut: (reason: BodyCut) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #next: Transfer | undefined;
  #over = false;

  constructor(
    body: RequestBody,
    bytesMax: number,
    /** What the body was gathered for; its transfer is this one's from then on. */
    onWhole: (gathered: Gathered) => Transfer,
    onCut: (reason: BodyCut) => void,
  ) {
    this.#body = body;
    this.#bytesMax = bytesMax;
    this.#onWhole = onWhole;
    this.#onCut = onCut;
    body.start(this);
  }

  writeBody(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) this.#body.fail("size");
    else this.#chunks.push(chunk);
    return true;
  }

  endBody(trailers: readonly string[]): void {
    if (this.#over) return;
    this.#over = true;
    this.#next = this.#onWhole({ bytes: Buffer.concat(this.#chunks), trailers });
  }

  cutBody(reason: BodyCut): void {
    if (this.#over) return;
    this.#over = true;
    this.#onCut(reason);
  }

  resume(): void {
    this.#next?.resume();
  }

  abort(): void {
    this.#over = true;
    this.#body.stop();
    this.#next?.abort();
  }
}

class OneChunk extends Readable {
  #bytes: Buffer | undefined;

  constructor(bytes: Buffer) {
    super();
    this.#bytes = bytes;
    this.pause();
  }

  override _read(): void {
    const bytes = this.#bytes;
    this.#bytes = undefined;
    if (bytes && bytes.length > 0) this.push(bytes);
    this.push(null);
  }
}

/** It was counted and waited for when it was gathered. */
const NO_LIMITS = { exceeds: () => false, onStart() {}, onFlow() {}, onBytes() {} };

export function bufferedBody({ bytes, trailers }: Gathered): RequestBody {
  const stream = new OneChunk(bytes);
  return new RequestBody({ stream, complete: () => true, trailers: () => trailers }, NO_LIMITS);
}
