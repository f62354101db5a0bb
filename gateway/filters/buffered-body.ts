/**
 * A request's body gathered whole, up to a limit, for those that must see all of it; and then sent on as if it had just
 * come.
 */
import { Readable } from "node:stream";
import type { BodySource } from "../upstream/body.ts";

/** Bytes of bodies that are held at once, in the whole gateway: many callers must not fill its memory together. */
export const HELD_BYTES_MAX = 256 * 1024 * 1024;

/** How many bytes are held. */
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

/** What became of a body: its bytes, or why there are none. */
export type ReadBody = Buffer | "too large" | "too many" | "gone";

/**
 * Never throws. What is too large is left where it is; whoever refuses it reads the rest away. The bytes of a whole body
 * stay taken from the budget until the caller gives them back; of any other nothing is taken.
 */
export function readBody(
  source: BodySource,
  options: { readonly bytesMax: number; readonly budget: BodyBudget; readonly signal: AbortSignal },
): Promise<ReadBody> {
  const { bytesMax, budget, signal } = options;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const finish = (result: ReadBody) => {
      source.off("data", onData).off("end", onEnd).off("error", onGone).off("close", onGone);
      signal.removeEventListener("abort", onGone);
      source.pause();
      if (typeof result === "string") budget.give(bytes);
      resolve(result);
    };
    const onData = (chunk: Buffer) => {
      if (bytes + chunk.length > bytesMax) return finish("too large");
      if (!budget.take(chunk.length)) return finish("too many");
      bytes += chunk.length;
      chunks.push(chunk);
    };
    const onEnd = () => finish(Buffer.concat(chunks));
    const onGone = () => finish("gone");
    source.on("data", onData).on("end", onEnd).on("error", onGone).on("close", onGone);
    signal.addEventListener("abort", onGone, { once: true });
    if (signal.aborted) finish("gone");
    else source.resume();
  });
}

export class BufferedBody extends Readable implements BodySource {
  readonly complete = true;
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
