/**
 * This member's certificate for its listeners, from the authority of the control plane. It is issued again at half its life, when the
 * names of the machine change, and when the authority does. The key stays in the process and its data folder.
 */
import { hostname, networkInterfaces } from "node:os";
import { isIP } from "node:net";
import { type Host, messageOf, TaskGroup, Trigger } from "#base";
import type { IdentityMaterial, IdentitySource, Revocations } from "#identity/core";

/** Milliseconds between two looks at the machine's names and at the time. */
const LOOK_MS = 30_000;
/** Milliseconds until another try when the authority did not issue. */
const RETRY_MS = 5_000;
/** Share of the remaining half of its life within which a certificate is renewed, so that members do not all renew at once. */
const JITTER = 0.2;
/** Addresses of one machine in its certificate: the authority's limit, less the names. */
const ADDRESSES_MAX = 24;

export interface OwnNames {
  readonly dns: readonly string[];
  readonly ips: readonly string[];
}

/** The part of the authority that the certificate needs. `issuedAtMs`: absent for a certificate that was issued now. */
export interface CertificateIssuer {
  issueOwn(names: OwnNames): Promise<IdentityMaterial & { readonly issuedAtMs?: number }>;
  onChange(listener: () => void): () => void;
}

export class OwnCertificate implements IdentitySource, AsyncDisposable {
  readonly #host: Host;
  readonly #more: readonly string[] | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #tasks: TaskGroup;
  readonly #wake = new Trigger();
  #names = "";
  #renewMs = 0;
  readonly revocations: Revocations | undefined;
  current: IdentityMaterial | undefined;

  /** `more`: names beside those of the machine; undefined: no names at all. */
  constructor(host: Host, more: readonly string[] | undefined, revocations?: Revocations) {
    this.revocations = revocations;
    this.#host = host;
    this.#more = more;
    this.#tasks = new TaskGroup(host.log);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves with the first certificate. @throws IDENTITY_NO_KEYS and what else prevents the authority from issuing */
  async start(issuer: CertificateIssuer): Promise<void> {
    await this.#issue(issuer);
    const stop = issuer.onChange(() => {
      this.#renewMs = 0;
      this.#wake.fire();
    });
    this.#tasks.run("certificate of the listeners", async (signal) => {
      using _ = { [Symbol.dispose]: stop };
      while (!signal.aborted) {
        await this.#pause(LOOK_MS, signal);
        if (!signal.aborted) await this.#look(issuer, signal);
      }
    });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const any = AbortSignal.any([signal, woken.signal]);
    await Promise.race([this.#host.clock.sleep(ms, any).catch(() => {}), this.#wake.wait(any)]);
    woken.abort();
  }

  async #look(issuer: CertificateIssuer, signal: AbortSignal): Promise<void> {
    const isDue = this.#host.clock.now() >= this.#renewMs || this.#wantedNames().join() !== this.#names;
    if (!isDue) return;
    try {
      await this.#issue(issuer);
    } catch (error) {
      const { expiresAtMs = 0 } = this.current ?? {};
      this.#host.log.error(
        { err: error, expiresAt: new Date(expiresAtMs).toISOString() },
        `the certificate of the listeners was not renewed, and is tried again: ${messageOf(error)}`,
      );
      await this.#host.clock.sleep(RETRY_MS, signal).catch(() => {});
    }
  }

  #wantedNames(): readonly string[] {
    return this.#more === undefined ? [] : namesOfMachine(this.#more);
  }

  async #issue(issuer: CertificateIssuer): Promise<void> {
    const names = this.#wantedNames();
    this.#renewMs = Infinity;
    this.#names = names.join();
    try {
      const ips = names.filter((name) => isIP(name) !== 0);
      const material = await issuer.issueOwn({ dns: names.filter((name) => isIP(name) === 0), ips });
      const { expiresAtMs, issuedAtMs = this.#host.clock.now() } = material;
      const halfMs = (expiresAtMs - issuedAtMs) / 2;
      this.#renewMs = issuedAtMs + halfMs * (1 - JITTER * this.#host.random.float());
      this.current = material;
    } catch (error) {
      this.#renewMs = 0;
      throw error;
    }
    for (const listener of this.#listeners) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** The names by which other machines and this one call the listeners. Link-local addresses need a zone, which no certificate has. */
function namesOfMachine(more: readonly string[]): string[] {
  const own = Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
  const addresses = own.filter((address) => !/^fe[89ab]/i.test(address)).slice(0, ADDRESSES_MAX);
  const names = ["localhost", hostname().toLowerCase(), "127.0.0.1", "::1", ...more.map((name) => name.toLowerCase())];
  return [...new Set([...names, ...addresses])].filter((name) => isIP(name) !== 0 || HOST_NAME.test(name)).toSorted();
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*$/;
