/** The identity of an agent that has joined: its certificate, renewed in time, and the authorities that it trusts, both kept on disk. */
import { messageOf, TaskGroup, type Host } from "#base";
import { fetchTransport, type Transport, workloadCalls, type WorkloadCalls } from "#client";
import { type IdentityMaterial, type IdentitySource, RevokedSerials } from "#identity/core";
import type { TrustBundle } from "#identity/api";
import { AgentErrors, type AgentIdentityStatus } from "../api.ts";
import { certificateFacts, certificateRequest } from "./certificate-request.ts";
import { type ControlRecord, IdentityFolder, joinIncomplete, type StoredIdentity } from "./identity-folder.ts";
import { KeptCertificate } from "./kept-certificate.ts";

export interface AgentIdentityOptions {
  readonly folder: IdentityFolder;
  readonly stored: StoredIdentity;
  /** Members of the control plane, in place of those of the join. */
  readonly urls?: readonly string[] | undefined;
}

export class AgentIdentity implements AsyncDisposable {
  readonly control: ControlRecord;
  /** The way to the control plane, by this identity. */
  readonly transport: Transport;
  readonly #host: Host;
  readonly #folder: IdentityFolder;
  readonly #calls: WorkloadCalls;
  readonly #kept: KeptCertificate;
  readonly #stack = new AsyncDisposableStack();
  readonly #tasks: TaskGroup;
  readonly #revocations = new RevokedSerials();

  constructor(host: Host, { folder, stored, urls = stored.control.urls }: AgentIdentityOptions) {
    this.control = { ...stored.control, urls: [...urls] };
    this.#host = host;
    this.#folder = folder;
    this.#revocations.replace(stored.revoked);
    this.#kept = new KeptCertificate(
      host,
      {
        holder: "this host",
        request: (current) => this.#renew(current),
        save: (material) => folder.writeMaterial(material),
        stored: async () => (await folder.read())?.material,
        revocations: this.#revocations,
      },
      stored.material,
    );
    this.transport = this.#stack.use(fetchTransport({ urls, tls: { identity: this.#kept } }));
    this.#calls = workloadCalls(host, { transport: this.transport });
    this.#tasks = this.#stack.use(new TaskGroup(host.log));
    this.#stack.use(this.#kept);
  }

  get source(): IdentitySource {
    return this.#kept;
  }

  start(): void {
    this.#kept.start();
    this.#tasks.run("trust bundle", (signal) => this.#followBundle(signal));
  }

  status(): AgentIdentityStatus {
    const { current, problem } = this.#kept;
    return {
      spiffeId: current?.spiffeId ?? "",
      expiresAt: new Date(current?.expiresAtMs ?? 0).toISOString(),
      serial: current === undefined ? "" : certificateFacts(current.certificate).serial,
      controlUrls: [...this.control.urls],
      ...(problem === undefined ? {} : { code: problem.code, problem: problem.message }),
    };
  }

  /** The request has the key of the certificate, which proves that the caller is its holder. */
  async #renew(current: IdentityMaterial | undefined): Promise<IdentityMaterial> {
    if (current === undefined) throw joinIncomplete(this.control);
    const { key, certificate: last, spiffeId } = current;
    const csr = await certificateRequest(key, spiffeId);
    const [leaf = ""] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/.exec(last) ?? [];
    const { certificate, bundle, expiresAt } = await this.#calls.renew({ certificate: leaf, csr });
    this.#host.log.info({ spiffeId, expiresAt }, "the certificate of this host was renewed");
    return { spiffeId, key, certificate, bundle, expiresAtMs: Date.parse(expiresAt) };
  }

  async #followBundle(signal: AbortSignal): Promise<void> {
    for await (const { event, data } of this.#calls.watchTrustBundle({ signal })) {
      if ((event !== "snapshot" && event !== "delta") || !data?.pem) continue;
      try {
        // A member of an earlier version has no list.
        const { pem, revoked = [...this.#revocations.serials] } = data as Partial<TrustBundle> & { pem: string };
        if (this.#revocations.replace(revoked)) await this.#folder.writeRevoked(revoked);
        await this.#kept.useBundle(pem);
      } catch (error) {
        const message = AgentErrors.FOLDER_UNUSABLE(`The trust bundle was not stored: ${messageOf(error)}`);
        this.#host.log.error({ err: message, path: this.#folder.path }, message.message);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The identity that a join left in a data folder; undefined before a join. @throws AGENT_JOIN_INCOMPLETE, AGENT_IDENTITY_DAMAGED */
export async function openAgentIdentity(
  host: Host,
  { dataDir, urls }: { readonly dataDir: string; readonly urls?: readonly string[] | undefined },
): Promise<AgentIdentity | undefined> {
  const folder = new IdentityFolder(dataDir);
  const stored = await folder.read();
  return stored && new AgentIdentity(host, { folder, stored, urls });
}
