/**
 * gRPC as far as a gateway needs it: which requests are calls, how long they may take, how to report the gateway's own
 * errors to gRPC clients, and the framing of gRPC-Web for browsers. Pure.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and PROTOCOL-WEB.md
 */
import { invariant, own } from "#base";

/** `web`, `web-text`: gRPC-Web, binary and in base64. */
export type GrpcKind = "grpc" | "web" | "web-text";

const GRPC_STATUS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
const STATUS_NAMES = Object.keys(GRPC_STATUS);

/** The name of a `grpc-status`, such as `NOT_FOUND`; the number itself if it has no name. */
export function grpcStatusName(status: string): string {
  return /^\d{1,2}$/.test(status) ? (STATUS_NAMES[Number(status)] ?? status) : "UNKNOWN";
}

/** The gRPC statuses that are failures of the service, with the HTTP status that Envoy uses for them in outlier detection. */
const FAILURES: Readonly<Record<string, number>> = { 2: 500, 4: 504, 13: 500, 14: 503, 15: 500 };

/** The outcome of a call as an HTTP status. `status`: the trailer `grpc-status`; undefined when it is missing. */
export function grpcOutcome(status: string | undefined): number {
  return status === undefined ? 500 : (own(FAILURES, status) ?? 200);
}

const KINDS: readonly (readonly [prefix: string, kind: GrpcKind])[] = [
  ["application/grpc-web-text", "web-text"],
  ["application/grpc-web", "web"],
  ["application/grpc", "grpc"],
];

/** Whether a request is a gRPC call, by its content type. */
export function grpcKind(contentType: string | undefined): GrpcKind | undefined {
  if (contentType === undefined || contentType.length < 16) return undefined;
  const lower = contentType.toLowerCase();
  if (!lower.startsWith("application/grpc")) return undefined;
  for (const [prefix, kind] of KINDS) {
    if (lower.startsWith(prefix) && /^$|^[+; ]/.test(lower.slice(prefix.length))) return kind;
  }
  return undefined;
}

/** The gRPC content type of a gRPC-Web call: `application/grpc-web-text+proto` becomes `application/grpc+proto`. */
export function grpcContentType(contentType: string): string {
  return contentType.replace(/^application\/grpc-web(-text)?/i, "application/grpc");
}

/** The gRPC-Web content type of a gRPC answer. */
export function webContentType(contentType: string, kind: GrpcKind): string {
  return contentType.replace(/^application\/grpc(?!-)/i, `application/grpc-${kind}`);
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds of a `grpc-timeout`; undefined when it is missing or not valid. */
export function grpcTimeoutMs(value: string | undefined): number | undefined {
  const match = value === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(value);
  return match ? Number(match[1]) * (own(UNIT_MS, match[2] as string) as number) : undefined;
}

/** At most eight digits, as the protocol requires. Rounds up, by less than one unit of the last digit. */
export function formatGrpcTimeout(ms: number): string {
  const whole = Math.max(1, Math.ceil(ms));
  return whole < 1e8 ? `${whole}m` : `${Math.min(99_999_999, Math.ceil(whole / 1000))}S`;
}

/** The gRPC status for an HTTP status. @see doc/http-grpc-status-mapping.md; finer where the gateway knows more */
export function grpcStatusOf(status: number): number {
  switch (status) {
    case 401:
      return GRPC_STATUS.UNAUTHENTICATED;
    case 403:
      return GRPC_STATUS.PERMISSION_DENIED;
    case 404:
    case 405:
    case 501:
      return GRPC_STATUS.UNIMPLEMENTED;
    case 408:
    case 504:
      return GRPC_STATUS.DEADLINE_EXCEEDED;
    case 413:
    case 429:
    case 431:
      return GRPC_STATUS.RESOURCE_EXHAUSTED;
    case 499:
      return GRPC_STATUS.CANCELLED;
    // A retry on another connection may succeed.
    case 421:
    case 502:
    case 503:
      return GRPC_STATUS.UNAVAILABLE;
    default:
      return GRPC_STATUS.INTERNAL;
  }
}

/** A message, percent-encoded for the field `grpc-message`. */
export function grpcMessage(text: string): string {
  return text.replaceAll(/[^\x20-\x24\x26-\x7e]/gu, (char) =>
    [...new TextEncoder().encode(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** Bytes before each message: a flag and a length. */
const MESSAGE_HEAD_BYTES = 5;

/** Checks the lengths of the messages in a stream. A stream may have any size; each message must fit into memory. */
export class MessageMeter {
  readonly #head = new Uint8Array(MESSAGE_HEAD_BYTES);
  #headBytes = 0;
  /** Bytes of the current message that are still to come. */
  #left = 0;

  /** Whether the stream is between two messages. */
  get between(): boolean {
    return this.#headBytes === 0 && this.#left === 0;
  }

  /** Whether a message is announced that is longer than `bytesMax`. Chunks may be split anywhere. */
  exceeds(chunk: Uint8Array, bytesMax: number): boolean {
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        invariant(this.#left >= 0, "a message does not end before its start");
        at += taken;
        continue;
      }
      this.#head[this.#headBytes++] = chunk[at++] as number;
      if (this.#headBytes < MESSAGE_HEAD_BYTES) continue;
      this.#headBytes = 0;
      this.#left = new DataView(this.#head.buffer).getUint32(1);
      if (this.#left > bytesMax) return true;
    }
    return false;
  }
}

/** Trailers as the last frame of a gRPC-Web body. */
export function webTrailerFrame(trailers: readonly string[]): Uint8Array {
  let text = "";
  for (let i = 0; i < trailers.length; i += 2)
    text += `${(trailers[i] as string).toLowerCase()}: ${trailers[i + 1]}\r\n`;
  const frame = new Uint8Array(5 + text.length);
  frame[0] = 0x80;
  new DataView(frame.buffer).setUint32(1, text.length);
  // Fields have one byte per character.
  for (let i = 0; i < text.length; i++) frame[5 + i] = text.charCodeAt(i);
  return frame;
}

/** Reads the base64 of gRPC-Web: padding may occur at the end of any piece, and chunks may be split anywhere. */
export class Base64Reader {
  #rest = "";

  /** The bytes of all complete groups so far. @throws Error when the text is not base64. */
  push(text: string): Uint8Array {
    const all = this.#rest + text.replaceAll(/[\r\n]/g, "");
    const whole = all.length - (all.length % 4);
    this.#rest = all.slice(whole);
    const groups = all.slice(0, whole);
    if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(groups)) throw new Error("not base64");
    const parts = groups.match(/[A-Za-z0-9+/]+={0,2}/g) ?? [];
    const pieces = parts.map((part) => Uint8Array.from(atob(part), (char) => char.charCodeAt(0)));
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Whether the text so far ends with a complete group. */
  get whole(): boolean {
    return this.#rest === "";
  }
}
