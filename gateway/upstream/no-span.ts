/** The span of what no upstream was asked for. */
import type { Span } from "#base";

/** Of an answer that no upstream gave. */
export const NO_SPAN: Span = {
  context: { traceId: "0".repeat(32), spanId: "0".repeat(16), sampled: false },
  recording: false,
  set() {},
  fail() {},
  end() {},
};
