/** The operator's certificate for listeners, from files. */
import type { Host } from "#base";
import type { TlsMaterial, TlsSource } from "#http";
import { readTls, type TlsFiles } from "./certificates.ts";
import { WatchedFiles } from "./watched-files.ts";

export class FileCertificate implements TlsSource, AsyncDisposable {
  readonly #files: TlsFiles;
  readonly #watched: WatchedFiles;
  readonly #listeners = new Set<() => void>();
  #bundle = "";
  #material: Omit<TlsMaterial, "bundle"> | undefined;

  constructor(host: Host, files: TlsFiles) {
    this.#files = files;
    this.#watched = new WatchedFiles(host, [files.certFile, files.keyFile]);
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
    await this.#watched.start("certificate files of the listeners", async () => {
      const { cert, key } = await readTls(this.#files);
      this.#material = { certificate: cert, key };
      this.#notify();
    });
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watched[Symbol.asyncDispose]();
  }
}
