/**
 * An answer as bytes: draws the order, fits what there is room for, and points back at names already written. Records are
 * encoded by the packet library, each once, and put together here, since the library repeats every name in full.
 * @see RFC 1035 §4.1.4 (pointers), RFC 2181 §9 (truncation)
 */
import { encode } from "dns-packet";
import type { Random } from "#base";
import { nameServer, type Answer, type Candidate, type Zone } from "./answer.ts";
import type { RecordData } from "./record-data.ts";
import { HEADER_BYTES, put16, type Tail } from "./message.ts";
import { draw } from "./order.ts";

/** Records of one answer at most, over TCP too: a client needs some instances, and whoever needs all asks the API. */
const RECORDS_MAX = 512;
/** Bytes of the smallest record: a pointer as its owner, its type, class, time to live and length, an IPv4 address. */
const RECORD_BYTES_MIN = 16;
/** Highest place in a message that a pointer reaches. */
const POINTER_MAX = 0x3fff;
/** Bytes between a record's owner and its data; and in an SRV record's data before the target. */
const BEFORE_DATA = 10;
const BEFORE_TARGET = 6;

export interface Frame {
  /** Bytes of the question, behind which the records come. */
  readonly questionBytes: number;
  /** Bytes that the records may take. */
  readonly room: number;
  /** Whether a client that is not given all can ask again by TCP. */
  readonly mayTruncate: boolean;
}

/** Records of one answer with their bytes, encoded when first drawn. */
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

  /** What is sent this time. Truncated when not all answers fit and the client may come again by TCP. */
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
      // What is only helpful is left out, one name after the other, without a word: the client can ask for it.
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
  /** Where in the message the first byte written stands. */
  readonly #start: number;
  readonly #parts: Uint8Array[] = [];
  readonly #names = new Map<string, number>();
  #length = 0;

  constructor(room: number, start: number) {
    this.#room = room;
    this.#start = start;
  }

  /** False when it does not fit; nothing is then written. The owner is a place already written, or a name. */
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
    return Buffer.concat(this.#parts, this.#length);
  }
}

function pointer(place: number): Uint8Array {
  const bytes = new Uint8Array(2);
  put16(bytes, 0, 0xc000 | place);
  return bytes;
}

/** Type, class, time to live, length and data, as the library writes them behind a root name of one byte. */
function encodeRecord(record: RecordData, ttl: number): Uint8Array {
  const rest = { name: ".", class: "IN", ttl } as const;
  const answer =
    record.type === "TXT"
      ? { ...rest, type: record.type, data: record.data.map((text) => Buffer.from(text)) }
      : { ...rest, ...record };
  return encode({ type: "response", answers: [answer] }).subarray(HEADER_BYTES + 1);
}

/** Seconds of the SOA record that secondaries would go by; there are none, so they only have to be sound. */
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

/** A question for that name holds it as the library writes it, between the header and its type and class. */
function encodeName(name: string): Uint8Array {
  const bytes = encode({ type: "query", questions: [{ type: "A", name }] });
  return bytes.subarray(HEADER_BYTES, bytes.length - 4);
}

/** Bytes of a name: each label with its length, and the root. */
function nameBytes(labels: readonly string[]): number {
  return labels.reduce((sum, label) => sum + Buffer.byteLength(label) + 1, 1);
}
