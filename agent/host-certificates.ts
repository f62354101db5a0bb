/**
 * Certificates of this host's services as files: written when they are new, with the mode that the files have, and followed by the reload
 * of the service. The bundle is written first and the certificate last, so a service that reads all of them after a reload has one set.
 */
import { createHash } from "node:crypto";
import { chown, stat } from "node:fs/promises";
import { fullJitter, messageOf, TaskGroup, Trigger, type Host } from "#base";
import type { IdentityMaterial } from "#identity/core";
import { AgentErrors, type CertificateFiles, type CertificateFileState } from "./api.ts";
import type { DefinedService } from "./definitions.ts";
import { readText, type FileSink } from "./file-sink.ts";
import { Reloader, reloadGroupOf } from "./reloader.ts";
import type { HeldIdentity, ServiceIdentities } from "./service-identities.ts";
import { AS_IT_IS, ownerIds } from "./system-ids.ts";

const FILE_MODE = 0o600;
/** Back-off after files could not be written. Milliseconds. */
const RETRY = { baseMs: 1_000, capMs: 60_000 };
/** Milliseconds between two looks at the files, which others may have changed. */
const RECHECK_MS = 60_000;

interface Kept {
  readonly service: DefinedService;
  readonly files: CertificateFiles;
  readonly held: HeldIdentity;
  readonly news: Trigger;
  readonly stop: AbortController;
  /** Digest of the content that the files have; undefined before they were written or compared. */
  digest: string | undefined;
  problem: string | undefined;
}

export interface HostCertificatesParts {
  readonly sink: FileSink;
  readonly identities: ServiceIdentities;
  readonly execAllow: readonly string[];
  /** Reloads that an earlier run has made. */
  readonly reloaded: readonly (readonly [string, string])[];
  /** Called when the snapshot should be written again. */
  readonly onChange: () => void;
}

