/**
 * Collects a request's whole body, up to a limit, for filters and mirrors that need all of it, and sends it on
 * afterwards.
 */
import { Readable } from "node:stream";
import { RequestBody, type BodyCut, type BodyWriter } from "../upstream/body.ts";
import type { WholeEnd } from "../upstream/end.ts";
import type { Transfer } from "../upstream/transfer.ts";

/** Bytes of all bodies held at once, in the whole gateway, so that many callers together cannot exhaust its memory. */
const HELD_BYTES_MAX = 256 * 1024 * 1024;

/** Counts the bytes that are held. */
export class BodyBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = HELD_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Why a body was not collected. `many`: the gateway already holds as many bytes as it may. */
export type NotGathered = BodyCut | "many";

export interface Gathered {
  readonly bytes: Buffer;
  readonly trailers: WholeEnd;
}

/**
 * Collects a body. Calls exactly one of its two callbacks, and neither after `abort`. The caller must call `abort` in
 * the end.
 */
export class Gathering implements BodyWriter, Transfer {
  readonly #body: RequestBody;
  readonly #limits: { readonly bytesMax: number; readonly budget: BodyBudget };
  readonly #onWhole: (gathered: Gathered) => Transfer;
  readonly #onCut: (reason: NotGathered) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #next: Transfer | undefined;
  #over = false;

  constructor(
    body: RequestBody,
    limits: { readonly bytesMax: number; readonly budget: BodyBudget },
    /** Continues with the body. The returned transfer receives this one's calls from then on. */
    onWhole: (gathered: Gathered) => Transfer,
    onCut: (reason: NotGathered) => void,
  ) {
    this.#body = body;
    this.#limits = limits;
    this.#onWhole = onWhole;
    this.#onCut = onCut;
    body.start(this);
  }

  writeBody(chunk: Buffer): boolean {
    const { bytesMax, budget } = this.#limits;
    if (this.#bytes + chunk.length > bytesMax) {
      this.#body.fail("size");
    } else if (budget.take(chunk.length)) {
      this.#bytes += chunk.length;
      this.#chunks.push(chunk);
    } else {
      this.#body.stop();
      this.#cut("many");
    }
    return true;
  }

  endBody(trailers: WholeEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#next = this.#onWhole({ bytes: Buffer.concat(this.#chunks), trailers });
  }

  cutBody(reason: BodyCut): void {
    this.#cut(reason);
  }

  #cut(reason: NotGathered): void {
    if (this.#over) return;
    this.#over = true;
    this.#giveBack();
    this.#onCut(reason);
  }

  #giveBack(): void {
    this.#limits.budget.give(this.#bytes);
    this.#bytes = 0;
  }

  resume(): void {
    this.#next?.resume();
  }

  abort(late?: boolean): void {
    this.#over = true;
    this.#body.stop();
    this.#next?.abort(late);
    this.#giveBack();
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

/** The body was limited while it was collected. */
const NO_LIMITS = { exceeds: () => false, onStart() {}, onFlow() {}, onBytes() {} };

export function bufferedBody({ bytes, trailers }: Gathered): RequestBody {
  const stream = new OneChunk(bytes);
  return new RequestBody({ stream, marked: () => true, announced: bytes.length, trailers: () => trailers }, NO_LIMITS);
}
