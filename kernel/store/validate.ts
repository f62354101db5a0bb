/**
 * Validation that all engines share, before anything is written. The limits are those of the strictest engine, so that a control plane
 * that runs on one engine runs on all.
 */
import {
  KEY_BYTES_MAX,
  LEASE_TTL_SECONDS_MAX,
  LEASE_TTL_SECONDS_MIN,
  StoreErrors,
  TXN_BYTES_MAX,
  TXN_OPS_MAX,
  VALUE_BYTES_MAX,
  type Compare,
  type KeyOrPrefix,
  type Op,
  type RangeRequest,
  type TxnRequest,
  type WatchRequest,
} from "./types.ts";

/** Printable ASCII: the only alphabet that JavaScript, LMDB and etcd sort in the same order. */
const KEY_PATTERN = /^[\x20-\x7e]*$/;

export function validateRange(request: RangeRequest): void {
  validateSelector(request);
  validateList(request);
  if (request.revision !== undefined) validateWhole("revision", request.revision, 1);
}

export function validateTxn({ when = [], then = [], otherwise = [] }: TxnRequest): void {
  let bytes = 0;
  for (const [name, list] of Object.entries({ when, then, otherwise })) {
    if (list.length > TXN_OPS_MAX) {
      throw StoreErrors.INVALID(
        `"${name}" has ${list.length} items, but a transaction can have at most ${TXN_OPS_MAX}. Split it.`,
      );
    }
  }
  for (const compare of when) bytes += validateCompare(compare);
  for (const branch of [then, otherwise]) {
    for (const op of branch) bytes += validateOp(op);
    validateOverlaps(branch);
  }
  if (bytes > TXN_BYTES_MAX) {
    throw StoreErrors.INVALID(
      `The transaction has ${bytes} bytes, but at most ${TXN_BYTES_MAX} are allowed. Split it.`,
    );
  }
}

export function validateWatch(request: WatchRequest): void {
  validateSelector(request);
  if (request.after !== undefined) validateWhole("after", request.after, 0);
}

export function validateTtl(ttlSeconds: number): void {
  validateWhole("ttlSeconds", ttlSeconds, LEASE_TTL_SECONDS_MIN, LEASE_TTL_SECONDS_MAX);
}

export function validateCompact(through: number): void {
  validateWhole("through", through, 1);
}

function validateSelector(selector: KeyOrPrefix): number {
  if ("key" in selector) return validateKey(selector.key);
  return validateText("prefix", selector.prefix);
}

function validateList(request: Omit<RangeRequest, "revision"> & KeyOrPrefix): number {
  if (request.limit !== undefined) validateWhole("limit", request.limit, 0);
  if (request.after === undefined) return 0;
  if ("key" in request) throw StoreErrors.INVALID(`"after" requires a prefix, but this range selects one key.`);
  return validateText("after", request.after);
}

function validateKey(key: string): number {
  if (key === "") throw StoreErrors.INVALID("A key must have at least one character.");
  return validateText("key", key);
}

/** @returns its bytes, which are its characters in ASCII. */
function validateText(name: string, text: string): number {
  if (text.length > KEY_BYTES_MAX) {
    throw StoreErrors.INVALID(`The ${name} has ${text.length} bytes, but at most ${KEY_BYTES_MAX} are allowed.`);
  }
  if (!KEY_PATTERN.test(text)) {
    throw StoreErrors.INVALID(
      `The ${name} ${JSON.stringify(text)} is not printable ASCII. Percent-encode its segments.`,
    );
  }
  return text.length;
}

function validateCompare({ key, value }: Compare): number {
  validateWhole("the value of a comparison", value, 0);
  return validateKey(key);
}

function validateOp(op: Op): number {
  if (op.type === "delete") return validateSelector(op);
  if (op.type === "range") return validateSelector(op) + validateList(op);
  if (op.value.byteLength > VALUE_BYTES_MAX) {
    throw StoreErrors.INVALID(
      `The value of "${op.key}" has ${op.value.byteLength} bytes, but at most ${VALUE_BYTES_MAX} are allowed.`,
    );
  }
  return validateKey(op.key) + op.value.byteLength;
}

/** A key is put at most once, and not both put and deleted, so that the order of writes at one revision never matters. */
function validateOverlaps(branch: readonly Op[]): void {
  const puts = new Set<string>();
  for (const op of branch) {
    if (op.type !== "put") continue;
    if (puts.has(op.key)) throw StoreErrors.INVALID(`"${op.key}" is put twice in one transaction.`);
    puts.add(op.key);
  }
  for (const op of branch) {
    if (op.type !== "delete") continue;
    const clash = "key" in op ? puts.has(op.key) && op.key : puts.values().find((key) => key.startsWith(op.prefix));
    if (clash) throw StoreErrors.INVALID(`"${clash}" is both put and deleted in one transaction.`);
  }
}

function validateWhole(name: string, value: number, min: number, max: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw StoreErrors.INVALID(`${name} must be a whole number from ${min} to ${max}, not ${value}.`);
  }
}
