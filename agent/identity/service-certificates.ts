/**
 * The certificates of this host's services: keys made here, requested by the agent's right to them, renewed in time and kept on disk, so
 * that a start without the control plane has them. Two holders of one service share its certificate.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, TaskGroup, Waiters, type Host } from "#base";
import { replaceFile } from "#base/files";
import type { WorkloadCalls } from "#client";
import { type IdentityMaterial, RevokedSerials, serviceSpiffeId } from "#identity/core";
import type { TrustBundle } from "#identity/api";
import type { HeldIdentity, ServiceIdentities } from "../service-identities.ts";
import { certificateFacts, certificateRequest, isForKey, newKey } from "./certificate-request.ts";
import { readRevoked, revokedText } from "./identity-folder.ts";
import { KeptCertificate } from "./kept-certificate.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const REVOKED_FILE = "revoked.json";
/** Addresses that a service's certificate has beside its names, for callers on this host. */
const OWN_ADDRESSES = ["127.0.0.1", "::1"];

export interface ServiceCertificatesOptions {
  /** The agent's data folder. */
  readonly dataDir: string;
  readonly calls: WorkloadCalls;
}

interface Kept {
  readonly certificate: KeptCertificate;
  holders: number;
}

interface ServiceName {
  readonly namespace: string;
  readonly service: string;
}

export class ServiceCertificates implements ServiceIdentities, AsyncDisposable {
  readonly #host: Host;
  readonly #folder: string;
  readonly #calls: WorkloadCalls;
  readonly #kept = new Map<string, Kept>();
  readonly #tasks: TaskGroup;
  readonly #bundleNews = new Waiters();
  readonly #revocations = new RevokedSerials();
  /** Resolves when the revocations of the last run are read. Undefined before the first holder. */
  #restored: Promise<void> | undefined;
  /** The latest trust bundle; undefined before the control plane sent one. */
  #bundle: { readonly trustDomain: string; readonly pem: string } | undefined;

  constructor(host: Host, { dataDir, calls }: ServiceCertificatesOptions) {
    this.#host = host;
    this.#folder = join(dataDir, "identity", "services");
    this.#calls = calls;
    this.#tasks = new TaskGroup(host.log);
  }

  hold(name: ServiceName): HeldIdentity {
    this.#follow();
    const key = `${name.namespace}/${name.service}`;
    const kept = this.#kept.get(key) ?? this.#keep(key, name);
    kept.holders++;
    let isHeld = true;
    return {
      source: kept.certificate,
      get problem() {
        return kept.certificate.problem?.message;
      },
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        kept.holders--;
        if (kept.holders > 0) return;
        this.#kept.delete(key);
        void kept.certificate[Symbol.asyncDispose]();
      },
    };
  }

  #keep(key: string, name: ServiceName): Kept {
    const file = join(this.#folder, `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.pem`);
    const parts = {
      holder: `the service ${key}`,
      request: (current: IdentityMaterial | undefined) => this.#request(name, current),
      save: (material: IdentityMaterial) => this.#write(file, storedText(material)),
      stored: async () => {
        await this.#restored;
        return stored(file, name);
      },
      revocations: this.#revocations,
    };
    const certificate = new KeptCertificate(this.#host, parts, undefined);
    certificate.start();
    const kept = { certificate, holders: 0 };
    this.#kept.set(key, kept);
    return kept;
  }

  async #request(
    { namespace, service }: ServiceName,
    current: IdentityMaterial | undefined,
  ): Promise<IdentityMaterial> {
    const trustDomain = await this.#trustDomain();
    const spiffeId = serviceSpiffeId(trustDomain, namespace, service);
    // A new key for each certificate, unlike the host's: nothing must prove that the holder is the same.
    const key = await newKey();
    const issued = await this.#calls.certificate({
      csr: await certificateRequest(key, spiffeId),
      dns: [service, `${service}.${namespace}`, "localhost"],
      ips: OWN_ADDRESSES,
    });
    this.#host.log.info(
      { spiffeId, expiresAt: issued.expiresAt, isFirst: current === undefined },
      "a service of this host has a certificate",
    );
    const { certificate, bundle } = issued;
    return { spiffeId, key, certificate, bundle, expiresAtMs: Date.parse(issued.expiresAt) };
  }

  async #trustDomain(): Promise<string> {
    const limit = { clock: this.#host.clock, ms: FIRST_BUNDLE_MS_MAX };
    if (this.#bundle === undefined) await this.#bundleNews.wait({ limit, signal: this.#tasks.signal });
    if (this.#bundle === undefined) throw new Error("The control plane did not send its trust bundle.");
    return this.#bundle.trustDomain;
  }

  /** Follows the trust bundle from the first holder on. */
  #follow(): void {
    if (this.#restored) return;
    this.#restored = this.#restore();
    this.#tasks.run("trust bundle of services", async (signal) => {
      for await (const { event, data } of this.#calls.watchTrustBundle({ signal })) {
        if ((event !== "snapshot" && event !== "delta") || data === undefined) continue;
        await this.#revoke((data as Partial<TrustBundle>).revoked);
        this.#bundle = { trustDomain: data.trustDomain, pem: data.pem };
        this.#bundleNews.wakeAll();
        if (data.pem === "") continue;
        for (const { certificate } of this.#kept.values()) await this.#trust(certificate, data.pem);
      }
    });
  }

  /** Undefined: the member is of an earlier version. */
  async #revoke(serials: readonly string[] | undefined): Promise<void> {
    await this.#restored;
    if (serials === undefined || !this.#revocations.replace(serials)) return;
    try {
      await this.#write(join(this.#folder, REVOKED_FILE), revokedText(serials));
    } catch (error) {
      this.#host.log.error({ err: error }, `the revoked certificates were not stored: ${messageOf(error)}`);
    }
  }

  async #restore(): Promise<void> {
    const text = await readFile(join(this.#folder, REVOKED_FILE), "utf8").catch(() => undefined);
    this.#revocations.replace(readRevoked(text));
  }

  async #trust(certificate: KeptCertificate, pem: string): Promise<void> {
    try {
      await certificate.useBundle(pem);
    } catch (error) {
      this.#host.log.error({ err: error }, `the trusted authorities were not stored: ${messageOf(error)}`);
    }
  }

  async #write(file: string, text: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: FOLDER_MODE });
    await replaceFile(file, text, FILE_MODE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const certificates = [...this.#kept.values()].map(({ certificate }) => certificate);
    await Promise.all([this.#tasks, ...certificates].map((one) => one[Symbol.asyncDispose]()));
  }
}

/** Milliseconds that a first certificate waits for the name of the trust domain. */
const FIRST_BUNDLE_MS_MAX = 10_000;
/** Between key, certificate and bundle, which are one file so that they are always of one renewal. */
const SEPARATOR = "# ----\n";

function storedText({ key, certificate, bundle }: IdentityMaterial): string {
  return [key, certificate, bundle].join(SEPARATOR);
}

/** The identity that an earlier run kept; undefined when nothing of it can be used. */
async function stored(file: string, { namespace, service }: ServiceName): Promise<IdentityMaterial | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  const [key, certificate, bundle] = text?.split(SEPARATOR) ?? [];
  if (key === undefined || certificate === undefined || bundle === undefined) return undefined;
  try {
    const { spiffeId = "", untilMs } = certificateFacts(certificate);
    const isOfService = spiffeId.endsWith(`/ns/${namespace}/service/${service}`);
    if (!isOfService || !isForKey(certificate, key)) return undefined;
    return { spiffeId, key, certificate, bundle, expiresAtMs: untilMs };
  } catch {
    return undefined;
  }
}
