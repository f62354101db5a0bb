/** The identity of a workload in the form that TLS needs: one context for all connections until the certificate or the roots change. */
import { createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { messageOf, type Host } from "#base";
import { parseSpiffeId, type IdentityMaterial, type IdentitySource } from "../core/mod.ts";
import { meshTlsOptions, type RevocationTest } from "./tls-options.ts";

export interface MeshCredentials {
  readonly context: SecureContext;
  readonly material: IdentityMaterial;
  readonly trustDomain: string;
}

export class MeshIdentity implements Disposable {
  readonly #host: Host;
  readonly #source: IdentitySource;
  readonly #listeners = new Set<() => void>();
  readonly #end: () => void;
  #material: IdentityMaterial | undefined;
  #credentials: MeshCredentials | undefined;

  constructor(host: Host, source: IdentitySource) {
    this.#host = host;
    this.#source = source;
    this.#end = source.onChange(() => this.#take());
    this.#take();
  }

  /** Undefined until the first certificate has arrived. */
  get credentials(): MeshCredentials | undefined {
    return this.#credentials;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Whether the certificate of a peer was revoked. */
  readonly isRevoked: RevocationTest = (serial) => this.#source.revocations?.serials.has(serial.toLowerCase()) ?? false;

  /** Calls the listener when other certificates are revoked, until the returned function is called. Disposal does not end it. */
  onRevoked(listener: () => void): () => void {
    return this.#source.revocations?.onChange(listener) ?? (() => {});
  }

  /** Destroys an established connection as soon as its peer's certificate is revoked. */
  cutWhenRevoked(socket: TLSSocket): void {
    const serial = socket.getPeerX509Certificate()?.serialNumber ?? "";
    const look = () => {
      if (!this.isRevoked(serial)) return;
      socket.destroy(
        Object.assign(new Error("the certificate of the other side was revoked"), { code: "CERT_REVOKED" }),
      );
    };
    socket.once("close", this.onRevoked(look));
    look();
  }

  /** Material that TLS does not accept changes nothing: the earlier certificate stays in use. */
  #take(): void {
    const material = this.#source.current;
    if (!material || material === this.#material) return;
    this.#material = material;
    const id = parseSpiffeId(material.spiffeId);
    try {
      if (!id) throw new Error(`"${material.spiffeId}" is not a SPIFFE id`);
      const context = createSecureContext(meshTlsOptions(material));
      this.#credentials = { context, material, trustDomain: id.trustDomain };
    } catch (error) {
      this.#host.log.error(
        { spiffeId: material.spiffeId, err: error },
        `a new certificate cannot be used; the earlier one stays in use: ${messageOf(error)}`,
      );
      return;
    }
    for (const listener of this.#listeners) listener();
  }

  [Symbol.dispose](): void {
    this.#end();
    this.#listeners.clear();
  }
}
