/**
 * `fetch` for services: `http://orders.service/path` reaches a healthy instance of orders. It is undici's own fetch over a dispatcher
 * of the same package: the fetch inside Node belongs to another version of undici, which rejects this dispatcher. Other URLs go to the
 * global fetch.
 */
import {
  fetch as undiciFetch,
  type Dispatcher,
  type RequestInit as UndiciInit,
  type Response as UndiciResponse,
} from "undici";
import { AppError } from "#base";
import { isServiceHost, mayNameService } from "../core/service-url.ts";
import { ClientErrors } from "../errors.ts";
import { globalResponse, ownRequest, urlOf } from "./foreign-request.ts";
import type { CallLimits } from "./service-call.ts";
import type { ServiceDispatcher } from "./service-dispatcher.ts";
import { incomingTrace } from "./trace-context.ts";

/** Milliseconds to the head of an answer, over all attempts, unless the call sets its own. */
const DEADLINE_MS = 30_000;
/** The longest timer of Node. */
const DEADLINE_MS_MAX = 2 ** 31 - 1;

export interface ServiceFetchInit extends RequestInit {
  /** Milliseconds to the head of the answer, over all attempts. Only for services. @default 30,000 */
  readonly deadlineMs?: number | undefined;
}

/** @throws CLIENT_SERVICE_… for a service; errors of other URLs are those of the global fetch */
export type ServiceFetch = (input: string | URL | Request, init?: ServiceFetchInit) => Promise<Response>;

type GlobalFetch = typeof globalThis.fetch;

/** The dispatchers of one client: one object for all calls with the same limits, since fetch passes no options through. */
export class ServiceFetcher implements AsyncDisposable {
  readonly #dispatcher: ServiceDispatcher;
  readonly #plain: GlobalFetch;
  readonly #usual: Dispatcher;

  constructor(dispatcher: ServiceDispatcher) {
    this.#dispatcher = dispatcher;
    this.#usual = this.#limited({ deadlineMs: DEADLINE_MS, isRetry: false });
    // Before `install`, so that a fetch that was replaced is never called in a circle.
    this.#plain = globalThis.fetch;
  }

  readonly fetch: ServiceFetch = (input, init) =>
    isService(urlOf(input))
      ? (this.#call(input, init) as Promise<unknown> as Promise<Response>)
      : this.#plain(input, init);

  /** Makes the global fetch reach services too, until the returned function is called. */
  install(): Disposable & (() => void) {
    const before = globalThis.fetch;
    const installed: GlobalFetch = async (input, init) =>
      isService(urlOf(input)) ? globalResponse(await this.#call(input, init)) : before(input, init);
    globalThis.fetch = installed;
    const undo = () => {
      // Another replacement that came later stays in place.
      if (globalThis.fetch === installed) globalThis.fetch = before;
    };
    return Object.assign(undo, { [Symbol.dispose]: undo });
  }

  async #call(input: Parameters<GlobalFetch>[0], init: ServiceFetchInit | undefined): Promise<UndiciResponse> {
    const trace = incomingTrace();
    const [request, options] = ownRequest(input, init);
    const dispatcher =
      init?.deadlineMs === undefined && !trace?.isRetry
        ? this.#usual
        : this.#limited({ deadlineMs: deadlineOf(init), isRetry: trace?.isRetry ?? false });
    try {
      return await undiciFetch(request, {
        ...(trace?.traceparent ? traced(input, options, trace) : options),
        dispatcher,
      });
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      if (cause instanceof AppError) throw cause;
      throw error;
    }
  }

  /** Ends the calls under way, and the watches. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#dispatcher[Symbol.asyncDispose]();
  }

  /** The part of a dispatcher that fetch uses. */
  #limited(limits: CallLimits): Dispatcher {
    const dispatch = (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) =>
      this.#dispatcher.dispatch(options, handler, limits);
    return { dispatch } as unknown as Dispatcher;
  }
}

function isService(url: string): boolean {
  if (!mayNameService(url)) return false;
  const parsed = URL.parse(url);
  return parsed !== null && /^https?:$/.test(parsed.protocol) && isServiceHost(parsed.hostname);
}

function deadlineOf(init: ServiceFetchInit | undefined): number {
  const { deadlineMs = DEADLINE_MS } = init ?? {};
  if (!(deadlineMs > 0 && deadlineMs <= DEADLINE_MS_MAX))
    throw ClientErrors.OPTION_INVALID(
      `Option deadlineMs: ${deadlineMs} is not a number of milliseconds between 1 and ${DEADLINE_MS_MAX}.`,
      { extra: { field: "deadlineMs" } },
    );
  return deadlineMs;
}

/** The options with the trace of the request that is being answered, unless the caller set a trace itself. */
function traced(
  input: Parameters<GlobalFetch>[0],
  options: UndiciInit,
  { traceparent, tracestate }: { traceparent: string | undefined; tracestate: string | undefined },
): UndiciInit {
  const given = options.headers ?? (input instanceof Request ? [...input.headers] : []);
  const headers = new Headers(given);
  if (headers.has("traceparent") || traceparent === undefined) return options;
  headers.set("traceparent", traceparent);
  if (tracestate !== undefined) headers.set("tracestate", tracestate);
  return { ...options, headers: [...headers] };
}
