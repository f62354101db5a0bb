/**
 * Reads DER, as much of it as a signing request and the names of a certificate need. It is strict: a length is definite and as short as
 * possible, a value ends within the one around it, and nothing follows the last one. Rules: X.690, section 10.
 */

const LONG_LENGTH = 0x80;
/** Tags above have more octets. Nothing that is read here has one. */
const LOW_TAG_MAX = 0x1e;
const LOW_TAG_MASK = 0x1f;
/** Octets of a length. Two count to 64 KiB, and a request is a quarter of that at most. */
const LENGTH_OCTETS_MAX = 2;

export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content. */
  readonly whole: Buffer;
}

/** Reads values, at most so many in total. Every method throws an Error that describes what is wrong. */
export class DerReader {
  #left: number;

  constructor(valuesMax: number) {
    this.#left = valuesMax;
  }

  /** The only value of the bytes. */
  only(bytes: Buffer, tag: number): DerValue {
    const [value, ...more] = this.all(bytes);
    if (value?.tag !== tag || more.length > 0) throw new Error(`it is not one ASN.1 value of type ${hex(tag)}`);
    return value;
  }

  /** The values within a value. */
  within(bytes: Buffer, tag: number): DerValue[] {
    return this.all(this.only(bytes, tag).content);
  }

  /** The values that follow one another in the bytes. */
  all(bytes: Buffer): DerValue[] {
    const values: DerValue[] = [];
    for (let at = 0; at < bytes.length;) {
      if (this.#left-- <= 0) throw new Error("it has too many ASN.1 values");
      const value = valueAt(bytes, at);
      values.push(value);
      at += value.whole.length;
    }
    return values;
  }
}

/** The content of a value that must have this tag. */
export function contentOf(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag === tag) return value.content;
  throw new Error(`an ASN.1 value of type ${hex(tag)} is missing`);
}

/** The octets of a bit string. */
export function bitsOf(value: DerValue | undefined, tag: number): Buffer {
  const content = contentOf(value, tag);
  if (content[0] !== 0) throw new Error("a bit string is not of whole octets");
  return content.subarray(1);
}

function valueAt(bytes: Buffer, at: number): DerValue {
  const [tag, first] = [bytes[at], bytes[at + 1]];
  if (tag === undefined || first === undefined) throw new Error("it ends within an ASN.1 value");
  if ((tag & LOW_TAG_MASK) > LOW_TAG_MAX) throw new Error("an ASN.1 tag has more than one octet");
  // The length without an end, of BER.
  if (first === LONG_LENGTH) throw new Error("an ASN.1 length is not definite");
  const octets = first < LONG_LENGTH ? 0 : first - LONG_LENGTH;
  const from = at + 2 + octets;
  const length = octets === 0 ? first : longLength(bytes.subarray(at + 2, from), octets);
  const end = from + length;
  if (end > bytes.length) throw new Error("it ends within an ASN.1 value");
  return { tag, content: bytes.subarray(from, end), whole: bytes.subarray(at, end) };
}

/** A length in octets of its own. */
function longLength(bytes: Buffer, octets: number): number {
  if (octets > LENGTH_OCTETS_MAX || bytes.length < octets) throw new Error("an ASN.1 length is not valid");
  const length = bytes.readUIntBE(0, octets);
  if (length < (octets === 1 ? LONG_LENGTH : 0x100)) throw new Error("an ASN.1 length is longer than needed");
  return length;
}

function hex(tag: number): string {
  return `0x${tag.toString(16).padStart(2, "0")}`;
}
