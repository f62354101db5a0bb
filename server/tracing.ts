/** Loads the recording of spans, but only when there is an endpoint for them. */
import type { Host } from "#base";
import type { OtlpProtocol } from "#settings";

export interface TracingSettings {
  readonly otlpUrl?: string | undefined;
  readonly otlpProtocol: OtlpProtocol;
  readonly traceSampleRatio: number;
  readonly traceSlowMs: number;
}

/** Starts first, so the stack stops it last. */
export async function withTelemetry(
  host: Host,
  { otlpUrl, otlpProtocol, traceSampleRatio: sampleRatio, traceSlowMs: slowMs }: TracingSettings,
  stack: AsyncDisposableStack,
): Promise<Host> {
  if (otlpUrl === undefined) return host;
  const { startTelemetry } = await import("./telemetry.ts");
  const { tracer } = stack.use(
    await startTelemetry(host, { otlpUrl, otlpProtocol, sampleRatio, slowMs, serviceName: "posthouse" }),
  );
  return { ...host, tracer };
}
