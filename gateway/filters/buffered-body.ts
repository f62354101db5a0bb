/**
 * A request's body gathered whole, up to a limit, for those that must see all of it; and then sent on as if it had just
 * come.
 */
import { Readable } from "node:stream";
import type { BodySource } from "../upstream/body.ts";

/** Never throws. What is too large is left where it is; whoever refuses it reads the rest away. */
export function readBody(
  source: BodySource,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Buffer | "too large" | "gone"> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const finish = (result: Buffer | "too large" | "gone") => {
      source.off("data", onData).off("end", onEnd).off("error", onGone).off("close", onGone);
      signal.removeEventListener("abort", onGone);
      source.pause();
      resolve(result);
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) finish("too large");
      else chunks.push(chunk);
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
