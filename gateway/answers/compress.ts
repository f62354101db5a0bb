/**
 * Compresses answers for clients that accept it, as they pass. Answers that would not shrink, that are already
 * compressed, or that must not be transformed are left as they are.
 */
import type { Transform } from "node:stream";
import { constants, createBrotliCompress, createGzip, createZstdCompress } from "node:zlib";
import { chooseEncoding } from "../core/decision/encoding.ts";
import { addVary } from "../core/rewriting/header-edits.ts";
import { headerList, headerRecord } from "../core/request/header-list.ts";
import type { AnswerHeaders } from "../core/request/header-list.ts";
import type { Forward } from "../core/decision/pipeline.ts";
import { RecentMap } from "../core/limits/recent-map.ts";
import type { CompiledCompress, Encoding } from "../core/routing/route.ts";
import type { CallFailure, CallPlan, CallSink } from "../upstream/call-plan.ts";
import type { WholeEnd } from "../upstream/end.ts";
import type { Transfer } from "../upstream/transfer.ts";
import { Relay } from "./relay.ts";

/** Brotli's fastest third. At higher levels one core compresses less than a network carries. */
const BROTLI_QUALITY = 4;
const GZIP_LEVEL = 6;

/** `stream`: each chunk is flushed at once and does not wait for the next one. */
const COMPRESSORS: Readonly<Record<Encoding, (stream: boolean) => Transform>> = {
  gzip: (stream) => createGzip({ level: GZIP_LEVEL, flush: stream ? constants.Z_SYNC_FLUSH : constants.Z_NO_FLUSH }),
  br: (stream) =>
    createBrotliCompress({
      params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY },
      flush: stream ? constants.BROTLI_OPERATION_FLUSH : constants.BROTLI_OPERATION_PROCESS,
    }),
  zstd: (stream) => createZstdCompress({ flush: stream ? constants.ZSTD_e_flush : constants.ZSTD_e_continue }),
};

/** Targets for which the gateway remembers whether their answers are compressed. */
const REMEMBERED_MAX = 8_192;

/**
 * Whether a target's 200 answers are compressed, by route and target. A 304 describes the same answer, but need not
 * repeat its type and length.
 */
export type CompressedTargets = RecentMap<boolean>;

export function compressedTargets(): CompressedTargets {
  return new RecentMap<boolean>(REMEMBERED_MAX);
}

/** Compresses one answer on its way to the client. `over` sets the transfer once it is known. */
export class Compressing extends Relay implements Transfer {
  readonly #forward: Forward;
  readonly #compress: CompiledCompress;
  readonly #head: boolean;
  readonly #targets: CompressedTargets;
  #transfer: Transfer | undefined;
  #compressor: Transform | undefined;
  #aborted = false;

  constructor(
    { forward, method }: Pick<CallPlan, "forward" | "method">,
    { compress, targets }: { compress: CompiledCompress; targets: CompressedTargets },
    to: CallSink,
  ) {
    super(to);
    this.#forward = forward;
    this.#head = method === "HEAD";
    this.#compress = compress;
    this.#targets = targets;
  }

