/**
 * Whether a record can be encoded in a DNS message. A catalog may contain an instance that today's registration would
 * reject. Such an instance must not cost a client the others, so its records are omitted.
 * @see RFC 1035 §2.3.4 (sizes), §3.3.14 (TXT), RFC 2782 (SRV)
 */
import type { RecordData } from "./record-data.ts";

/** Bytes of one label, and of a name with the length of each label and the root. */
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
/** Bytes of one string of a TXT record, and of the data of a record. */
const TEXT_BYTES_MAX = 255;
const DATA_BYTES_MAX = 65_535;
/**
 * More characters than a host name allows: resolvers look up names with underscores, and older registrations contain
 * them.
 */
const LABEL = /^[A-Za-z0-9_-]+$/;
/** Stub resolvers treat a name that ends in a number as an IPv4 address and do not look it up. */
const NUMBER = /^\d+$/;

export function isWritable(record: RecordData): boolean {
  switch (record.type) {
    case "SRV": {
      const { priority, weight, port, target } = record.data;
      return [priority, weight, port].every(isUint16) && isWritableName(target);
    }
    case "NS":
    case "CNAME":
    case "PTR":
      return isWritableName(record.data);
    case "TXT": {
      const sizes = record.data.map((text) => Buffer.byteLength(text));
      return sizes.every((size) => size <= TEXT_BYTES_MAX) && sum(sizes) <= DATA_BYTES_MAX;
    }
    case "A":
    case "AAAA":
    case "HINFO":
    default:
      return true;
  }
}

/** A trailing dot is the root, and is allowed. */
export function isWritableName(name: string): boolean {
  const labels = (name.endsWith(".") ? name.slice(0, -1) : name).split(".");
  if (!labels.every((label) => label.length <= LABEL_BYTES_MAX && LABEL.test(label))) return false;
  return !NUMBER.test(labels.at(-1) ?? "") && sum(labels.map((label) => label.length)) < NAME_BYTES_MAX;
}

/** Includes one length byte per item. The root after a name's labels is not included. */
function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size + 1, 0);
}

function isUint16(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff;
}
