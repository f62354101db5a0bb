/** The authorities and the client certificate for etcd, from files. */
import type { Host } from "#base";
import { type Settings, spellings } from "#settings";
import type { EtcdTls, EtcdTlsSource } from "#store";
import { ServerErrors } from "./api.ts";
import { readAuthorities, readTls } from "./certificates.ts";
import { WatchedFiles } from "./watched-files.ts";

type EtcdFiles = Pick<Settings, "etcdCaFile" | "etcdCertFile" | "etcdKeyFile">;

export class EtcdTlsFiles implements EtcdTlsSource, AsyncDisposable {
  readonly #files: EtcdFiles;
  readonly #watched: WatchedFiles;
  readonly #listeners = new Set<() => void>();
  current: EtcdTls = {};

  constructor(host: Host, files: EtcdFiles) {
    this.#files = files;
    const paths = [files.etcdCaFile, files.etcdCertFile, files.etcdKeyFile];
    this.#watched = new WatchedFiles(
      host,
      paths.filter((path) => path !== undefined),
    );
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** @throws SERVER_SETTINGS_CONFLICT, TLS_UNREADABLE, STATE_FILE_DAMAGED */
  async start(): Promise<void> {
    await this.#watched.start("certificate files of etcd", async () => {
      this.current = await readEtcdTls(this.#files);
      for (const listener of this.#listeners) listener();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watched[Symbol.asyncDispose]();
  }
}

async function readEtcdTls({ etcdCaFile, etcdCertFile: certFile, etcdKeyFile: keyFile }: EtcdFiles): Promise<EtcdTls> {
  const ca = etcdCaFile === undefined ? {} : { ca: await readAuthorities(etcdCaFile, "etcdCaFile") };
  if (certFile === undefined && keyFile === undefined) return ca;
  if (certFile === undefined || keyFile === undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `A client certificate for etcd needs its key. Set ${spellings(certFile === undefined ? "etcdCertFile" : "etcdKeyFile")}, too.`,
    );
  }
  const { cert, key } = await readTls({
    certFile,
    keyFile,
    of: "the client of etcd",
    settings: "etcdCertFile, etcdKeyFile",
  });
  return { ...ca, certificate: Buffer.from(cert), key: Buffer.from(key) };
}
