/** Whether spans are recorded at all: without an endpoint for them, nothing of that is even loaded. */
import type { Host } from "#base";

export interface TracingSettings {
  readonly otlpUrl?: string | undefined;
  readonly traceSampleRatio: number;
}

/** Started first and so stopped last, by the stack. */
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
