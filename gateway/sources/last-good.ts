/**
 * The last good config and endpoints in one file, so that a gateway can start while the control plane is away. The file
 * is written to a temporary name, flushed and renamed, so that a reader always sees one complete state.
 */
import { readFile } from "node:fs/promises";
import { messageOf, type Host } from "#base";
import { replaceFile } from "#base/files";
import type { CatalogInstance } from "../core/balancing/instance.ts";
import type { Release } from "./config.ts";

/**
 * Milliseconds between two writes. Health changes come in bursts, and a state a few seconds old is good enough for a
 * restart.
 */
const WRITE_PAUSE_MS = 500;
const FORMAT = 2;
/** It contains services and addresses, so only its owner may read it. */
const FILE_MODE = 0o600;

export interface LastGood {
  readonly releaseKey: string;
  /** The released text. */
  readonly config: string;
  readonly at?: Release["at"];
  /** Instances by namespace. */
  readonly instances: Readonly<Record<string, readonly CatalogInstance[]>>;
  /** Path prefixes that services hint at, by namespace and service. */
  readonly hints?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

/** The state on disk; undefined when there is none, or when it cannot be read, which is logged. */
export async function readLastGood(host: Host, path: string): Promise<LastGood | undefined> {
  try {
    const state = JSON.parse(await readFile(path, "utf8")) as LastGood & { format: number };
    if (state.format !== FORMAT) throw new Error(`format ${state.format} is not supported`);
    if (typeof state.config !== "string" || typeof state.instances !== "object")
      throw new Error("config or instances are missing");
    return state;
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") {
      host.log.warn(
        { path, reason: messageOf(error) },
        "the gateway's last good state cannot be read; starting without it",
      );
    }
    return undefined;
  }
}

/** Writes the newest state from time to time, outside the request path. */
export class LastGoodFile implements AsyncDisposable {
  readonly #host: Host;
  readonly #path: string;
  readonly #state: () => LastGood | undefined;
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(host: Host, path: string, state: () => LastGood | undefined) {
    this.#host = host;
    this.#path = path;
    this.#state = state;
  }

  /** Schedules a write of the changed state. */
  touch(): void {
    if (this.#closed) return;
    this.#cancel ??= this.#host.clock.after(WRITE_PAUSE_MS, () => this.#write());
  }

  #write(): void {
    this.#cancel = undefined;
    this.#writing = this.#replace(this.#writing);
  }

  async #replace(before: Promise<void>): Promise<void> {
    await before;
    const state = this.#state();
    if (!state) return;
    try {
      await replaceFile(this.#path, JSON.stringify({ format: FORMAT, ...state }), FILE_MODE);
    } catch (error) {
      // A full disk affects the next start, but not this process.
      this.#host.log.warn({ path: this.#path, reason: messageOf(error) }, "the last good state cannot be written");
    }
  }

  /** Completes a scheduled write. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (this.#cancel) {
      this.#cancel();
      this.#write();
    }
    await this.#writing;
  }
}

/** The part of an instance that a start needs. */
export function slim(instance: CatalogInstance): CatalogInstance {
  const {
    namespace,
    service,
    id,
    address,
    port,
    protocol,
    ports,
    ingress,
    weight,
    lifecycle,
    status,
    metadata,
    zone,
    keepAliveMs,
  } = instance;
  return {
    namespace,
    service,
    id,
    address,
    port,
    protocol,
    ports,
    weight,
    lifecycle,
    status,
    ...(metadata && Object.keys(metadata).length > 0 ? { metadata } : {}),
    ...(ingress === undefined ? {} : { ingress }),
    ...(zone === undefined ? {} : { zone }),
    ...(keepAliveMs === undefined ? {} : { keepAliveMs }),
  };
}
