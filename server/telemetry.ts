/**
 * Records spans and exports them over OTLP, when an endpoint is set. Starts first and stops last, so that the last request of a
 * stopping process is exported, too. Without an endpoint, this module is not even loaded.
 */
import { type Span as OtelSpan, SpanKind, SpanStatusCode, TraceFlags, context, trace } from "@opentelemetry/api";
import { createTraceState, INVALID_SPAN_CONTEXT } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { AlwaysOnSampler, BatchSpanProcessor, ParentBasedSampler, type SpanExporter } from "@opentelemetry/sdk-trace";
import type { OtlpProtocol } from "#settings";
import { isSampled, messageOf, passThroughTracer, type Host, type Span, type SpanContext, type Tracer } from "#base";

/** Milliseconds that finished spans are collected before they are sent. */
const EXPORT_DELAY_MS = 1_000;
/** Longest export, and longest wait of a stop for the last export, in milliseconds. */
const EXPORT_TIMEOUT_MS = 3_000;
/** Spans that wait to be sent. More are dropped, because a slow collector must not cost memory. */
const SPANS_WAITING_MAX = 8_192;

export interface TelemetryOptions {
  /** Base URL of the collector. Over HTTP, spans go to `/v1/traces` below it. */
  readonly otlpUrl: string;
  readonly otlpProtocol: OtlpProtocol;
  /** Share of traces started here that are recorded. */
  readonly sampleRatio: number;
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

export async function startTelemetry(
  host: Host,
  { otlpUrl, otlpProtocol, sampleRatio, serviceName }: TelemetryOptions,
): Promise<Telemetry> {
  const exporter = await EXPORTERS[otlpProtocol]({
    url: exporterUrl(otlpUrl, otlpProtocol),
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ "service.name": serviceName, "service.instance.id": instanceId(host) }),
    autoDetectResources: false,
    instrumentations: [],
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        scheduledDelayMillis: EXPORT_DELAY_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
        maxQueueSize: SPANS_WAITING_MAX,
      }),
    ],
  });
  sdk.start();
  const tracer = trace.getTracer("posthouse");
  // Drawn before a span is created, because 99 of 100 requests would create one that is never read.
  const unread = passThroughTracer(host.random);
  return {
    tracer: {
      start(name, options) {
        const sampled = isSampled(options, () => host.random.float() < sampleRatio);
        const { kind } = options;
        const parent = options.parent && { ...options.parent, sampled };
        if (!sampled) return unread.start(name, { kind, parent });
        const span = tracer.startSpan(name, { kind: KINDS[kind] }, parentContext(parent));
        return wrap(span, parent);
      },
    },
    async [Symbol.asyncDispose]() {
      try {
        await sdk.shutdown();
      } catch (error) {
        host.log.warn({ err: error }, `cannot export the last spans: ${messageOf(error)}`);
      }
    },
  };
}

function parentContext(parent: SpanContext | undefined) {
  if (!parent) return context.active();
  return trace.setSpanContext(context.active(), {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: parent.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(parent.state ? { traceState: createTraceState(parent.state) } : {}),
  });
}

function wrap(span: OtelSpan, parent: SpanContext | undefined): Span {
  const own = span.spanContext();
  const state = own.traceState?.serialize() ?? parent?.state;
  return {
    context: {
      traceId: own.traceId === INVALID_SPAN_CONTEXT.traceId && parent ? parent.traceId : own.traceId,
      spanId: own.spanId,
      sampled: (own.traceFlags & TraceFlags.SAMPLED) !== 0,
      ...(state ? { state } : {}),
    },
    recording: span.isRecording(),
    set: (name, value) => void span.setAttribute(name, value),
    rename: (name) => void span.updateName(name),
    fail: (message) => void span.setStatus({ code: SpanStatusCode.ERROR, message }),
    end: () => span.end(),
  };
}
