/**
 * Reads a DNS query from bytes, and writes the frame of an answer around records. Only the parts of a query (header,
 * one question, OPT) are read, in place and without creating unneeded objects, because all packets from anywhere pass
 * here. Records are encoded by the packet library.
 * @see RFC 1035 §4, RFC 6891 (EDNS)
 */
import { invariant } from "#base";

export const HEADER_BYTES = 12;
/** Bytes of a UDP answer to a client without EDNS. RFC 1035 §2.3.4. */
export const UDP_BYTES_PLAIN = 512;
/**
 * Largest UDP answer in bytes, whatever the client offers: larger ones are fragmented on some paths. DNS flag day 2020.
 */
export const UDP_BYTES_MAX = 1232;
/** Largest TCP answer in bytes: its length has two bytes. */
export const TCP_BYTES_MAX = 65_535;
/** Bytes of the OPT record in our answers: root name, type, size, flags, no options. */
export const OPT_BYTES = 11;
/** Additional records of a query that are read. Clients send only OPT and a signature. */
const ADDITIONALS_MAX = 4;
/** Bytes of a name, including its length bytes and the root. RFC 1035 §2.3.4. */
const NAME_BYTES_MAX = 255;

export const Type = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;
export const CLASS_IN = 1;

export const Rcode = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = (typeof Rcode)[keyof typeof Rcode];

/** The transport of a query; it limits the size of the answer. */
export type Transport = "udp" | "tcp";

export interface Query {
  readonly id: number;
  /** Recursion desired and checking disabled, as bits of the flags; both are copied into the answer. */
  readonly copied: number;
  /** The question as received, with its capitals: an answer repeats it byte for byte. */
  readonly question: Uint8Array;
  /** The same in lower case, with type and class, as a key. */
  readonly key: string;
  readonly type: number;
  readonly class: number;
  readonly edns: { readonly payloadBytes: number; readonly version: number; readonly dnssecOk: boolean } | undefined;
}

/** `drop`: send no answer · `refuse`: send only the header, with this code. */
export type Reading =
  | { readonly kind: "query"; readonly query: Query }
  | { readonly kind: "drop"; readonly reason: "short" | "response" }
  | { readonly kind: "refuse"; readonly rcode: Rcode };

const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_TRUNCATED = 0x0200;
const FLAGS_COPIED = 0x0100 | 0x0010;
const OPCODE_BITS = 0x7800;

/** Never throws, for any bytes. */
export function readQuery(bytes: Buffer): Reading {
  if (bytes.length < HEADER_BYTES) return { kind: "drop", reason: "short" };
  const flags = u16(bytes, 2);
  // Answering an answer could loop forever.
  if ((flags & FLAG_RESPONSE) !== 0) return { kind: "drop", reason: "response" };
  if ((flags & OPCODE_BITS) !== 0) return { kind: "refuse", rcode: Rcode.NOTIMP };
  if (u16(bytes, 4) !== 1 || u16(bytes, 6) !== 0 || u16(bytes, 8) !== 0) return malformed;
  const end = endOfName(bytes, HEADER_BYTES, false);
  if (end === undefined || end + 4 > bytes.length) return malformed;
  const edns = readAdditionals(bytes, end + 4, u16(bytes, 10));
  if (edns === "malformed") return malformed;
  return {
    kind: "query",
    query: {
      id: u16(bytes, 0),
      copied: flags & FLAGS_COPIED,
      question: bytes.subarray(HEADER_BYTES, end + 4),
      key: lowered(bytes, HEADER_BYTES, end) + bytes.toString("latin1", end, end + 4),
      type: u16(bytes, end),
      class: u16(bytes, end + 2),
      edns,
    },
  };
}

const malformed: Reading = { kind: "refuse", rcode: Rcode.FORMERR };

/** The labels of the question's name in lower case, without the root. */
export function questionLabels({ key }: Query): string[] {
  const bytes = Buffer.from(key, "latin1");
  const labels: string[] = [];
  for (let at = 0, length = bytes[0] ?? 0; length > 0; length = bytes[at] ?? 0) {
    labels.push(bytes.toString("utf8", at + 1, at + 1 + length));
    at += length + 1;
  }
  return labels;
}

/**
 * The end of the name that starts at `at`; undefined when it is truncated, too long or, unless allowed, a pointer. A
 * pointer may end one byte after the message: then no complete record follows.
 */
function endOfName(bytes: Buffer, at: number, pointers: boolean): number | undefined {
  const limit = at + NAME_BYTES_MAX;
  for (let next = at; next < bytes.length;) {
    const length = bytes[next] as number;
    if (length === 0) return next + 1 > limit ? undefined : next + 1;
    if (length > 63) return pointers && length >= 0xc0 ? next + 2 : undefined;
    next += length + 1;
  }
  return undefined;
}

function readAdditionals(bytes: Buffer, start: number, count: number): Query["edns"] | "malformed" {
  if (count > ADDITIONALS_MAX) return "malformed";
  let at = start;
  let edns: Query["edns"];
  for (let i = 0; i < count; i++) {
    const name = endOfName(bytes, at, true);
    if (name === undefined || name + 10 > bytes.length) return "malformed";
    const end = name + 10 + u16(bytes, name + 8);
    if (end > bytes.length) return "malformed";
    if (u16(bytes, name) === Type.OPT) {
      if (edns !== undefined || bytes[at] !== 0) return "malformed";
      const flags = u16(bytes, name + 6);
      edns = {
        payloadBytes: u16(bytes, name + 2),
        version: bytes[name + 5] as number,
        dnssecOk: (flags & 0x8000) !== 0,
      };
    }
    at = end;
  }
  return at === bytes.length ? edns : "malformed";
}

