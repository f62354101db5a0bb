/** Settings of the program's own logs and traces. */
import { Type } from "typebox";
import { LOG_FORMATS, LOG_LEVELS } from "#base";
import { oneOf } from "./one-of.ts";

/** The protocols of OTLP, by the names of its specification. */
const OTLP_PROTOCOLS = ["http/protobuf", "http/json", "grpc"] as const;
export type OtlpProtocol = (typeof OTLP_PROTOCOLS)[number];

export const TELEMETRY_ROWS = {
  logLevel: oneOf(LOG_LEVELS, {
    default: "info",
    description:
      "Least severe level that is logged, to standard error. Key log.yaml of app posthouse changes it at run time.",
  }),
  logFormat: oneOf(["auto", ...LOG_FORMATS], {
    default: "auto",
    description: "Format of a log line. auto: text when standard error is a terminal, else JSON.",
  }),
  otlpUrl: Type.Optional(
    Type.String({
      pattern: "^https?://",
      format: "http-url",
      env: "OTEL_EXPORTER_OTLP_ENDPOINT",
      description: "OTLP endpoint that receives spans, such as http://127.0.0.1:4318. Absent: no spans are exported.",
    }),
  ),
  otlpProtocol: oneOf(OTLP_PROTOCOLS, {
    default: "http/protobuf",
    env: "OTEL_EXPORTER_OTLP_PROTOCOL",
    description: "Protocol of that endpoint. Collectors usually receive HTTP on port 4318 and gRPC on port 4317.",
  }),
  traceSampleRatio: Type.Number({
    default: 0.01,
    minimum: 0,
    maximum: 1,
    description: "Share of traces started here that are sampled. The decision of a trusted caller is kept.",
  }),
  traceSlowMs: Type.Integer({
    default: 1000,
    minimum: 1,
    maximum: 3_600_000,
    description:
      "Milliseconds from which a request counts as slow. Slow and failed requests are exported even if they are not sampled.",
  }),
};
