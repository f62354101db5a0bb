/** The result of a probe, with the reason in one printable line. A failure of this process says nothing about the target. */
import { messageOf, startOf } from "#base";
import type { HealthResult } from "./core/state.ts";

/** Bytes of a response that are read before the connection is closed: enough to explain a result. */
export const PROBE_BODY_BYTES_MAX = 4 * 1024;
/** Characters of the output kept with a verdict: one or two lines on a screen. */
export const PROBE_OUTPUT_CHARS_MAX = 512;

export interface ProbeResult {
  /** `undefined`: this process could not make the probe, so the target's health is unknown. */
  readonly result: HealthResult | undefined;
  /** The reason, for people. At most PROBE_OUTPUT_CHARS_MAX. */
  readonly output: string;
}

/** The limits of one probe. */
export interface ProbeContext {
  /** Aborts when the check is removed, or at its deadline. */
  readonly signal: AbortSignal;
  /** Whether the deadline aborted it. */
  readonly late: () => boolean;
  readonly timeoutMs: number;
}

/** Failures of this process, not of the target. Judging by them would turn the whole fleet critical at once. */
const OWN_TROUBLE = new Set(["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EADDRNOTAVAIL", "EAGAIN"]);

export function passing(output: string): ProbeResult {
  return { result: "passing", output: short(output) };
}

export function warning(output: string): ProbeResult {
  return { result: "warning", output: short(output) };
}

export function critical(output: string): ProbeResult {
  return { result: "critical", output: short(output) };
}

export function notMade(output: string): ProbeResult {
  return { result: undefined, output: short(output) };
}

/** The result of a failed probe of the target `name`. Without a status when this process failed or the probe was cut. */
export function failed(name: string, error: unknown, { signal, late, timeoutMs }: ProbeContext): ProbeResult {
  if (late()) return critical(`${name}: no complete answer within ${timeoutMs} ms`);
  const code = (error as { code?: unknown }).code;
  if (signal.aborted || (typeof code === "string" && OWN_TROUBLE.has(code))) {
    return notMade(`${name}: not probed: ${messageOf(error)}`);
  }
  return critical(`${name}: ${reasonOf(error)}`);
}

/** When several addresses of one name fail, the error has no message, but its causes do. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(messageOf).join("; ");
  return messageOf(error);
}

/** One printable line, because the text appears in logs and on screens. */
export function short(text: string): string {
  return startOf(text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim(), PROBE_OUTPUT_CHARS_MAX);
}
