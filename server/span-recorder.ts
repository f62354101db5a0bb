/**
 * Records the spans of this process, and decides at the end of a request whether they are kept: a sampled trace always is, any other
 * only if the request failed or was slow. A record is small, and attributes are computed for kept spans only.
 */
import {
  childContext,
  isSampled,
  setOwn,
  type Host,
  type Span,
  type SpanContext,
  type SpanKind,
  type Tracer,
} from "#base";

/** Finished spans of one request that wait for its end. A request with more tries than this loses the later ones. */
const SPANS_WAITING_MAX = 64;

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface FinishedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: SpanContext;
  readonly parent: SpanContext | undefined;
  /** Milliseconds since 1970, with a fraction. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly attributes: SpanAttributes;
  /** The reason of a failed span. */
  readonly failure: string | undefined;
}

export interface SpanRecorderOptions {
  /** Share of traces started here that are sampled. */
  readonly sampleRatio: number;
  /** A request that takes at least as long is kept. Milliseconds. */
  readonly slowMs: number;
  readonly keep: (span: FinishedSpan) => void;
}

export function spanRecorder({ clock, random }: Host, options: SpanRecorderOptions): Tracer {
  const draw = () => random.float() < options.sampleRatio;
  return {
    start(name, start) {
      const sampled = isSampled(start, draw);
      const nowMs = clock.monotonic();
      const part = LocalContext.partOf(start.parent) ?? new TracePart(options, { at: clock.now(), ms: nowMs });
      const context = new LocalContext(childContext(random, start.parent, sampled), part);
      return new RecordedSpan(clock, part, { name, kind: start.kind, context, parent: start.parent, startedMs: nowMs });
    },
  };
}

/** The spans of one trace in this process, from the first one on. */
class TracePart {
  readonly options: SpanRecorderOptions;
  /** The same moment as a time and on the monotonic clock, so that all spans of the part are in order. */
  readonly #started: { readonly at: number; readonly ms: number };
  /** The first span, whose end decides. */
  #first: RecordedSpan | undefined;
  /** Undefined: not decided yet. */
  #isKept: boolean | undefined;
  #waiting: RecordedSpan[] = [];

  constructor(options: SpanRecorderOptions, started: { at: number; ms: number }) {
    this.options = options;
    this.#started = started;
  }

  began(span: RecordedSpan): void {
    this.#first ??= span;
  }

  ended(span: RecordedSpan, durationMs: number): void {
    if (span === this.#first) {
      this.#isKept = span.context.sampled || span.hasFailed || durationMs >= this.options.slowMs;
      const waiting = this.#waiting;
      this.#waiting = [];
      if (!this.#isKept) return;
      for (const other of waiting) this.#keep(other);
      this.#keep(span);
    } else if (this.#isKept ?? span.context.sampled) this.#keep(span);
    else if (this.#isKept === undefined && this.#waiting.length < SPANS_WAITING_MAX) this.#waiting.push(span);
  }

  #keep(span: RecordedSpan): void {
    this.options.keep(span.finished((ms) => this.#started.at + ms - this.#started.ms));
  }
}

/** A context that still knows its part of the trace, so that a child joins it. */
class LocalContext implements SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
  readonly state?: string;
  readonly #part: TracePart;

  constructor({ traceId, spanId, sampled, state }: SpanContext, part: TracePart) {
    this.traceId = traceId;
    this.spanId = spanId;
    this.sampled = sampled;
    if (state !== undefined) this.state = state;
    this.#part = part;
  }

  static partOf(context: SpanContext | undefined): TracePart | undefined {
    return context instanceof LocalContext ? context.#part : undefined;
  }
}

interface SpanBeginning {
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: SpanContext;
  readonly parent: SpanContext | undefined;
  readonly startedMs: number;
}

class RecordedSpan implements Span {
  readonly context: SpanContext;
  readonly recording = true;
  readonly #clock: Host["clock"];
  readonly #part: TracePart;
  readonly #beginning: SpanBeginning;
  readonly #attributes: Record<string, string | number | boolean> = {};
  #name: string;
  #failure: string | undefined;
  #later: (() => void)[] = [];
  #durationMs: number | undefined;

  constructor(clock: Host["clock"], part: TracePart, beginning: SpanBeginning) {
    this.#clock = clock;
    this.#part = part;
    this.#beginning = beginning;
    this.#name = beginning.name;
    this.context = beginning.context;
    part.began(this);
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  set(name: string, value: string | number | boolean): void {
    setOwn(this.#attributes, name, value);
  }

  rename(name: string): void {
    this.#name = name;
  }

  fail(reason: string): void {
    this.#failure = reason;
  }

  later(describe: () => void): void {
    this.#later.push(describe);
  }

  end(): void {
    if (this.#durationMs !== undefined) return;
    this.#durationMs = this.#clock.monotonic() - this.#beginning.startedMs;
    this.#part.ended(this, this.#durationMs);
  }

  finished(timeOf: (monotonicMs: number) => number): FinishedSpan {
    for (const describe of this.#later) describe();
    this.#later = [];
    const { kind, context, parent, startedMs } = this.#beginning;
    return {
      name: this.#name,
      kind,
      context,
      parent,
      startedAt: timeOf(startedMs),
      durationMs: this.#durationMs ?? 0,
      attributes: this.#attributes,
      failure: this.#failure,
    };
  }
}