  over(transfer: Transfer): this {
    this.#transfer = transfer;
    if (this.#aborted) transfer.abort();
    return this;
  }

  override onHead(status: number, headers: readonly string[], more: boolean): void {
    const record = headerRecord(headers);
    const encoding = this.#choose(status, record);
    if (!encoding) return this.to.onHead(status, headerList(record), more);
    if (this.#bodiless(status)) return this.to.onHead(status, described(status, record, encoding), more);
    // Without a length it may be a stream, whose reader waits for each message.
    const stream = record["content-length"] === undefined;
    this.to.onHead(status, encoded(record, encoding), false);
    this.#start(encoding, { stream, onPiece: this.#onCompressed });
  }

  override onData(chunk: Buffer): boolean {
    return this.#compressor ? this.#compressor.write(chunk) : this.to.onData(chunk);
  }

  override onEnd(trailers: WholeEnd): void {
    const compressor = this.#compressor;
    if (!compressor) return this.to.onEnd(trailers);
    compressor.once("end", () => this.to.onEnd(trailers));
    compressor.end();
  }

  override onWhole(status: number, headers: readonly string[], body: Buffer | undefined): void {
    const record = headerRecord(headers);
    const bodiless = this.#bodiless(status);
    const encoding = body === undefined && !bodiless ? undefined : this.#choose(status, record);
    if (!encoding) return this.to.onWhole(status, headerList(record), body);
    if (bodiless) return this.to.onWhole(status, described(status, record, encoding), undefined);
    // In one piece, as it arrived.
    const pieces: Buffer[] = [];
    const compressor = this.#start(encoding, { stream: false, onPiece: (piece) => void pieces.push(piece) });
    compressor.once("end", () => {
      const whole = Buffer.concat(pieces);
      this.to.onWhole(status, [...encoded(record, encoding), "content-length", String(whole.length)], whole);
    });
    compressor.end(body);
  }

  override onFailure(failure: CallFailure): void {
    this.#compressor?.destroy();
    this.to.onFailure(failure);
  }

  resume(): void {
    if (this.#compressor) this.#compressor.resume();
    else this.#transfer?.resume();
  }

  abort(late?: boolean): void {
    this.#aborted = true;
    this.#compressor?.destroy();
    this.#transfer?.abort(late);
  }

  /** The answer describes a body without containing it. */
  #bodiless(status: number): boolean {
    return this.#head || status === 304;
  }

  #choose(status: number, headers: AnswerHeaders): Encoding | undefined {
    // An answer that is never compressed.
    if (!this.#fits(status, headers)) return undefined;
    // Independent of this client: the next one may accept compression, and caches on the way must know.
    addVary(headers, "Accept-Encoding");
    // A range refers to the service's own bytes.
    if (status === 206) return undefined;
    return chooseEncoding(this.#forward.request.head.header("accept-encoding"), this.#compress.encodings);
  }

  #fits(status: number, headers: AnswerHeaders): boolean {
    const { route, target, request } = this.#forward;
    const key = `${route.name} ${target}`;
    const known = this.#targets.get(key);
    // A HEAD without a length, a 304 and a 206 describe less of the answer than an earlier 200 did.
    const partial = status === 304 || status === 206 || (this.#head && headers["content-length"] === undefined);
    if (partial && known !== undefined && (status === 200 || status === 304 || status === 206)) return known;
    if (status !== 304 && status !== 206) {
      const fit = fits(this.#compress, status, headers);
      if (status === 200) this.#targets.set(key, fit);
      return fit;
    }
    if (headers["content-type"] !== undefined) {
      return fits(this.#compress, 200, { ...headers, "content-length": undefined, "content-range": undefined });
    }
    // The target is new: a client with the service's own strong tag has the uncompressed answer.
    const held = request.head.header("if-none-match").flatMap((tags) => tags.split(","));
    return !held.some((tag) => tag.trim() === headers["etag"] && !tag.trim().startsWith("W/"));
  }

  #start(encoding: Encoding, given: { stream: boolean; onPiece: (piece: Buffer) => void }): Transform {
    const compressor = COMPRESSORS[encoding](given.stream);
    compressor.on("data", given.onPiece);
    compressor.on("drain", () => this.#transfer?.resume());
    compressor.on("error", (error) => {
      this.#transfer?.abort();
      this.to.onFailure({ error: "INTERNAL", detail: `The answer could not be compressed: ${error.message}.` });
    });
    return (this.#compressor = compressor);
  }

  readonly #onCompressed = (piece: Buffer): void => {
    if (!this.to.onData(piece)) this.#compressor?.pause();
  };
}

/** Fields that describe the service's exact bytes. */
const OF_THE_BYTES = ["content-length", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"];

/** The headers of the compressed answer. */
function encoded(headers: AnswerHeaders, encoding: Encoding): string[] {
  for (const name of OF_THE_BYTES) delete headers[name];
  headers["content-encoding"] = encoding;
  weaken(headers);
  return headerList(headers);
}

/** The same for an answer without its body. A 304 only identifies the answer. @see RFC 9110 §15.4.5 */
function described(status: number, headers: AnswerHeaders, encoding: Encoding): string[] {
  if (status !== 304) return encoded(headers, encoding);
  for (const name of OF_THE_BYTES) delete headers[name];
  weaken(headers);
  return headerList(headers);
}

/** The bytes differ, the meaning is the same: a weak tag. */
function weaken(headers: AnswerHeaders): void {
  const tag = headers["etag"];
  if (typeof tag === "string" && !tag.startsWith("W/")) headers["etag"] = `W/${tag}`;
}

function fits({ types, bytesMin }: CompiledCompress, status: number, headers: AnswerHeaders): boolean {
  if (status < 200 || status === 204 || status === 205 || status === 206 || status === 304) return false;
  if (headers["content-encoding"] !== undefined || headers["content-range"] !== undefined) return false;
  if (/\bno-transform\b/i.test(String(headers["cache-control"] ?? ""))) return false;
  const length = headers["content-length"];
  if (length !== undefined && Number(length) < bytesMin) return false;
  const type =
    String(headers["content-type"] ?? "")
      .split(";", 1)[0]
      ?.trim()
      .toLowerCase() ?? "";
  // An event must not wait in the compressor for the next one.
  if (type === "text/event-stream" || type.startsWith("application/grpc")) return false;
  return types.some((pattern) => typeMatches(pattern, type));
}

function typeMatches(pattern: string, type: string): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return pattern === type;
  return (
    type.length >= pattern.length && type.startsWith(pattern.slice(0, star)) && type.endsWith(pattern.slice(star + 1))
  );
}
