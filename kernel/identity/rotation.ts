/**
 * Rotations of the authority: by request, by import, and by itself before something ends. A step is one write with a comparison, so every
 * member may try each, and it does not matter which one is there.
 */
import { AppError, messageOf, type Host } from "#base";
import { IdentityErrors, type ImportRequest, ROTATION_SECONDS, type RotationRequest } from "./api.ts";
import type { CertificateAuthority } from "./authority.ts";
import {
  type AuthorityRecord,
  type AuthorityStep,
  dueStep,
  issuingRoot,
  type NewIssuer,
  withNewIssuer,
  withStep,
} from "./core/authority-record.ts";
import { readImport } from "./x509/imported-authority.ts";

/** Milliseconds between two looks at what is due. */
const LOOK_MS = 60_000;
/** Steps of one look: more than a rotation has. */
const STEPS_MAX = 8;
/** Milliseconds from new keys for secrets to sealing with them, so that other members have read them, too. */
const RESEAL_GRACE_MS = 60_000;

interface Beginning {
  readonly overlapSeconds?: number | undefined;
  readonly by: string;
  readonly part: string;
  readonly due?: AuthorityStep;
}

export class Rotations {
  readonly #host: Host;
  readonly #authority: CertificateAuthority;

  constructor(host: Host, authority: CertificateAuthority) {
    this.#host = host;
    this.#authority = authority;
  }

  /**
   * Replaces the intermediate, at once, or the root, which is announced first.
   * @throws IDENTITY_ROTATION_UNDER_WAY, IDENTITY_ROTATION_NOT_POSSIBLE, IDENTITY_KEYS_LOST, IDENTITY_NO_KEYS
   */
  async rotate({ part, overlapSeconds }: RotationRequest, by: string): Promise<void> {
    const record = await this.#authority.ensure();
    if (part === "root") requireNoRotation(record);
    await this.#begin(await this.#newIssuer(part, record), { overlapSeconds, by, part });
  }

  /** Replaces the authority by an outside one. @throws IDENTITY_IMPORT_INVALID, IDENTITY_ROTATION_UNDER_WAY, IDENTITY_NO_KEYS */
  async import(request: ImportRequest, by: string): Promise<void> {
    const imported = await readImport(request, this.#host.clock.now());
    const record = await this.#authority.ensure();
    const issuer = await this.#authority.keys.imported(imported, record.trustDomain);
    await this.#begin(issuer, { overlapSeconds: request.overlapSeconds, by, part: "imported authority" });
  }

  #newIssuer(part: RotationRequest["part"], record: AuthorityRecord): Promise<NewIssuer> {
    const { keys } = this.#authority;
    return part === "root" ? keys.newRoot(record.trustDomain) : keys.newIntermediate(record);
  }

  /** `due`: only while this step is due, because another member may have been first. */
  async #begin(issuer: NewIssuer, { overlapSeconds = ROTATION_SECONDS, by, part, due }: Beginning): Promise<void> {
    const overlapMs = overlapSeconds * 1000;
    await this.#authority.probe();
    // An authority that cannot issue has nothing to wait for.
    const announceMs = this.#authority.problem ? 0 : overlapMs;
    const changed = await this.#authority.update((record) => {
      const nowMs = this.#host.clock.now();
      if (due !== undefined && dueStep(record, nowMs) !== due) return undefined;
      if (issuer.intermediate.root !== issuingRoot(record)?.id) requireNoRotation(record);
      const next = withNewIssuer(record, issuer, { nowMs, overlapMs, announceMs });
      return dueStep(next, nowMs) === "switch" ? withStep(next, "switch", nowMs) : next;
    });
    if (!changed) return;
    await this.#authority.probe();
    this.#host.log.info({ part, by, overlapSeconds }, "rotation of the certificate authority began");
  }

  /** Takes steps that are due, and seals keys again. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    const { changed, certificates } = this.#authority;
    while (!signal.aborted) {
      await this.#authority.probe();
      await this.#try(() => this.look());
      await this.#try(() => this.#reseal());
      await this.#try(() => certificates.sweep());
      const cancel = this.#authority.state.authority
        ? this.#host.clock.after(this.#lookMs(), () => changed.fire())
        : () => {};
      await changed.wait(signal);
      cancel();
    }
  }

  #lookMs(): number {
    const { atMs = Infinity } = this.#authority.state.authority?.record.next ?? {};
    return Math.max(0, Math.min(LOOK_MS, atMs - this.#host.clock.now()));
  }

  /** Takes every step that is due. */
  async look(): Promise<void> {
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      const record = this.#authority.state.authority?.record;
      const step = record && dueStep(record, this.#host.clock.now());
      if (!record || !step) return;
      if (step === "switch" || step === "remove") await this.#take(step);
      else {
        const part = step === "rotate-root" ? "root" : "intermediate";
        await this.#begin(await this.#newIssuer(part, record), { by: "renewal", part, due: step });
      }
    }
  }

  async #take(step: "switch" | "remove"): Promise<void> {
    const taken = await this.#authority.update((record) => {
      const nowMs = this.#host.clock.now();
      return dueStep(record, nowMs) === step ? withStep(record, step, nowMs) : undefined;
    });
    if (!taken) return;
    const { fingerprint } = this.#authority;
    this.#host.log.info(
      { step, fingerprint },
      step === "switch" ? "certificates now come from the new root" : "an old certificate of the authority was removed",
    );
  }

  /** Seals the keys of the authority with the key for secrets that is active now. */
  async #reseal(): Promise<void> {
    const record = this.#authority.state.authority?.record;
    if (!record || this.#host.clock.monotonic() - this.#authority.keysSinceMs < RESEAL_GRACE_MS) return;
    const sealed = await this.#authority.keys.resealed(record);
    if (sealed.size === 0) return;
    const again = <T extends { readonly id: string; readonly sealed?: string }>(one: T): T => {
      const text = sealed.get(one.id);
      return text === undefined ? one : { ...one, sealed: text };
    };
    await this.#authority.update((record) => ({
      ...record,
      roots: record.roots.map(again),
      intermediates: record.intermediates.map(again),
    }));
    this.#host.log.info({ keys: sealed.size }, "keys of the certificate authority were sealed with the active key");
  }

  async #try(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#host.log.warn({ code: error.code }, `a step of the certificate authority failed: ${messageOf(error)}`);
    }
  }
}

function requireNoRotation({ next }: AuthorityRecord): void {
  if (!next) return;
  throw IdentityErrors.ROTATION_UNDER_WAY(
    `A new root is announced, and certificates come from it at ${new Date(next.atMs).toISOString()}. Rotate again afterwards.`,
  );
}
