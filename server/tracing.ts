/** Loads the recording of spans, but only when there is an endpoint for them. */
import type { Host } from "#base";

export interface TracingSettings {
  readonly otlpUrl?: string | undefined;
  readonly traceSampleRatio: number;
}

/** Starts first, so the stack stops it last. */
export async function withTelemetry(
  host: Host,
  { otlpUrl, traceSampleRatio: sampleRatio }: TracingSettings,
  stack: AsyncDisposableStack,
): Promise<Host> {
  if (otlpUrl === undefined) return host;
  const { startTelemetry } = await import("./telemetry.ts");
  const { tracer } = stack.use(startTelemetry(host, { otlpUrl, sampleRatio, serviceName: "posthouse" }));
  return { ...host, tracer };
}
