/**
 * Exports recorded spans over OTLP, when an endpoint is set. Starts first and stops last, so that the last request of a stopping process
 * is exported, too. Without an endpoint, this module is not even loaded.
 */
import {
  context,
  createTraceState,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type HrTime,
  type Tracer as OtelTracer,
} from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { AlwaysOnSampler, BatchSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace";
import type { OtlpProtocol } from "#settings";
import { messageOf, type Host, type SpanContext, type Tracer } from "#base";
import { lossCounter, type LossCounter } from "./span-losses.ts";
import { spanRecorder, type FinishedSpan } from "./span-recorder.ts";

/** Milliseconds that finished spans are collected before they are sent. */
const EXPORT_DELAY_MS = 1_000;
/** Longest export, and longest wait of a stop for the last export, in milliseconds. */
const EXPORT_TIMEOUT_MS = 3_000;
/** Spans that wait to be sent or are being sent. More are dropped, because a slow collector must not cost memory. */
const SPANS_UNSENT_MAX = 8_192;

export interface TelemetryOptions {
  /** Base URL of the collector. Over HTTP, spans go to `/v1/traces` below it. */
  readonly otlpUrl: string;
  readonly otlpProtocol: OtlpProtocol;
  /** Share of traces started here that are sampled. */
  readonly sampleRatio: number;
  /** A request that takes at least as long is exported, sampled or not. Milliseconds. */
  readonly slowMs: number;
  readonly serviceName: string;
}

export interface Telemetry extends AsyncDisposable {
  readonly tracer: Tracer;
}

/** A version 4 UUID, since the conventions ask for one that is new with each process. */
function instanceId({ random }: Host): string {
  const bytes = Buffer.from(random.bytes(16));
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/** The options that the exporters share. */
interface ExporterOptions {
  readonly url: string;
  readonly timeoutMillis: number;
}

/** Each protocol loads its own exporter, since a process uses one of them. */
const EXPORTERS: Readonly<Record<OtlpProtocol, (options: ExporterOptions) => Promise<SpanExporter>>> = {
  "http/protobuf": async (options) =>
    new (await import("@opentelemetry/exporter-trace-otlp-proto")).OTLPTraceExporter(options),
  "http/json": async (options) =>
    new (await import("@opentelemetry/exporter-trace-otlp-http")).OTLPTraceExporter(options),
  grpc: async (options) => new (await import("@opentelemetry/exporter-trace-otlp-grpc")).OTLPTraceExporter(options),
};

/** gRPC has one address for every signal. */
function exporterUrl(otlpUrl: string, protocol: OtlpProtocol): string {
  return protocol === "grpc" ? otlpUrl : new URL("v1/traces", otlpUrl.endsWith("/") ? otlpUrl : `${otlpUrl}/`).href;
}

export async function startTelemetry(host: Host, options: TelemetryOptions): Promise<Telemetry> {
  const { otlpUrl, otlpProtocol, sampleRatio, slowMs, serviceName } = options;
  const url = exporterUrl(otlpUrl, otlpProtocol);
  const losses = lossCounter(host, url);
  const exporter = await EXPORTERS[otlpProtocol]({ url, timeoutMillis: EXPORT_TIMEOUT_MS });
  const outlet = new SpanOutlet(exporter, losses, {
    "service.name": serviceName,
    "service.instance.id": instanceId(host),
  });
  return {
    tracer: spanRecorder(host, { sampleRatio, slowMs, keep: (span) => outlet.take(span) }),
    async [Symbol.asyncDispose]() {
      try {
        await outlet.close();
      } catch (error) {
        host.log.warn({ err: error }, `cannot export the last spans: ${messageOf(error)}`);
      }
    },
  };
}

/** Hands kept spans to the SDK, which sends them in batches, and counts those that cannot be sent. */
class SpanOutlet {
  readonly #losses: LossCounter;
  readonly #sdk: NodeSDK;
  readonly #tracer: OtelTracer;
  /** Ids of the span that is handed over: the SDK creates it, but services have received its ids. */
  #ids: Pick<SpanContext, "traceId" | "spanId"> = { traceId: "", spanId: "" };
  #unsent = 0;

  constructor(exporter: SpanExporter, losses: LossCounter, resource: Readonly<Record<string, string>>) {
    this.#losses = losses;
    this.#sdk = new NodeSDK({
      resource: resourceFromAttributes(resource),
      autoDetectResources: false,
      instrumentations: [],
      textMapPropagator: null,
      idGenerator: { generateTraceId: () => this.#ids.traceId, generateSpanId: () => this.#ids.spanId },
      // The decision was made before: only kept spans come here.
      sampler: new AlwaysOnSampler(),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: this.#counted(exporter),
          scheduledDelayMillis: EXPORT_DELAY_MS,
          exportTimeoutMillis: EXPORT_TIMEOUT_MS,
          maxQueueSize: SPANS_UNSENT_MAX,
        }),
      ],
    });
    this.#sdk.start();
    this.#tracer = trace.getTracer("posthouse");
  }

  take(span: FinishedSpan): void {
    if (this.#unsent >= SPANS_UNSENT_MAX) return this.#losses.full();
    const { name, kind, attributes, startedAt, durationMs, failure } = span;
    this.#ids = span.context;
    const startTime = hrTime(startedAt);
    const made = this.#tracer.startSpan(name, { kind: KINDS[kind], startTime, attributes }, contextOf(span));
    // Not with OTEL_SDK_DISABLED.
    if (!made.isRecording()) return;
    this.#unsent += 1;
    if (failure !== undefined) made.setStatus({ code: SpanStatusCode.ERROR, message: failure });
    made.end(hrTime(startedAt + durationMs));
  }

  /** Sends what is left, and gives up the SDK's place in this process. */
  async close(): Promise<void> {
    try {
      await this.#sdk.shutdown();
    } finally {
      trace.disable();
      context.disable();
    }
  }

  #counted(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans, done) =>
        exporter.export(spans, (result) => {
          this.#unsent -= spans.length;
          if (result.error) this.#losses.failed(spans.length, messageOf(result.error));
          done(result);
        }),
      shutdown: () => exporter.shutdown(),
      forceFlush: async () => exporter.forceFlush?.(),
    };
  }
}

function contextOf({ kind, parent }: FinishedSpan): Context {
  if (!parent) return ROOT_CONTEXT;
  const { traceId, spanId, sampled, state } = parent;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: kind === "server",
    ...(state ? { traceState: createTraceState(state) } : {}),
  });
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
}
