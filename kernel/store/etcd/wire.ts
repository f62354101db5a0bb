/** Translates requests and responses between the store and etcd, and adds and removes the namespace of keys. Pure. */
import assert from "node:assert/strict";
import type { ICompare, IKeyValue, IRangeRequest, IRangeResponse, IRequestOp, IResponseOp } from "etcd3";
import type { Compare, StoreEntry, KeyOrPrefix, LeaseId, Op, OpResult, RangeRequest, RangeResult } from "../types.ts";

/** A lease id that etcd never grants. It replaces ids in a format that is not etcd's. */
const LEASE_NEVER = "9223372036854775807";

const TARGETS = {
  modRevision: ["Mod", "mod_revision"],
  createRevision: ["Create", "create_revision"],
  version: ["Version", "version"],
} as const;

const RESULTS = { equal: "Equal", notEqual: "NotEqual", less: "Less", greater: "Greater" } as const;

/** etcd sends 64-bit numbers as text. The store's numbers are doubles. */
export function whole(text: string): number {
  const value = Number(text);
  assert(Number.isSafeInteger(value), `etcd sent ${text}, which is not a safe integer`);
  return value;
}

/** etcd's lease ids are signed 64-bit numbers. */
export function leaseIdOf(lease: LeaseId): string {
  return /^-?[1-9]\d{0,18}$/.test(lease) ? lease : LEASE_NEVER;
}

export class Wire {
  readonly #namespace: string;

  /** Every key begins with `namespace` in etcd. */
  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** `key` and `range_end` as etcd has them. */
  range(selector: KeyOrPrefix & { readonly after?: string }): { key: Buffer; range_end?: Buffer } {
    if ("key" in selector) return { key: this.key(selector.key) };
    const prefix = this.#namespace + selector.prefix;
    const { after } = selector;
    const start = after !== undefined && after >= selector.prefix ? `${this.#namespace}${after}\0` : prefix || "\0";
    const end =
      prefix === "" ? "\0" : prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
    return { key: Buffer.from(start, "latin1"), range_end: Buffer.from(end, "latin1") };
  }

  key(key: string): Buffer {
    return Buffer.from(this.#namespace + key, "latin1");
  }

  keyFrom(bytes: Buffer): string {
    return bytes.toString("latin1", this.#namespace.length);
  }

  rangeRequest(request: RangeRequest): IRangeRequest {
    const { limit, revision, keysOnly = false } = request;
    return {
      ...this.range(request),
      ...(limit === undefined ? {} : limit === 0 ? { count_only: true } : { limit }),
      ...(revision === undefined ? {} : { revision }),
      keys_only: keysOnly,
    };
  }

  rangeResult(response: IRangeResponse): RangeResult {
    const entries = response.kvs.map((kv) => this.entry(kv));
    const count = whole(response.count);
    return { revision: whole(response.header.revision), entries, more: count > entries.length, count };
  }

  entry(kv: IKeyValue): StoreEntry {
    return {
      key: this.keyFrom(kv.key),
      value: kv.value,
      createRevision: whole(kv.create_revision),
      modRevision: whole(kv.mod_revision),
      version: whole(kv.version),
      ...(kv.lease === "0" ? {} : { lease: kv.lease }),
    };
  }

  compare({ key, target, is, value }: Compare): ICompare {
    const [name, field] = TARGETS[target];
    return { key: this.key(key), target: name, result: RESULTS[is], [field]: value };
  }

  op(op: Op): IRequestOp {
    if (op.type === "delete") return { request_delete_range: this.range(op) };
    if (op.type === "range") return { request_range: this.rangeRequest(op) };
    const lease = op.lease === undefined ? {} : { lease: leaseIdOf(op.lease) };
    return { request_put: { key: this.key(op.key), value: Buffer.from(op.value), ...lease } };
  }

  opResult(op: Op, response: IResponseOp): OpResult {
    if (op.type === "put") return { type: "put" };
    if (op.type === "delete") return { type: "delete", deleted: whole(response.response_delete_range.deleted) };
    return { type: "range", ...this.rangeResult(response.response_range) };
  }
}
