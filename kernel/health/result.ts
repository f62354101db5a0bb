/** What a probe says: a result, and why in one printable line. Trouble on this side says nothing about the target. */
import { messageOf, startOf } from "#base";
import type { HealthResult } from "./core/state.ts";

/** Bytes of an answer that are read before the connection is closed: enough to say why, for people. */
export const PROBE_BODY_BYTES_MAX = 4 * 1024;
/** Characters of the output kept with a verdict: one or two lines on a screen. */
export const PROBE_OUTPUT_CHARS_MAX = 512;

export interface ProbeResult {
  /** `undefined`: the probe could not be made for want of means on this side, and says nothing about the target. */
  readonly result: HealthResult | undefined;
  /** Why, for people. At most PROBE_OUTPUT_CHARS_MAX. */
  readonly output: string;
}

/** What each kind of probe is made with. */
export interface ProbeContext {
  /** Aborts when the check is removed, or when its time is up. */
  readonly signal: AbortSignal;
  /** Whether that was because its time is up. */
  readonly late: () => boolean;
  readonly timeoutMs: number;
}

/** Trouble of this process, not of the target: judging by it would turn the whole fleet critical at once. */
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

/** What an error says of the target that `name` names: nothing when it is ours, or when the probe was cut. */
export function failed(name: string, error: unknown, { signal, late, timeoutMs }: ProbeContext): ProbeResult {
  if (late()) return critical(`${name}: no complete answer within ${timeoutMs} ms`);
  const code = (error as { code?: unknown }).code;
  if (signal.aborted || (typeof code === "string" && OWN_TROUBLE.has(code))) {
    return notMade(`${name}: not probed: ${messageOf(error)}`);
  }
  return critical(`${name}: ${reasonOf(error)}`);
}

/** Several addresses of one name fail together as an error without a message; its first cause has one. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(messageOf).join("; ");
  return messageOf(error);
}

/** One printable line: what a target says ends up in logs and on screens. */
export function short(text: string): string {
  return startOf(text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim(), PROBE_OUTPUT_CHARS_MAX);
}
