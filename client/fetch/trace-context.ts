/** The trace context of the request that a service is answering, so that its calls to other services belong to the same trace. */
import { AsyncLocalStorage } from "node:async_hooks";
import { ATTEMPT_HEADER } from "#gateway/balancing";

/** Headers of the request that is being answered, by name in lower case. */
export type IncomingHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

interface IncomingTrace {
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** The request is already a retry, so calls made for it are not retried again. */
  readonly isRetry: boolean;
}

const current = new AsyncLocalStorage<IncomingTrace>();

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Runs the work for a request. Calls by `client.fetch` in it continue the request's trace. */
export function withTraceOf<T>(headers: IncomingHeaders, work: () => T): T {
  const traceparent = single(headers["traceparent"]);
  const isRetry = Number(single(headers[ATTEMPT_HEADER]) ?? 1) > 1;
  if (traceparent === undefined && !isRetry) return work();
  return current.run({ traceparent, tracestate: single(headers["tracestate"]), isRetry }, work);
}

export function incomingTrace(): IncomingTrace | undefined {
  return current.getStore();
}
