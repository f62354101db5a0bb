/** The meaning of a failed attempt, in the terms of the balancing core. Pure: the caller knows how far the attempt had got. */
import type { FailedCall } from "#gateway/balancing";

/** How far an attempt had got. */
export interface AttemptProgress {
  /** A connection was open, and the request was being written. */
  readonly connected: boolean;
  /** The connection may have served earlier requests. */
  readonly reused: boolean;
}

/** Codes of Node and of undici that mean that the other side ended the connection. */
const RESETS = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET", "UND_ERR_CLOSED", "ECONNABORTED"]);
const TIMEOUTS = new Set(["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "ETIMEDOUT"]);
/** Codes of certificates that are not accepted. */
const UNTRUSTED = /^(ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_SSL_)/;
/** Codes of answers that are not HTTP. */
const BAD_ANSWERS = /^(HPE_|UND_ERR_RES|UND_ERR_HEADERS_OVERFLOW)/;

/** An error without a known code, such as one that the caller's body threw, is INTERNAL: no endpoint is to blame. */
export function callFailure(code: string | undefined, { connected, reused }: AttemptProgress): FailedCall {
  const at = { connecting: !connected, reused };
  if (code === undefined) return { ...at, error: "INTERNAL", connecting: false };
  if (UNTRUSTED.test(code)) return { ...at, error: "UPSTREAM_UNTRUSTED" };
  if (TIMEOUTS.has(code)) return { ...at, error: "UPSTREAM_TIMEOUT" };
  if (!connected) return { ...at, error: "UPSTREAM_UNREACHABLE" };
  if (RESETS.has(code)) return { ...at, error: "UPSTREAM_RESET" };
  return { ...at, error: BAD_ANSWERS.test(code) ? "UPSTREAM_BAD_ANSWER" : "INTERNAL" };
}

/** The code of an error or of its cause. */
export function codeOf(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === "string") return code;
  const inner = (cause as { code?: unknown } | undefined)?.code;
  return typeof inner === "string" ? inner : undefined;
}
