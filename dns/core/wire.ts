/**
 * Encodes an answer: draws the order, includes the records that fit, and compresses names with pointers. The packet
 * library encodes each record once; they are joined here, because the library repeats every name in full.
 * @see RFC 1035 §4.1.4 (pointers), RFC 2181 §9 (truncation)
 */
import { encode } from "dns-packet";
import { invariant, type Random } from "#base";
import { nameServer, type Answer, type Candidate, type Zone } from "./answer.ts";
import type { RecordData } from "./record-data.ts";
import { HEADER_BYTES, put16, type Tail } from "./message.ts";
import { draw } from "./order.ts";

/**
 * Most records of one answer, also over TCP: a client needs some instances, and a client that needs all uses the API.
 */
const RECORDS_MAX = 512;
/** Bytes of the smallest record: a pointer as its owner, its type, class, time to live and length, an IPv4 address. */
const RECORD_BYTES_MIN = 16;
/** Highest offset in a message that a pointer can hold. */
const POINTER_MAX = 0x3fff;
/** Bytes between a record's owner and its data; and in an SRV record's data before the target. */
const BEFORE_DATA = 10;
const BEFORE_TARGET = 6;

export interface Frame {
  /** Bytes of the question, which precedes the records. */
  readonly questionBytes: number;
  /** Bytes that the records may take. */
  readonly room: number;
  /** Whether a client that does not receive all records can retry over TCP. */
  readonly mayTruncate: boolean;
}

/** The records of one answer with their bytes, which are encoded at the first draw. */
export class Records {
  readonly #answer: Answer;
  readonly #zone: Zone;
  readonly #encoded = new Map<RecordData, Uint8Array>();

  constructor(answer: Answer, zone: Zone) {
    this.#answer = answer;
    this.#zone = zone;
  }

  /** Whether two tails of this answer may differ. */
  get varies(): boolean {
    return this.#answer.candidates.length > 1;
  }

  /** The records for one reply. Truncated when not all answers fit and the client may retry over TCP. */
  tail(random: Random, { questionBytes, room, mayTruncate }: Frame): Tail {
    const { rcode, authoritative, candidates, additionals, soa } = this.#answer;
    const start = HEADER_BYTES + questionBytes;
    const writer = new Writer(room, start);
    const most = Math.min(RECORDS_MAX, Math.ceil(room / RECORD_BYTES_MIN) + 1);
    const drawn = draw(random, candidates, most);
    let fits = true;
    let answers = 0;
    for (const { record } of drawn) {
      if (!(fits = writer.record(HEADER_BYTES, undefined, this.#bytes(record), targetOf(record)))) break;
      answers++;
    }
    let authorities = 0;
    if (soa && fits) {
      const owner = soa.owner === "zone" ? start - 4 - nameBytes(this.#zone.labels) : HEADER_BYTES;
      fits = writer.record(owner, undefined, encodeSoa(this.#zone, soa.serial), undefined);
      if (fits && soa.section === "answer") answers++;
      else if (fits) authorities++;
    }
    let extra = 0;
    if (fits) {
      // Records that are only helpful are omitted one by one if they do not fit: the client can query them.
      for (const { owner, record } of [...drawn.flatMap(glueOf), ...additionals]) {
        if (writer.record(undefined, owner, this.#bytes(record), undefined)) extra++;
      }
    }
    const truncated = !fits && mayTruncate;
    return { rcode, authoritative, truncated, counts: [answers, authorities, extra], bytes: writer.bytes() };
  }

  #bytes(record: RecordData): Uint8Array {
    let bytes = this.#encoded.get(record);
    if (!bytes) this.#encoded.set(record, (bytes = encodeRecord(record, this.#zone.ttlSeconds)));
    return bytes;
  }
}

function glueOf({ glue }: Candidate): NonNullable<Candidate["glue"]>[] {
  return glue ? [glue] : [];
}

function targetOf(record: RecordData): string | undefined {
  return record.type === "SRV" ? record.data.target : undefined;
}

class Writer {
  readonly #room: number;
  /** The offset in the message of the first byte written. */
  readonly #start: number;
  readonly #parts: Uint8Array[] = [];
  readonly #names = new Map<string, number>();
  #length = 0;

  constructor(room: number, start: number) {
    this.#room = room;
    this.#start = start;
  }

  /** False when the record does not fit; nothing is written then. The owner is an offset already written, or a name. */
  record(place: number | undefined, owner: string | undefined, rest: Uint8Array, target: string | undefined): boolean {
    const at = place ?? this.#names.get(owner ?? "");
    const name = at === undefined ? encodeName(owner ?? "") : pointer(at);
    if (this.#length + name.length + rest.length > this.#room) return false;
    const written = this.#start + this.#length + name.length + BEFORE_DATA + BEFORE_TARGET;
    if (target !== undefined && written <= POINTER_MAX) this.#names.set(target, written);
    this.#parts.push(name, rest);
    this.#length += name.length + rest.length;
    return true;
  }

  bytes(): Uint8Array {
    invariant(this.#length <= this.#room, "records fit into the room of the answer");
    return Buffer.concat(this.#parts, this.#length);
  }
}

function pointer(place: number): Uint8Array {
  const bytes = new Uint8Array(2);
  put16(bytes, 0, 0xc000 | place);
  return bytes;
}

/** Type, class, time to live, length and data, as the library writes them after a root name of one byte. */
function encodeRecord(record: RecordData, ttl: number): Uint8Array {
  const rest = { name: ".", class: "IN", ttl } as const;
  const answer =
    record.type === "TXT"
      ? { ...rest, type: record.type, data: record.data.map((text) => Buffer.from(text)) }
      : { ...rest, ...record };
  return encode({ type: "response", answers: [answer] }).subarray(HEADER_BYTES + 1);
}

/** Seconds of the SOA record for secondary servers. There are none, so the values only have to be plausible. */
const SOA_SECONDS = { refresh: 3600, retry: 600, expire: 86_400 } as const;

function encodeSoa({ labels, ttlSeconds }: Zone, serial: number): Uint8Array {
  const data = {
    mname: nameServer(labels),
    rname: ["hostmaster", ...labels].join("."),
    serial: serial >>> 0,
    ...SOA_SECONDS,
    minimum: ttlSeconds,
  };
  const answer = { name: ".", class: "IN", ttl: ttlSeconds, type: "SOA", data } as const;
  return encode({ type: "response", answers: [answer] }).subarray(HEADER_BYTES + 1);
}

/** The name as the library encodes it in a question, between the header and type and class. */
function encodeName(name: string): Uint8Array {
  const bytes = encode({ type: "query", questions: [{ type: "A", name }] });
  return bytes.subarray(HEADER_BYTES, bytes.length - 4);
}

/** Bytes of a name: each label with its length, and the root. */
function nameBytes(labels: readonly string[]): number {
  return labels.reduce((sum, label) => sum + Buffer.byteLength(label) + 1, 1);
}
