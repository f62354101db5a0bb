/**
 * Parses the answers of an HTTP/1.1 connection, strictly: an answer that could be read in two ways is rejected. Two
 * lengths, a length that is not a plain number, a chunk size with anything but hex digits, a bare line feed, a folded
 * line: each of them can turn one answer into two (CVE-2026-48931, CVE-2026-6733, CVE-2026-16728), so each ends the
 * connection. The parser knows nothing of sockets: bytes go in, parts of an answer come out.
 * @see RFC 9112
 */
import { endOf, type Extent, type WholeEnd } from "./end.ts";

/** Bytes of an answer's head, and of its trailers. Node's own client has 16 KiB; cookies of large sites need more. */
export const ANSWER_HEAD_BYTES_MAX = 32 * 1024;
/** Fields of an answer's head, or of its trailers. */
export const ANSWER_FIELDS_MAX = 256;
/** 1xx answers before the final one; a server that sends them forever never answers. */
export const INFORMATIONAL_MAX = 16;
/** Bytes of a chunk's first line. Its extensions are skipped; in practice there are none. */
const CHUNK_LINE_BYTES_MAX = 256;

/** The upstream sent an invalid answer. */
export class BadAnswer extends Error {}

export interface AnswerParts {
  /** 100, 102, 103: more follows. */
  onInform(status: number, headers: string[]): void;
  /** A head whose body follows. `more`: its first bytes follow at once. Headers are name, value, name, value. */
  onHead(status: number, headers: string[], more: boolean): void;
  onData(chunk: Buffer): void;
  /** The answer is whole. */
  onEnd(end: WholeEnd): void;
  /** Head and body in one, in place of the three above. */
  onWhole(status: number, headers: string[], body: Buffer | undefined): void;
  /** 101: the following bytes are not HTTP. `rest`: the first of them. */
  onSwitch(status: number, headers: string[], rest: Buffer): void;
}

type State = "head" | "length" | "chunk-size" | "chunk" | "chunk-end" | "trailers" | "close" | "done";

