/**
 * The cookie of a sticky session: an instance's id and a signature. Without the signature a client could choose its
 * instance, direct all its load at one, or probe which instances exist. The key is set by the operator or generated in
 * the data folder; gateways with the same key accept each other's cookies.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { chmod } from "node:fs/promises";
import type { Host } from "#base";
import { replaceFile } from "#base/files";
import { readStateFile } from "#base/state-file";
import type { StickyCookies } from "../core/decision/pipeline.ts";

/** Bytes of a key: as many as the hash has. */
const KEY_BYTES = 32;
/** Bytes of a signature: 2^128 values cannot be guessed. */
const SIGNATURE_BYTES = 16;
/** Verified cookies that are remembered, so that the next request of a session needs no hash. */
const KNOWN_MAX = 10_000;

export class SignedCookies implements StickyCookies {
  readonly #key: Buffer;
  readonly #known = new Map<string, string>();

  constructor(key: Buffer) {
    this.#key = key;
  }

  read(value: string, cluster: string): string | undefined {
    const known = this.#known.get(`${cluster} ${value}`);
    if (known !== undefined) return known;
    const [, id = "", signature = ""] = /^([A-Za-z0-9_-]{1,256})\.([A-Za-z0-9_-]{22})$/.exec(value) ?? [];
    if (id === "") return undefined;
    const instance = Buffer.from(id, "base64url").toString("utf8");
    const given = Buffer.from(signature, "base64url");
    if (!timingSafeEqual(given, this.#sign(instance, cluster))) return undefined;
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(`${cluster} ${value}`, instance);
    return instance;
  }

  write(instance: string, cluster: string): string {
    return `${Buffer.from(instance).toString("base64url")}.${this.#sign(instance, cluster).toString("base64url")}`;
  }

  #sign(instance: string, cluster: string): Buffer {
    return createHmac("sha256", this.#key)
      .update(JSON.stringify([cluster, instance]))
      .digest()
      .subarray(0, SIGNATURE_BYTES);
  }
}

/** A key for this process only, for a gateway without a data folder. */
export function freshKey(host: Host): Buffer {
  return Buffer.from(host.random.bytes(KEY_BYTES));
}

/**
 * Reads the key from a file, or creates the file: hex on one line, readable by its owner only.
 * @throws STATE_FILE_DAMAGED, STATE_FILE_UNREADABLE
 */
export async function readStickyKey(host: Host, path: string): Promise<Buffer> {
  const known = await readStateFile(path, {
    what: "the key that signs the cookies of sticky sessions",
    wayOut: "Restore it from a backup, or delete it: a new one is made, and clients get new instances.",
    parse(text) {
      if (!/^[0-9a-f]{64}\s*$/.test(text)) throw new Error(`expected ${KEY_BYTES} bytes in hex on one line`);
      return Buffer.from(text.trim(), "hex");
    },
  });
  if (known) return known;
  const key = freshKey(host);
  await replaceFile(path, `${key.toString("hex")}\n`, 0o600);
  await chmod(path, 0o600);
  return key;
}
