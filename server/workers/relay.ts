/**
 * Carries workers' calls to the control plane: the main process makes them over its own connections and with its own token, and streams
 * back the responses. So there is one connection to the control plane, whatever process uses it.
 */
import { PassThrough } from "node:stream";
import { messageOf } from "#base";
import {
  carry,
  ClientErrors,
  type CarriedAnswer,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from "#client";
import type { FromWorker, RelayedRequest, ToWorker } from "./messages.ts";

/** The main process's end, for one worker. */
export class Relay implements Disposable {
  readonly #way: { readonly transport: Transport; readonly token: string | undefined };
  readonly #post: (message: ToWorker) => Promise<void>;
  readonly #open = new Map<number, AbortController>();

  /** `post` resolves once the message has left, so that a worker that does not read delays only its own responses. */
  constructor(
    way: { readonly transport: Transport; readonly token: string | undefined },
    post: (message: ToWorker) => Promise<void>,
  ) {
    this.#way = way;
    this.#post = post;
  }

  async take({ id, method, path, headers, body, raw, repeatable }: RelayedRequest): Promise<void> {
    const abort = new AbortController();
    this.#open.set(id, abort);
    const { transport, token } = this.#way;
    try {
      const answer = await transport.request({
        method,
        path,
        headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        ...(body === undefined ? {} : { body }),
        ...(raw === undefined ? {} : { raw }),
        ...(repeatable === undefined ? {} : { repeatable }),
        signal: abort.signal,
      });
      await this.#post({ type: "head", id, status: answer.status, headers: answer.headers() });
      for await (const bytes of answer.stream()) await this.#post({ type: "chunk", id, bytes });
      await this.#post({ type: "end", id });
    } catch (error) {
      // A worker that aborted, or has ended, needs no response.
      if (!abort.signal.aborted) await this.#post({ type: "failed", id, message: messageOf(error) }).catch(() => {});
    } finally {
      this.#open.delete(id);
    }
  }

  abort(id: number): void {
    this.#open.get(id)?.abort(new Error("the worker aborted the request"));
  }

  /** The worker has ended. */
  [Symbol.dispose](): void {
    for (const abort of this.#open.values()) abort.abort(new Error("the worker has ended"));
  }
}

interface Asked {
  readonly body: PassThrough;
  readonly answered: PromiseWithResolvers<CarriedAnswer>;
}

/** A worker's end. */
export class RelayTransport implements Transport {
  readonly #post: (message: FromWorker) => void;
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  request({ signal, ...request }: TransportRequest): Promise<TransportResponse> {
    return carry(signal, (aborted) => this.#start(request, aborted));
  }

  #start(request: Omit<TransportRequest, "signal">, signal: AbortSignal): Promise<CarriedAnswer> {
    const { method, path, headers = {}, body, raw, repeatable } = request;
    const id = ++this.#last;
    const asked: Asked = { body: new PassThrough(), answered: Promise.withResolvers() };
    const abort = () => {
      asked.answered.reject(signal.reason);
      asked.body.destroy(signal.reason as Error);
    };
    // Until the head arrives, `carry` does not handle errors of the body.
    asked.body.on("error", () => {});
    asked.body.once("close", () => {
      signal.removeEventListener("abort", abort);
      // Closed before the end: the caller aborted, or its reader left.
      if (this.#end(id)) this.#post({ type: "abort", id });
    });
    signal.addEventListener("abort", abort, { once: true });
    this.#asked.set(id, asked);
    const content = {
      ...(body === undefined ? {} : { body }),
      ...(raw === undefined ? {} : { raw }),
      ...(repeatable === undefined ? {} : { repeatable }),
    };
    this.#post({ type: "request", id, method, path, headers, ...content });
    return asked.answered.promise;
  }

  receive(message: Extract<ToWorker, { readonly id: number }>): void {
    const asked = this.#asked.get(message.id);
    if (!asked) return;
    if (message.type === "head") {
      asked.answered.resolve({ status: message.status, headers: message.headers, body: asked.body });
    } else if (message.type === "chunk") asked.body.write(message.bytes);
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

  /** @returns whether the request was still running */
  #end(id: number): boolean {
    return this.#asked.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = ClientErrors.UNREACHABLE("The worker is stopping.");
    for (const { body, answered } of this.#asked.values()) {
      answered.reject(gone);
      body.destroy(gone);
    }
  }
}