/** A status line with any reason phrase. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?$/;
/** Control characters other than tab, and line ends that are not CR LF. */
const BROKEN = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LENGTH = /^\d{1,15}$/;
/** Up to 13 digits, so that a size is exact as a number. */
const CHUNK_SIZE = /^[0-9A-Fa-f]{1,13}(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;
const NO_FIELDS: string[] = [];
/** The last chunk, the last byte of a length, or the end of a connection where neither was announced. */
const MARKED: Extent = { marked: true, announced: undefined, received: 0 };

interface Framing {
  length: number | undefined;
  chunked: boolean;
  encoded: boolean;
  close: boolean;
  keepAliveSeconds: number | undefined;
}

export class AnswerParser {
  readonly #parts: AnswerParts;
  #state: State = "done";
  #bodiless = false;
  #mayUpgrade = false;
  #left = 0;
  #informed = 0;
  /** The received part of an incomplete head, chunk line or trailers. */
  #pending: Buffer | undefined;
  /** Whether any byte of the answer was received. */
  #any = false;
  /** Whether another request may follow on this connection, once the answer is whole. */
  reusable = false;
  /** Seconds for which the upstream says it keeps an idle connection; undefined: it did not say. */
  keepAliveSeconds: number | undefined;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** A request was sent; its answer is next. */
  expect(request: { readonly method: string; readonly upgrade: boolean }): void {
    this.#state = "head";
    this.#bodiless = request.method === "HEAD";
    this.#mayUpgrade = request.upgrade;
    this.#informed = 0;
    this.#pending = undefined;
    this.#any = false;
    this.reusable = false;
    this.keepAliveSeconds = undefined;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /** Whether any byte of the answer was received. */
  get begun(): boolean {
    return this.#any;
  }

  /**
   * @throws BadAnswer; the parser cannot be used afterwards. Bytes after the end of the answer make the connection not
   * reusable.
   */
  push(chunk: Buffer): void {
    this.#any = true;
    let data = chunk;
    if (this.#pending) {
      data = Buffer.concat([this.#pending, chunk]);
      this.#pending = undefined;
    }
    let at = 0;
    while (at < data.length) {
      switch (this.#state) {
        case "head":
          at = this.#head(data, at);
          break;
        case "length": {
          const end = Math.min(data.length, at + this.#left);
          this.#left -= end - at;
          this.#parts.onData(at === 0 && end === data.length ? data : data.subarray(at, end));
          at = end;
          if (this.#left === 0) this.#end(NO_FIELDS);
          break;
        }
        case "chunk-size":
          at = this.#chunkSize(data, at);
          break;
        case "chunk": {
          const end = Math.min(data.length, at + this.#left);
          this.#left -= end - at;
          this.#parts.onData(data.subarray(at, end));
          at = end;
          if (this.#left === 0) this.#state = "chunk-end";
          break;
        }
        case "chunk-end": {
          if (data.length - at < 2) {
            if (data[at] !== 0x0d) throw new BadAnswer("a chunk is longer than its size");
            return this.#keep(data, at);
          }
          if (data[at] !== 0x0d || data[at + 1] !== 0x0a) throw new BadAnswer("a chunk is longer than its size");
          at += 2;
          this.#state = "chunk-size";
          break;
        }
        case "trailers":
          at = this.#trailers(data, at);
          break;
        case "close":
          this.#parts.onData(at === 0 ? data : data.subarray(at));
          at = data.length;
          break;
        case "done":
          // No request was sent for these bytes. The answer is valid, but the connection is out of step.
          this.reusable = false;
          return;
      }
      if (this.#pending) return;
    }
  }

  /** The upstream ended the connection. Returns whether this completes the answer. Never throws. */
  finish(): boolean {
    if (this.#state === "close") {
      this.#end(NO_FIELDS);
      return true;
    }
    return this.#state === "done";
  }

  #keep(data: Buffer, at: number): void {
    this.#pending = at === 0 ? data : data.subarray(at);
  }

  #head(data: Buffer, at: number): number {
    const end = data.indexOf("\r\n\r\n", at, "latin1");
    if (end < 0) {
      if (data.length - at > ANSWER_HEAD_BYTES_MAX) throw new BadAnswer("the head of the answer is too large");
      // Bytes that cannot be HTTP are rejected at once, without waiting for the end of the line.
      const start = data.toString("latin1", at, Math.min(at + 5, data.length));
      if (!"HTTP/".startsWith(start)) throw new BadAnswer("the answer is not HTTP");
      if (BROKEN.test(data.toString("latin1", at, data.length - (data.at(-1) === 0x0d ? 1 : 0)))) {
        throw new BadAnswer("the head of the answer has a forbidden character");
      }
      this.#keep(data, at);
      return data.length;
    }
    if (end - at > ANSWER_HEAD_BYTES_MAX) throw new BadAnswer("the head of the answer is too large");
    const text = data.toString("latin1", at, end);
    if (BROKEN.test(text)) throw new BadAnswer("the head of the answer has a forbidden character");
    const lineEnd = text.indexOf("\r\n");
    const line = STATUS_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
    if (!line) throw new BadAnswer("the answer has no valid status line");
    const status = Number(line[2]);
    const framing: Framing = {
      length: undefined,
      chunked: false,
      encoded: false,
      close: false,
      keepAliveSeconds: undefined,
    };
    const headers = lineEnd < 0 ? [] : parseFields(text, lineEnd + 2, framing);
    const old = line[1] === "0";
    if (framing.encoded && framing.length !== undefined) throw new BadAnswer("the answer has two lengths");
    if (framing.encoded && (!framing.chunked || old)) {
      throw new BadAnswer("the answer has a transfer coding other than chunked");
    }
    return this.#begin(data, end + 4, status, headers, framing, old);
  }

  #begin(data: Buffer, at: number, status: number, headers: string[], framing: Framing, old: boolean): number {
    const parts = this.#parts;
    if (status === 101) {
      if (!this.#mayUpgrade) throw new BadAnswer("the answer switches protocols without a request to do so");
      this.#state = "done";
      parts.onSwitch(status, headers, data.subarray(at));
      return data.length;
    }
    if (status < 200) {
      if (++this.#informed > INFORMATIONAL_MAX) throw new BadAnswer("too many informational answers");
      if (framing.encoded || (framing.length ?? 0) > 0) throw new BadAnswer("an informational answer has a body");
      parts.onInform(status, headers);
      return at;
    }
    this.reusable = !framing.close && !old;
    this.keepAliveSeconds = framing.keepAliveSeconds;
    if (this.#bodiless || status === 204 || status === 304 || framing.length === 0) {
      this.#state = "done";
      if (at < data.length) this.reusable = false;
      parts.onWhole(status, headers, undefined);
      return data.length;
    }
    if (framing.length !== undefined) {
      if (data.length - at >= framing.length) {
        const end = at + framing.length;
        this.#state = "done";
        if (end < data.length) this.reusable = false;
        parts.onWhole(status, headers, data.subarray(at, end));
        return data.length;
      }
      this.#left = framing.length;
      this.#state = "length";
    } else if (framing.chunked) {
      this.#state = "chunk-size";
    } else {
      this.#state = "close";
      this.reusable = false;
    }
    parts.onHead(status, headers, at < data.length);
    return at;
  }

  #chunkSize(data: Buffer, at: number): number {
    const end = data.indexOf("\r\n", at, "latin1");
    if (end < 0 ? data.length - at > CHUNK_LINE_BYTES_MAX : end - at > CHUNK_LINE_BYTES_MAX) {
      throw new BadAnswer("the line of a chunk is too long");
    }
    if (end < 0) {
      if (BROKEN.test(data.toString("latin1", at, data.length - (data.at(-1) === 0x0d ? 1 : 0)))) {
        throw new BadAnswer("the size of a chunk is not a number");
      }
      this.#keep(data, at);
      return data.length;
    }
    const line = data.toString("latin1", at, end);
    if (!CHUNK_SIZE.test(line)) throw new BadAnswer("the size of a chunk is not a number");
    this.#left = Number.parseInt(line, 16);
    this.#state = this.#left === 0 ? "trailers" : "chunk";
    return end + 2;
  }

  #trailers(data: Buffer, at: number): number {
    if (data.length - at >= 2 && data[at] === 0x0d && data[at + 1] === 0x0a) {
      this.#end(NO_FIELDS);
      return at + 2;
    }
    const end = data.indexOf("\r\n\r\n", at, "latin1");
    if ((end < 0 ? data.length : end) - at > ANSWER_HEAD_BYTES_MAX) throw new BadAnswer("the trailers are too large");
    if (end < 0) {
      this.#keep(data, at);
      return data.length;
    }
    const text = data.toString("latin1", at, end);
    if (BROKEN.test(text)) throw new BadAnswer("a trailer has a forbidden character");
    this.#end(parseFields(text, 0, undefined));
    return end + 4;
  }

  #end(trailers: string[]): void {
    this.#state = "done";
    this.#parts.onEnd(endOf(MARKED, trailers) as WholeEnd);
  }
}

/** The fields from `at` on, as name, value, name, value. @throws BadAnswer */
function parseFields(text: string, at: number, framing: Framing | undefined): string[] {
  const fields: string[] = [];
  for (let from = at; from < text.length;) {
    let end = text.indexOf("\r\n", from);
    if (end < 0) end = text.length;
    const colon = text.indexOf(":", from);
    if (colon < 0 || colon > end) throw new BadAnswer("a header has no colon");
    const name = text.slice(from, colon);
    // A folded line starts with a space, which no name contains.
    if (!NAME.test(name)) throw new BadAnswer("a header's name is not valid");
    const value = trimmed(text, colon + 1, end);
    fields.push(name, value);
    if (framing) noteFraming(framing, name, value);
    if (fields.length > ANSWER_FIELDS_MAX * 2) throw new BadAnswer(`more than ${ANSWER_FIELDS_MAX} header fields`);
    from = end + 2;
  }
  return fields;
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && (text.charCodeAt(start) === 0x20 || text.charCodeAt(start) === 0x09)) start++;
  while (end > start && (text.charCodeAt(end - 1) === 0x20 || text.charCodeAt(end - 1) === 0x09)) end--;
  return text.slice(start, end);
}

/** The few fields that say where the answer ends and whether another may follow. Compared by length first. */
function noteFraming(framing: Framing, name: string, value: string): void {
  switch (name.length) {
    case 10: {
      const lower = name.toLowerCase();
      if (lower === "connection") {
        const tokens = value.toLowerCase().split(",");
        framing.close ||= tokens.some((token) => token.trim() === "close");
      } else if (lower === "keep-alive") {
        const seconds = /(?:^|[,\s])timeout=(\d{1,6})(?:$|[,\s])/i.exec(value)?.[1];
        if (seconds !== undefined) framing.keepAliveSeconds = Number(seconds);
      }
      return;
    }
    case 14:
      if (name.toLowerCase() !== "content-length") return;
      if (!LENGTH.test(value)) throw new BadAnswer("the Content-Length is not a plain number");
      if (framing.length !== undefined) throw new BadAnswer("the answer has more than one Content-Length");
      framing.length = Number(value);
      return;
    case 17:
      if (name.toLowerCase() !== "transfer-encoding") return;
      framing.chunked = !framing.encoded && value.toLowerCase() === "chunked";
      framing.encoded = true;
      return;
  }
}
