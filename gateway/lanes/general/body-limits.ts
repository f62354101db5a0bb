/** The limits on a request's body: its size, or that of each gRPC message, and the pace at which the client sends it. */
import { MessageMeter, type GrpcKind } from "../../core/request/grpc.ts";
import type { BodyLimits } from "../../upstream/body.ts";
import type { BodyPace } from "./pace.ts";

export function bodyLimits(options: {
  readonly bytesMax: number;
  readonly grpc: GrpcKind | undefined;
  readonly pace: BodyPace | undefined;
  /** The upstream is ready for the body. */
  readonly onStart: () => void;
}): BodyLimits {
  const { bytesMax, grpc, pace, onStart } = options;
  const meter = grpc ? new MessageMeter() : undefined;
  let received = 0;
  return {
    exceeds: (chunk) => (meter ? meter.exceeds(chunk, bytesMax) : (received += chunk.length) > bytesMax),
    onStart,
    onFlow: (flowing) => pace?.flow(flowing),
    onBytes: (bytes) => pace?.note(bytes),
  };
}