/** ASCII capitals in lower case. Length bytes are below 64, so none is mistaken for a letter. */
function lowered(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("latin1", start, end);
  return CAPITAL.test(text) ? text.replaceAll(CAPITALS, (letters) => letters.toLowerCase()) : text;
}
const CAPITAL = /[A-Z]/;
const CAPITALS = /[A-Z]+/g;

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** The records of an answer as bytes that follow the question. Independent of the client; without the OPT record. */
export interface Tail {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly counts: readonly [answers: number, authorities: number, additionals: number];
  readonly bytes: Uint8Array;
}

export function emptyTail(rcode: Rcode, options: { authoritative?: boolean; truncated?: boolean } = {}): Tail {
  const { authoritative = false, truncated = false } = options;
  return { rcode, authoritative, truncated, counts: [0, 0, 0], bytes: NOTHING };
}
const NOTHING = new Uint8Array(0);

/** Bytes that the records of an answer may take. */
export function roomFor(query: Query, transport: Transport): number {
  const opt = query.edns === undefined ? 0 : OPT_BYTES;
  const most = transport === "tcp" ? TCP_BYTES_MAX : udpBytes(query);
  const room = most - HEADER_BYTES - query.question.length - opt;
  invariant(room > 0, "a valid question leaves room for records");
  return room;
}

/** The UDP size that a client accepts. Two size classes suffice, so that clients share cached answers. */
export function udpBytes({ edns }: Query): number {
  return edns !== undefined && edns.payloadBytes >= UDP_BYTES_MAX ? UDP_BYTES_MAX : UDP_BYTES_PLAIN;
}

/** A complete answer: header, the question as received, the records, and OPT if the client sent one. */
export function writeAnswer(query: Query, tail: Tail): Buffer {
  const { question, edns } = query;
  const opt = edns === undefined ? 0 : OPT_BYTES;
  const answer = Buffer.allocUnsafe(HEADER_BYTES + question.length + tail.bytes.length + opt);
  const flags =
    FLAG_RESPONSE |
    query.copied |
    (tail.authoritative ? FLAG_AUTHORITATIVE : 0) |
    (tail.truncated ? FLAG_TRUNCATED : 0) |
    (tail.rcode & 15);
  put16(answer, 0, query.id);
  put16(answer, 2, flags);
  put16(answer, 4, 1);
  put16(answer, 6, tail.counts[0]);
  put16(answer, 8, tail.counts[1]);
  put16(answer, 10, tail.counts[2] + (edns === undefined ? 0 : 1));
  answer.set(question, HEADER_BYTES);
  const at = HEADER_BYTES + question.length;
  answer.set(tail.bytes, at);
  if (edns !== undefined) putOpt(answer, at + tail.bytes.length, { rcode: tail.rcode, dnssecOk: edns.dnssecOk });
  return answer;
}

function putOpt(bytes: Uint8Array, at: number, { rcode, dnssecOk }: { rcode: number; dnssecOk: boolean }): void {
  bytes[at] = 0;
  put16(bytes, at + 1, Type.OPT);
  put16(bytes, at + 3, UDP_BYTES_MAX);
  bytes[at + 5] = rcode >> 4;
  bytes[at + 6] = 0;
  put16(bytes, at + 7, dnssecOk ? 0x8000 : 0);
  put16(bytes, at + 9, 0);
}

/** Only the header, for a query that cannot be read further. `bytes` contains at least a header. */
export function writeRefusal(bytes: Uint8Array, rcode: Rcode): Buffer {
  const answer = Buffer.alloc(HEADER_BYTES);
  put16(answer, 0, u16(bytes, 0));
  put16(answer, 2, FLAG_RESPONSE | (u16(bytes, 2) & (OPCODE_BITS | FLAGS_COPIED)) | rcode);
  return answer;
}

/** The query as sent to a forwarder: with a new id, and with OPT only if the client sent one. */
export function writeForwarded({ question, edns, copied }: Query, id: number): Buffer {
  const query = Buffer.alloc(HEADER_BYTES + question.length + (edns === undefined ? 0 : OPT_BYTES));
  put16(query, 0, id);
  put16(query, 2, copied);
  put16(query, 4, 1);
  put16(query, 10, edns === undefined ? 0 : 1);
  query.set(question, HEADER_BYTES);
  if (edns !== undefined) putOpt(query, HEADER_BYTES + question.length, { rcode: 0, dnssecOk: edns.dnssecOk });
  return query;
}

/** Whether these bytes answer the query: they repeat its id and its question, including capitals. */
export function answersQuery(answer: Buffer, { question }: Query, id: number): boolean {
  return (
    answer.length >= HEADER_BYTES + question.length &&
    u16(answer, 0) === id &&
    (u16(answer, 2) & (FLAG_RESPONSE | OPCODE_BITS)) === FLAG_RESPONSE &&
    u16(answer, 4) === 1 &&
    answer.subarray(HEADER_BYTES, HEADER_BYTES + question.length).equals(question)
  );
}

export function isTruncated(answer: Uint8Array): boolean {
  return (u16(answer, 2) & FLAG_TRUNCATED) !== 0;
}

export function rcodeOf(answer: Uint8Array): number {
  return u16(answer, 2) & 15;
}

/** A forwarder's answer with the client's id and the flag for available recursion. Changes the given bytes. */
export function readdressed(answer: Buffer, id: number): Buffer {
  put16(answer, 0, id);
  put16(answer, 2, u16(answer, 2) | 0x0080);
  return answer;
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 255;
}
