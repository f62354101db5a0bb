/** Writes DER, for the one structure that is made hundreds of times a second: a certificate of a workload. Rules: X.690. */

/** Tags of X.690 that certificates use. */
export const DER_TAGS = {
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utc: 0x17,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;
const LONG_LENGTH = 0x80;
/** Years that a UTCTime can write. Rules: RFC 5280, section 4.1.2.5. */
const UTC_YEAR_MAX = 2049;

/** One value: its tag, its length and its content. */
export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(length)]), ...content]);
}

function lengthOctets(length: number): number[] {
  if (length < LONG_LENGTH) return [length];
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return [LONG_LENGTH | octets.length, ...octets];
}

/** A bit string of whole octets. */
export function derBits(octets: Uint8Array): Buffer {
  return der(DER_TAGS.bits, Buffer.from([0]), octets);
}

/** A moment, to the second. */
export function derTime(ms: number): Buffer {
  const at = new Date(ms);
  const text = at.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  if (at.getUTCFullYear() > UTC_YEAR_MAX) return der(DER_TAGS.time, Buffer.from(text, "latin1"));
  return der(DER_TAGS.utc, Buffer.from(text.slice(2), "latin1"));
}

/** An object identifier such as 2.5.29.17. */
export function derOid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const sevens = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      sevens.unshift((left & 0x7f) | 0x80);
    return sevens;
  });
  return der(DER_TAGS.oid, Buffer.from(octets));
}
