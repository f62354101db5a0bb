/**
 * Bodies of forwarded requests. A body is read before it is sent, because a repeatable call may move to another member. So all bodies
 * that are held at a time share one budget.
 */
import type { FastifyRequest } from "fastify";
import type { Readable } from "node:stream";
import { HttpErrors } from "#http";

/** Bytes of one body: the largest that the control API accepts, the zip of an import. */
export const FORWARDED_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of all bodies that are held at a time: two of the largest. */
const FORWARDED_BYTES_TOTAL_MAX = 2 * FORWARDED_BYTES_MAX;

export class ForwardedBodies {
  #held = 0;

  /**
   * The whole body; undefined without one. `release` is called once the answer has ended.
   * @throws HTTP_BODY_TOO_LARGE, HTTP_UNAVAILABLE when other bodies use up the budget
   */
  async read({
    body,
  }: FastifyRequest): Promise<{ readonly bytes: Uint8Array | undefined; readonly release: () => void }> {
    if (body === undefined || body === null) return { bytes: undefined, release: () => {} };
    let size = 0;
    const release = () => {
      this.#held -= size;
      size = 0;
    };
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of body as Readable) {
        const { length } = chunk as Uint8Array;
        size += length;
        this.#held += length;
        if (size > FORWARDED_BYTES_MAX) {
          throw HttpErrors.BODY_TOO_LARGE(
            `The body is larger than ${FORWARDED_BYTES_MAX} bytes, the most that any path accepts.`,
          );
        }
        if (this.#held > FORWARDED_BYTES_TOTAL_MAX) {
          throw HttpErrors.UNAVAILABLE("The agent is forwarding too many large bodies at a time. Try again shortly.");
        }
        chunks.push(chunk as Uint8Array);
      }
    } catch (error) {
      release();
      throw error;
    }
    return { bytes: Buffer.concat(chunks), release };
  }
}
