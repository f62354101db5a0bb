/**
 * The trace context of a caller: W3C, or B3 (the single header `b3`, or one header for each part), which callers with Zipkin or an
 * older Istio send. Pure.
 * @see https://www.w3.org/TR/trace-context/ and https://github.com/openzipkin/b3-propagation
 */
import { parseTraceparent, type SpanContext } from "./trace.ts";

/** The context of a caller. */
export interface IncomingTrace {
  readonly parent: SpanContext;
  /** False: the caller leaves the decision about sampling to the receiver, which B3 allows. */
  readonly isDecided: boolean;
}

/** The values of a header, in order; the name in lower case. */
type HeaderReader = (name: string) => readonly string[];

const TRACE_ID = /^(?:[0-9a-f]{16}){1,2}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;
const ZERO = /^0+$/;
/** `d` is B3's debug flag, which implies that the trace is sampled. Some older senders write words. */
const SAMPLED: ReadonlySet<string> = new Set(["1", "d", "true"]);
const NOT_SAMPLED: ReadonlySet<string> = new Set(["0", "false"]);

/**
 * Reads the W3C headers, or, without `traceparent`, those of B3. Two of one header contradict each other, so a new trace
 * starts. A malformed header counts as absent.
 * @see W3C Trace Context §3.2
 */
export function readIncomingTrace(header: HeaderReader): IncomingTrace | undefined {
  const traceparents = header("traceparent");
  if (traceparents.length > 1) return undefined;
  const parent = parseTraceparent(traceparents[0], header("tracestate").join(",") || undefined);
  return parent ? { parent, isDecided: true } : readB3(header);
}

function readB3(header: HeaderReader): IncomingTrace | undefined {
  const [single, another] = header("b3");
  if (another !== undefined) return undefined;
  if (single !== undefined) {
    const [traceId, spanId, state] = single.toLowerCase().split("-", 4);
    return contextOf(traceId, spanId, state);
  }
  const traceId = lone(header("x-b3-traceid"));
  // Most requests have no trace, and reading a header costs a pass over all of them.
  if (traceId === undefined) return undefined;
  const [flags] = header("x-b3-flags");
  const [sampled] = header("x-b3-sampled");
  return contextOf(traceId, lone(header("x-b3-spanid")), flags === "1" ? "d" : sampled?.toLowerCase());
}

function lone(values: readonly string[]): string | undefined {
  return values.length === 1 ? values[0]?.toLowerCase() : undefined;
}

/** A trace id of 64 bits is padded on the left, as the specification asks. */
function contextOf(traceId = "", spanId = "", state: string | undefined): IncomingTrace | undefined {
  if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId) || ZERO.test(traceId) || ZERO.test(spanId)) return undefined;
  const isSampled = state !== undefined && SAMPLED.has(state);
  const isDecided = isSampled || (state !== undefined && NOT_SAMPLED.has(state));
  return { parent: { traceId: traceId.padStart(32, "0"), spanId, sampled: isSampled }, isDecided };
}