export class HostCertificates implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: HostCertificatesParts;
  readonly #tasks: TaskGroup;
  readonly #reloader: Reloader;
  readonly #kept = new Map<string, Kept>();

  constructor(host: Host, parts: HostCertificatesParts) {
    this.#host = host;
    this.#parts = parts;
    this.#tasks = new TaskGroup(host.log);
    this.#reloader = new Reloader(host, {
      execAllow: parts.execAllow,
      loaded: new Map(parts.reloaded),
      onChange: parts.onChange,
    });
  }

  /** Sets the services that want files. Those that stay the same go on. */
  define(services: readonly DefinedService[]): void {
    const wanted = services.filter(({ certificate }) => certificate !== undefined);
    const byKey = new Map(wanted.map((service) => [JSON.stringify([service.name, service.certificate]), service]));
    for (const [key, kept] of this.#kept) {
      if (byKey.has(key)) continue;
      this.#kept.delete(key);
      kept.stop.abort(new Error("no longer wanted"));
      kept.held.release();
    }
    this.#reloader.set(wanted.flatMap(({ certificate }) => certificate?.reload ?? []));
    for (const [key, service] of byKey) if (!this.#kept.has(key)) this.#keep(key, service);
  }

  list(): CertificateFileState[] {
    return [...this.#kept.values()].map(({ service, files, held, digest, problem }) => {
      const { namespace, service: name, id } = service.name;
      const { current } = held.source;
      const reload = files.reload && this.#reloader.state(reloadGroupOf(files.reload));
      const error = problem ?? held.problem ?? (reload?.state === "failed" ? reload.error.message : undefined);
      return {
        id,
        namespace,
        service: name,
        path: files.certificate,
        written: digest !== undefined && digest === digestOf(current),
        ...(current === undefined ? {} : { expiresAt: new Date(current.expiresAtMs).toISOString() }),
        ...(error === undefined ? {} : { error }),
      };
    });
  }

  /** The reloads that were made, for the snapshot. */
  reloaded(): [string, string][] {
    return this.#reloader.loaded();
  }

  #keep(key: string, service: DefinedService): void {
    const { namespace, service: name } = service.name;
    const held = this.#parts.identities.hold({ namespace, service: name });
    const news = new Trigger();
    const stop = new AbortController();
    const files = service.certificate as CertificateFiles;
    const kept: Kept = { service, files, held, news, stop, digest: undefined, problem: undefined };
    this.#kept.set(key, kept);
    const end = held.source.onChange(() => news.fire());
    stop.signal.addEventListener("abort", end, { once: true });
    news.fire();
    this.#tasks.run("certificate files", (signal) => this.#run(kept, AbortSignal.any([signal, stop.signal])));
  }

  async #run(kept: Kept, signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let waitMs = RECHECK_MS;
    while (!signal.aborted) {
      const cancel = this.#host.clock.after(waitMs, () => kept.news.fire());
      await kept.news.wait(signal);
      cancel();
      const { current } = kept.held.source;
      if (signal.aborted || current === undefined) continue;
      try {
        await this.#write(kept, current);
        kept.problem = undefined;
        attempt = 0;
        waitMs = RECHECK_MS;
      } catch (error) {
        const message = messageOf(error);
        if (kept.problem !== message) this.#host.log.error({ err: error, ...kept.service.name }, message);
        kept.problem = message;
        waitMs = fullJitter(this.#host.random, attempt++, RETRY);
      }
    }
  }

  async #write(kept: Kept, material: IdentityMaterial): Promise<void> {
    const { files } = kept;
    let isReplaced = false;
    for (const [path, content] of contentsOf(files, material)) {
      if ((await readText(path)) !== content) {
        const mode = files.mode === undefined ? FILE_MODE : Number.parseInt(files.mode, 8);
        await this.#parts.sink.write(path, content, { mode, followLinks: true });
        isReplaced = true;
      }
      await giveTo(path, files);
    }
    kept.digest = digestOf(material);
    if (files.reload) this.#report(files.reload, isReplaced);
  }

  /** Services with equal reloads are one group: its digest is that of all their files. */
  #report(reload: NonNullable<CertificateFiles["reload"]>, isReplaced: boolean): void {
    const group = reloadGroupOf(reload);
    const digests = [...this.#kept.values()]
      .filter(({ files }) => files.reload && reloadGroupOf(files.reload) === group)
      .map(({ digest }) => digest);
    const all = digests.some((digest) => digest === undefined) ? undefined : hashOf(digests.join());
    this.#reloader.filesHave(group, all, isReplaced);
    if (isReplaced) this.#parts.onChange();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stop, held } of this.#kept.values()) {
      stop.abort(new Error("stopping"));
      held.release();
    }
    await this.#tasks[Symbol.asyncDispose]();
    await this.#reloader[Symbol.asyncDispose]();
  }
}

function contentsOf(
  { certificate: path, key: keyPath, bundle: bundlePath }: CertificateFiles,
  { certificate, key, bundle }: IdentityMaterial,
): [string, string][] {
  const both: [string, string][] =
    keyPath === undefined
      ? [[path, `${certificate}${key}`]]
      : [
          [keyPath, key],
          [path, certificate],
        ];
  return bundlePath === undefined ? both : [[bundlePath, bundle], ...both];
}

/** @throws AGENT_OWNER_UNKNOWN, AGENT_FILE_NOT_WRITTEN */
async function giveTo(path: string, { owner, group }: CertificateFiles): Promise<void> {
  if (owner === undefined && group === undefined) return;
  const { uid, gid } = await ownerIds({ owner, group });
  const found = await stat(path);
  if ((uid === AS_IT_IS || found.uid === uid) && (gid === AS_IT_IS || found.gid === gid)) return;
  try {
    await chown(path, uid, gid);
  } catch (cause) {
    throw AgentErrors.FILE_NOT_WRITTEN(
      `${path} cannot be given to ${[owner, group].filter((one) => one !== undefined).join(":")}: ${messageOf(cause)}. Run the agent as root, or leave owner out.`,
      { cause, extra: { path } },
    );
  }
}

function digestOf(material: IdentityMaterial | undefined): string | undefined {
  return material && hashOf(`${material.certificate}${material.key}${material.bundle}`);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
