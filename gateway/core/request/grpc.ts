/**
 * What a gateway must know of gRPC: which requests are calls, how long they may take, how an error of its own is said so
 * that a gRPC client understands it, and how gRPC-Web frames what a browser cannot send or read. Pure.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and PROTOCOL-WEB.md
 */
import { own } from "#base";

/** `web`, `web-text`: gRPC-Web, binary and in base64. */
export type GrpcKind = "grpc" | "web" | "web-text";

const GRPC_STATUS = {
  OK: 0,
  CANCELLED: 1,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** What Envoy takes a status for where it judges an endpoint by HTTP's: those that are the service's failure. */
const FAILURES: Readonly<Record<string, number>> = { 2: 500, 4: 504, 13: 500, 14: 503, 15: 500 };

/** How a call ended, as an HTTP status; `grpc-status` of its trailers, undefined when these have none. */
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

/** The content type of a gRPC-Web call as gRPC has it: `application/grpc-web-text+proto` is `application/grpc+proto`. */
export function grpcContentType(contentType: string): string {
  return contentType.replace(/^application\/grpc-web(-text)?/i, "application/grpc");
}

/** And back, for the answer. */
export function webContentType(contentType: string, kind: GrpcKind): string {
  return contentType.replace(/^application\/grpc(?!-)/i, `application/grpc-${kind}`);
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds of a `grpc-timeout`; undefined when there is none, or none that can be read. */
export function grpcTimeoutMs(value: string | undefined): number | undefined {
  const match = value === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(value);
  return match ? Number(match[1]) * (own(UNIT_MS, match[2] as string) as number) : undefined;
}

/** At most eight digits, as the rule is; never less than is left by more than the last digit. */
export function formatGrpcTimeout(ms: number): string {
  const whole = Math.max(1, Math.ceil(ms));
  return whole < 1e8 ? `${whole}m` : `${Math.min(99_999_999, Math.ceil(whole / 1000))}S`;
}

/** The gRPC status of what HTTP says with `status`. @see doc/http-grpc-status-mapping.md, finer where we know more */
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
    // Another connection will do.
    case 421:
    case 502:
    case 503:
      return GRPC_STATUS.UNAVAILABLE;
    default:
      return GRPC_STATUS.INTERNAL;
  }
}

/** A message as the field `grpc-message` carries it. */
export function grpcMessage(text: string): string {
  return text.replaceAll(/[^\x20-\x24\x26-\x7e]/gu, (char) =>
    [...new TextEncoder().encode(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** Bytes before each message: a flag and a length. */
const MESSAGE_HEAD_BYTES = 5;

/** Looks at the lengths of the messages in a stream: a stream may be of any size, a message must fit into memory. */
export class MessageMeter {
  readonly #head = new Uint8Array(MESSAGE_HEAD_BYTES);
  #headBytes = 0;
  /** Bytes of the message under way that are still to come. */
  #left = 0;

  /** No message is under way. */
  get between(): boolean {
    return this.#headBytes === 0 && this.#left === 0;
  }

  /** Whether a message is announced that is longer than `bytesMax`. Chunks come cut anywhere. */
  exceeds(chunk: Uint8Array, bytesMax: number): boolean {
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
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
  // Fields are of one byte per character, whichever it is.
  for (let i = 0; i < text.length; i++) frame[5 + i] = text.charCodeAt(i);
  return frame;
}

/** Reads base64 as gRPC-Web has it: padding may stand wherever a piece ended, and pieces come cut anywhere. */
export class Base64Reader {
  #rest = "";

  /** The bytes of all whole groups so far. @throws Error when it is no base64. */
  push(text: string): Uint8Array {
    const all = this.#rest + text.replaceAll(/[\r\n]/g, "");
    const whole = all.length - (all.length % 4);
    this.#rest = all.slice(whole);
    const groups = all.slice(0, whole);
    if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(groups)) throw new Error("no base64");
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

  /** Whether nothing is left over. */
  get whole(): boolean {
    return this.#rest === "";
  }
}
