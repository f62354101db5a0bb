/**
 * TLS of this process's own listeners: the control API, the operations port and the agent's port. All of them serve one certificate: the
 * operator's, from files; or this machine's, from the authority of the control plane.
 */
import { join } from "node:path";
import { type Host } from "#base";
import { isLoopback, type ListenerTls, type TlsSource } from "#http";
import type { IdentitySource } from "#identity/core";
import { type Settings, spellings } from "#settings";
import { ServerErrors } from "./api.ts";
import { certificateEnd, type TlsFiles } from "./certificates.ts";
import { FileCertificate } from "./file-certificate.ts";
import { type KeepingAuthority, keepingIssuer } from "./kept-certificate.ts";
import { OwnCertificate } from "./own-certificate.ts";

type TlsSettings = Pick<Settings, "data" | "tls" | "insecurePlaintext" | "tlsCertFile" | "tlsKeyFile" | "tlsNames">;

/** Whether a listener at an address speaks TLS. `--insecure-plaintext` keeps what `tls: auto` would encrypt in the clear. */
export function usesTls({ tls, insecurePlaintext }: TlsSettings, address: string): boolean {
  return tls === "auto" ? !isLoopback(address) && !insecurePlaintext : tls === "on";
}

export interface ListenerTlsOptions {
  readonly settings: TlsSettings;
  /** Whether this process has the control API, whose authority issues its certificate. */
  readonly hasAuthority: boolean;
  /** The certificate that this machine received when it joined. */
  readonly identity?: IdentitySource | undefined;
}

/** The certificate of all listeners of one process. */
export class ListenerCertificate implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: ListenerTlsOptions;
  readonly #stack = new AsyncDisposableStack();
  #files: FileCertificate | undefined;
  #own: OwnCertificate | undefined;

  constructor(host: Host, options: ListenerTlsOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Undefined: the listener speaks plain HTTP. @throws SERVER_NO_CERTIFICATE, TLS_UNREADABLE */
  async tlsAt(address: string, { isApi = false } = {}): Promise<ListenerTls | undefined> {
    const { settings } = this.#options;
    if (!usesTls(settings, address)) return undefined;
    const source = await this.#source(address);
    return { source, requestClientCertificate: isApi, isPlainOnLoopback: settings.tls === "auto" };
  }

  /** Gets the certificate from the authority, unless files have it. Resolves when the listeners may begin. @throws IDENTITY_… */
  async start(authority: KeepingAuthority): Promise<void> {
    const path = join(this.#options.settings.data, "tls", "listeners.json");
    await this.#own?.start(keepingIssuer(this.#host, authority, { path }));
    if (!this.#files) return;
    const files = this.#files;
    files.setBundle(authority.bundle().pem);
    this.#stack.defer(authority.onChange(() => files.setBundle(authority.bundle().pem)));
  }

  /** When it ends; undefined while no listener has one. */
  get expiresAtMs(): number | undefined {
    const current = this.#own?.current ?? this.#files?.current;
    return current && certificateEnd(current.certificate);
  }

  async #source(address: string): Promise<TlsSource> {
    const { settings, hasAuthority, identity } = this.#options;
    const files = filesOf(settings);
    if (files) {
      if (!this.#files) await (this.#files = this.#stack.use(new FileCertificate(this.#host, files))).start();
      return this.#files;
    }
    if (hasAuthority) return (this.#own ??= this.#stack.use(new OwnCertificate(this.#host, settings.tlsNames)));
    if (identity) return identity;
    throw ServerErrors.NO_CERTIFICATE(
      `${address} is beyond this machine, so it needs TLS, and this process has no certificate for it. Let this machine join the control plane, ` +
        `or provide a certificate with ${spellings("tlsCertFile")}, and its key with ${spellings("tlsKeyFile")}.`,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

function filesOf({ tlsCertFile: certFile, tlsKeyFile: keyFile }: TlsSettings): TlsFiles | undefined {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw ServerErrors.SETTINGS_CONFLICT(
      `A certificate needs its key. Set ${spellings(certFile === undefined ? "tlsCertFile" : "tlsKeyFile")}, too.`,
    );
  }
  return { certFile, keyFile, of: "the listeners", settings: "tlsCertFile, tlsKeyFile" };
}
