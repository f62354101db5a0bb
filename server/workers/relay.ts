/**
 * How workers reach the control plane: the main process asks for them, over its own connections and with its own token,
 * and passes on the answer as it comes. So there is one way to the control plane, in whatever process that is.
 */
import { PassThrough } from "node:stream";
import { messageOf, own } from "#base";
import { ClientErrors, type Transport, type TransportResponse } from "#client";
import type { FromWorker, RelayedHead, RelayedRequest, ToWorker } from "./messages.ts";

/** The main process's end, for one worker. */
export class Relay implements Disposable {
  readonly #way: { readonly transport: Transport; readonly token: string };
  readonly #post: (message: ToWorker) => Promise<void>;
  readonly #open = new Map<number, AbortController>();

  /** `post` resolves once the message has left, so that a worker which does not read slows its own answers only. */
  constructor(
    way: { readonly transport: Transport; readonly token: string },
    post: (message: ToWorker) => Promise<void>,
  ) {
    this.#way = way;
    this.#post = post;
  }

  async take({ id, method, path, headers, body, raw }: RelayedRequest): Promise<void> {
    const abort = new AbortController();
    this.#open.set(id, abort);
    const { transport, token } = this.#way;
    try {
      const answer = await transport.request({
        method,
        path,
        headers: { ...headers, authorization: `Bearer ${token}` },
        ...(body === undefined ? {} : { body }),
        ...(raw === undefined ? {} : { raw }),
        signal: abort.signal,
      });
      await this.#post({ type: "head", id, status: answer.status, headers: answer.headers() });
      for await (const bytes of answer.stream()) await this.#post({ type: "chunk", id, bytes });
      await this.#post({ type: "end", id });
    } catch (error) {
      // Whoever gave up, or is gone, wants to know nothing more.
      if (!abort.signal.aborted) await this.#post({ type: "failed", id, message: messageOf(error) }).catch(() => {});
    } finally {
      this.#open.delete(id);
    }
  }

  abort(id: number): void {
    this.#open.get(id)?.abort(new Error("the worker gave up"));
  }

  /** Its worker is gone. */
  [Symbol.dispose](): void {
    for (const abort of this.#open.values()) abort.abort(new Error("the worker is gone"));
  }
}

interface Asked {
  readonly body: PassThrough;
  readonly answered: PromiseWithResolvers<TransportResponse>;
}

/** A worker's end. */
export class RelayTransport implements Transport {
  readonly #post: (message: FromWorker) => void;
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  async request({ method, path, headers = {}, body, raw, signal }: Parameters<Transport["request"]>[0]) {
    signal.throwIfAborted();
    const id = ++this.#last;
    const asked: Asked = { body: new PassThrough(), answered: Promise.withResolvers() };
    // Its reader, if there is one by then, hears of the error; nobody else needs to.
    asked.body.on("error", () => {});
    const abort = () => {
      this.#end(id);
      asked.answered.reject(signal.reason);
      asked.body.destroy(signal.reason as Error);
      this.#post({ type: "abort", id });
    };
    signal.addEventListener("abort", abort, { once: true });
    asked.body.once("close", () => {
      signal.removeEventListener("abort", abort);
      // The reader left before the end.
      if (this.#end(id)) this.#post({ type: "abort", id });
    });
    this.#asked.set(id, asked);
    const content = { ...(body === undefined ? {} : { body }), ...(raw === undefined ? {} : { raw }) };
    this.#post({ type: "request", id, method, path, headers, ...content });
    return await asked.answered.promise;
  }

  hear(message: Extract<ToWorker, { readonly id: number }>): void {
    const asked = this.#asked.get(message.id);
    if (!asked) return;
    if (message.type === "head") asked.answered.resolve(respond(message, asked.body));
    else if (message.type === "chunk") asked.body.write(message.bytes);
    else if (message.type === "end") {
      this.#end(message.id);
      asked.body.end();
    } else if (message.type === "failed") {
      this.#end(message.id);
      const error = ClientErrors.UNREACHABLE(message.message);
      asked.answered.reject(error);
      asked.body.destroy(error);
    }
  }

  /** Whether it was still under way. */
  #end(id: number): boolean {
    return this.#asked.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { body } of this.#asked.values()) body.destroy();
  }
}

function respond({ status, headers }: RelayedHead, body: PassThrough): TransportResponse {
  return {
    status,
    header: (name) => own(headers, name.toLowerCase()),
    headers: () => headers,
    async text() {
      const chunks: Buffer[] = [];
      for await (const chunk of body) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    },
    async *stream() {
      for await (const chunk of body) yield chunk as Uint8Array;
    },
  };
}
