/** One call of the control API, with its headers, its deadline and its errors by code; a streamed body; a watch. */
import { deadline, type Host } from "#base";
import type { Frame } from "#http/frames";
import { errorFromProblem } from "../errors.ts";
import { watchFrames, type Acknowledgement, type WatchOptions } from "../stream.ts";
import type { RawBody, Transport, TransportRequest } from "../transport.ts";

/** Milliseconds that a plain call may take before the server counts as unreachable. */
export const CALL_TIMEOUT_MS = 10_000;
/** Milliseconds for a release: its checks may take 30 and 5 seconds, and may wait for those of other releases. */
export const RELEASE_TIMEOUT_MS = 90_000;
/** Milliseconds for a call that transfers many sets: the server checks and writes each one separately. */
export const TRANSFER_TIMEOUT_MS = 300_000;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface StreamOptions {
  readonly signal: AbortSignal;
  readonly after?: number;
  readonly onState?: WatchOptions["onState"];
}

export interface ClientOptions {
  readonly transport: Transport;
  /** Bearer token. A function is called for each request, so that the token can be renewed. */
  readonly token?: string | (() => string | undefined) | undefined;
  /**
   * The subscriber's name of this client. Its watches of the catalog then acknowledge the changes that they have applied, and a
   * drain waits for them.
   */
  readonly subscriber?: string | undefined;
}

export const enc = encodeURIComponent;

export class Caller {
  readonly host: Host;
  readonly options: ClientOptions;

  constructor(host: Host, options: ClientOptions) {
    this.host = host;
    this.options = options;
  }

  #headers(): Record<string, string> {
    const { token } = this.options;
    const value = typeof token === "function" ? token() : token;
    return value === undefined ? {} : { authorization: `Bearer ${value}` };
  }

  async call<T>(...request: Parameters<Caller["answer"]>): Promise<T> {
    return (await this.answer<T>(...request)).body;
  }

  /** Like `call`, with the headers of the answer. */
  async answer<T>(
    method: TransportRequest["method"],
    path: string,
    body: unknown,
    options: CallOptions & { timeoutMs?: number; raw?: RawBody; repeatable?: boolean },
    headers: Record<string, string> = {},
  ): Promise<{ readonly body: T; readonly header: (name: string) => string | undefined }> {
    using late = deadline(this.host.clock, options.timeoutMs ?? CALL_TIMEOUT_MS);
    const answer = await this.options.transport.request({
      method,
      path,
      headers: { ...this.#headers(), ...headers },
      ...(body === undefined ? {} : { body }),
      ...(options.raw ? { raw: options.raw } : {}),
      ...(options.repeatable === undefined ? {} : { repeatable: options.repeatable }),
      signal: options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal,
    });
    const text = await answer.text();
    if (answer.status >= 400) throw errorFromProblem(answer.status, text);
    return { body: (text === "" ? undefined : JSON.parse(text)) as T, header: (name) => answer.header(name) };
  }

  /** A body in chunks as they arrive. */
  async *download(path: string, options: CallOptions): AsyncGenerator<Uint8Array> {
    using late = deadline(this.host.clock, TRANSFER_TIMEOUT_MS);
    const answer = await this.options.transport.request({
      method: "GET",
      path,
      headers: this.#headers(),
      signal: options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal,
    });
    if (answer.status >= 400) throw errorFromProblem(answer.status, await answer.text());
    yield* answer.stream();
  }

  watch<Data>(path: string, options: StreamOptions, acknowledgement?: Acknowledgement): AsyncGenerator<Frame<Data>> {
    return watchFrames<Data>(this.host, {
      transport: this.options.transport,
      path,
      headers: () => this.#headers(),
      signal: options.signal,
      after: options.after,
      onState: options.onState,
      acknowledgement,
    });
  }
}

/** The query string of the fields that are not undefined. */
export function queryOf(given: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) if (value !== undefined) query.set(name, String(value));
  return query.toString();
}
