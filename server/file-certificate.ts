/** The operator's certificate for listeners, from files that are checked once a second. A renewal needs no restart. */
import { stat } from "node:fs/promises";
import { type Host, messageOf, TaskGroup } from "#base";
import type { TlsMaterial, TlsSource } from "#http";
import { readTls, type TlsFiles } from "./certificates.ts";

/** Milliseconds between two checks. */
const LOOK_MS = 1_000;

export class FileCertificate implements TlsSource, AsyncDisposable {
  readonly #host: Host;
  readonly #files: TlsFiles;
  readonly #listeners = new Set<() => void>();
  readonly #tasks: TaskGroup;
  #bundle = "";
  #material: Omit<TlsMaterial, "bundle"> | undefined;
  #seen = "";

  constructor(host: Host, files: TlsFiles) {
    this.#host = host;
    this.#files = files;
    this.#tasks = new TaskGroup(host.log);
  }

  get current(): TlsMaterial | undefined {
    return this.#material && { ...this.#material, bundle: this.#bundle };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The roots of client certificates, which the operator's certificate does not come from. */
  setBundle(pem: string): void {
    if (pem === this.#bundle) return;
    this.#bundle = pem;
    this.#notify();
  }

  /** @throws TLS_UNREADABLE, STATE_FILE_UNREADABLE, STATE_FILE_DAMAGED */
  async start(): Promise<void> {
    await this.#read();
    this.#tasks.run("certificate files of the listeners", async (signal) => {
      while (!signal.aborted) {
        await this.#host.clock.sleep(LOOK_MS, signal).catch(() => {});
        if (!signal.aborted) await this.#look();
      }
    });
  }

  async #look(): Promise<void> {
    const seen = await this.#states();
    if (seen === this.#seen) return;
    // A pair that is half replaced is read again at its next change.
    this.#seen = seen;
    try {
      await this.#read();
      this.#host.log.info({ file: this.#files.certFile }, "the listeners serve the certificate that was replaced");
    } catch (error) {
      this.#host.log.error({ err: error }, `the last certificate stays in use: ${messageOf(error)}`);
    }
  }

  async #read(): Promise<void> {
    this.#seen = await this.#states();
    const { cert, key } = await readTls(this.#files);
    this.#material = { certificate: cert, key };
    this.#notify();
  }

  /** A text that identifies the state of both files. A file that is missing while it is replaced counts as unchanged. */
  async #states(): Promise<string> {
    const states = [this.#files.certFile, this.#files.keyFile].map(async (path) => {
      const { ino, size, mtimeMs } = await stat(path);
      return `${ino} ${size} ${mtimeMs}`;
    });
    return (await Promise.all(states).catch(() => [this.#seen])).join();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
