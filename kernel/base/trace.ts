/**
 * W3C trace context, and the spans that modules open. Pure: parsing and printing of `traceparent`, and a tracer that only passes ids
 * on. The composition root provides the tracer that records and exports.
 * @see https://www.w3.org/TR/trace-context/
 */
import type { Random } from "./chance.ts";

export interface SpanContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
  /** The `tracestate` header, passed on unchanged. */
  readonly state?: string;
}

export type SpanKind = "server" | "client" | "internal";

export interface Span {
  readonly context: SpanContext;
  /** False when nothing is recorded, so that callers can skip child spans and attributes. */
  readonly recording: boolean;
  set(name: string, value: string | number | boolean): void;
  /** A better name, once the route is known. */
  rename(name: string): void;
  /** Marks the span as failed, with the reason. */
  fail(reason: string): void;
  /** Attributes that are costly: `describe` sets them, and is called only if the span is kept, possibly after its end. */
  later(describe: () => void): void;
  end(): void;
}

export interface SpanStart {
  readonly kind: SpanKind;
  readonly parent?: SpanContext | undefined;
  /** The parent's sender is not trusted to decide about sampling: its trace continues, and sampling is drawn again. */
  readonly resample?: boolean;
}

export interface Tracer {
  start(name: string, options: SpanStart): Span;
}

/** Whether a span is sampled: like its parent, if it has a trusted one; otherwise by `draw`. */
export function isSampled({ parent, resample = false }: SpanStart, draw: () => boolean): boolean {
  return parent && !resample ? parent.sampled : draw();
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZERO_TRACE = "0".repeat(32);
const ZERO_SPAN = "0".repeat(16);

/** Reads `traceparent`. A malformed header counts as absent, as the recommendation requires. */
export function parseTraceparent(header: string | undefined, state?: string): SpanContext | undefined {
  if (header === undefined || header.length > 512) return undefined;
  const match = TRACEPARENT.exec(header);
  if (!match) return undefined;
  const [, version, traceId, spanId, flags, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string?,
  ];
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (traceId === ZERO_TRACE || spanId === ZERO_SPAN) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1, ...(state ? { state } : {}) };
}

export function formatTraceparent(context: SpanContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`;
}

/** A tracer that records nothing but keeps traces whole: a child keeps its parent's trace id and, if it is trusted, sampling. */
export function passThroughTracer(random: Random): Tracer {
  return {
    start(_name, options) {
      const context = childContext(
        random,
        options.parent,
        isSampled(options, () => false),
      );
      return { context, recording: false, set() {}, rename() {}, fail() {}, later() {}, end() {} };
    },
  };
}

/** A new span's context: of the parent's trace, or of a new one. */
export function childContext(random: Random, parent: SpanContext | undefined, sampled: boolean): SpanContext {
  const hex = (bytes: number) => Buffer.from(random.bytes(bytes)).toString("hex");
  return {
    traceId: parent?.traceId ?? hex(16),
    spanId: hex(8),
    sampled,
    ...(parent?.state ? { state: parent.state } : {}),
  };
}
