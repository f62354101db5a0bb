/**
 * One call over any transport. Every transport uses `carry`, so an aborted signal never starts a call, an aborted call ends with the
 * abort's reason at both ends, and every error of a body has a listener.
 */
import type { Readable } from "node:stream";
import { AppError, messageOf, own } from "#base";
import { ClientErrors } from "./errors.ts";

export type AnswerHeaders = Readonly<Record<string, string | string[] | number | undefined>>;

/** The head of an answer, and its body as a stream. */
export interface CarriedAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: Readable;
  /** Whether the body that has ended is complete. Absent: a body that breaks off ends with an error. */
  readonly isWhole?: () => boolean;
}

export interface TransportResponse {
  readonly status: number;
  header(name: string): string | undefined;
  /** All headers, with names in lower case, for callers that forward an answer. */
  headers(): Readonly<Record<string, string>>;
  /** The whole body as text. */
  text(): Promise<string>;
  /** The body in chunks as they arrive. Leaving the loop also ends the producer. */
  stream(): AsyncIterable<Uint8Array>;
}

/**
 * Makes one call. `start` must begin it before it returns its promise, and end it when the signal aborts.
 * @throws the signal's reason once it aborts, the error of `start`, CLIENT_UNREACHABLE when the body breaks off
 */
export async function carry(
  signal: AbortSignal,
  start: (signal: AbortSignal) => Promise<CarriedAnswer>,
): Promise<TransportResponse> {
  signal.throwIfAborted();
  const abort = new AbortController();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const forward = () => {
    abort.abort(signal.reason);
    aborted.reject(signal.reason as Error);
  };
  const release = () => signal.removeEventListener("abort", forward);
  signal.addEventListener("abort", forward, { once: true });
  const started = start(abort.signal).then((answer) => {
    // The reader of the body receives its error. Without a reader the error is ignored, since it must not end the process.
    answer.body.on("error", () => {});
    answer.body.once("close", release);
    if (abort.signal.aborted) answer.body.destroy();
    return answer;
  });
  try {
    // Some transports do not notice an abort before the head of the answer.
    return respond(await Promise.race([started, aborted.promise]), signal, abort);
  } catch (error) {
    release();
    started.catch(() => {});
    signal.throwIfAborted();
    throw error;
  }
}

function respond(answer: CarriedAnswer, signal: AbortSignal, abort: AbortController): TransportResponse {
  const { status, headers } = answer;
  return {
    status,
    header: (name) => headerOf(headers, name),
    headers: () => Object.fromEntries(Object.keys(headers).map((name) => [name, headerOf(headers, name) ?? ""])),
    async text() {
      const chunks: Uint8Array[] = [];
      for await (const chunk of chunksOf(answer, signal)) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    },
    async *stream() {
      try {
        yield* chunksOf(answer, signal);
      } finally {
        abort.abort(new Error("the reader left"));
        answer.body.destroy();
      }
    },
  };
}

async function* chunksOf({ body, isWhole }: CarriedAnswer, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk as Uint8Array;
    if (isWhole?.() === false) throw new Error("the server broke it off");
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AppError) throw error;
    throw ClientErrors.UNREACHABLE(`The answer ended early: ${messageOf(error)}.`, { cause: error });
  }
}

function headerOf(headers: AnswerHeaders, name: string): string | undefined {
  const value = own(headers, name.toLowerCase());
  return value === undefined ? undefined : Array.isArray(value) ? value.join(", ") : String(value);
}
