/**
 * One certificate that is kept current: it is renewed at half its life, and while that fails, tried again and again. The known one stays
 * in use, also after its end: the control plane decides what it accepts.
 */
import { AppError, fullJitter, messageOf, TaskGroup, Waiters, type Host } from "#base";
import type { IdentityMaterial, IdentitySource, Revocations } from "#identity/core";
import { AgentErrors } from "../api.ts";
import { renewalMs, standingAt } from "../core/certificate-times.ts";
import type { CodedProblem } from "../reloader.ts";
import { certificateFacts } from "./certificate-request.ts";

/** Back-off after a failed renewal: half a day is left for it. Milliseconds. */
const RETRY = { baseMs: 1_000, capMs: 60_000 };
/** Longest sleep, so that a machine that was suspended, or whose clock was set, notices in time. Milliseconds. */
const LOOK_MS = 10_000;

export interface CertificateParts {
  /** The holder, for messages: "this host", or "the service default/orders". */
  readonly holder: string;
  /** Requests a certificate for the key. `current`: the one to replace. */
  readonly request: (current: IdentityMaterial | undefined) => Promise<IdentityMaterial>;
  /** Keeps a certificate or a bundle over a restart. */
  readonly save: (material: IdentityMaterial) => Promise<void>;
  /** A certificate that another program has stored meanwhile, such as a new join; undefined: none. */
  readonly stored?: () => Promise<IdentityMaterial | undefined>;
  /** A certificate among these is replaced at once, if the control plane still issues one. */
  readonly revocations: Revocations;
}

export class KeptCertificate implements IdentitySource, AsyncDisposable {
  readonly #host: Host;
  readonly #parts: CertificateParts;
  readonly #tasks: TaskGroup;
  readonly #listeners = new Set<() => void>();
  #current: IdentityMaterial | undefined;
  #problem: CodedProblem | undefined;
  /** Decides when the current certificate is renewed. */
  #chance: number;

  constructor(host: Host, parts: CertificateParts, current: IdentityMaterial | undefined) {
    this.#host = host;
    this.#parts = parts;
    this.#current = current;
    this.#chance = host.random.float();
    this.#tasks = new TaskGroup(host.log);
  }

  get revocations(): Revocations {
    return this.#parts.revocations;
  }

  get current(): IdentityMaterial | undefined {
    return this.#current;
  }

  /** Why a valid certificate is missing, or why the latest renewal failed. */
  get problem(): CodedProblem | undefined {
    return this.#clockProblem() ?? this.#problem;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  start(): void {
    this.#tasks.run("certificate", (signal) => this.#run(signal));
  }

  /** Trusts these authorities from now on. */
  async useBundle(bundle: string): Promise<void> {
    if (this.#current === undefined || this.#current.bundle === bundle) return;
    await this.#use({ ...this.#current, bundle });
  }

  async #run(signal: AbortSignal): Promise<void> {
    let attempt = 0;
    while (!signal.aborted) {
      const waitMs = this.#dueMs() - this.#host.clock.now();
      if (waitMs > 0) {
        await this.#pause(Math.min(waitMs, LOOK_MS), signal);
        continue;
      }
      try {
        await this.#use((await this.#newlyStored()) ?? (await this.#parts.request(this.#current)));
        this.#chance = this.#host.random.float();
        this.#problem = undefined;
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#fail(error);
        await this.#pause(fullJitter(this.#host.random, attempt++, RETRY), signal);
      }
    }
  }

  /** Ends early when something was revoked. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const news = new Waiters();
    const end = this.revocations.onChange(() => news.wakeAll());
    await news.wait({ limit: { clock: this.#host.clock, ms }, signal });
    end();
  }

  #dueMs(): number {
    if (this.#current === undefined) return 0;
    const facts = certificateFacts(this.#current.certificate);
    return this.revocations.serials.has(facts.serial) ? 0 : renewalMs(facts, this.#chance);
  }

  async #newlyStored(): Promise<IdentityMaterial | undefined> {
    const stored = await this.#parts.stored?.();
    return stored && stored.expiresAtMs > (this.#current?.expiresAtMs ?? 0) ? stored : undefined;
  }

  async #use(material: IdentityMaterial): Promise<void> {
    await this.#parts.save(material);
    this.#current = material;
    for (const listener of this.#listeners) listener();
  }

  #fail(error: unknown): void {
    const { holder } = this.#parts;
    const ends =
      this.#current === undefined
        ? `${holder} has no certificate yet`
        : `the certificate of ${holder} ends at ${new Date(this.#current.expiresAtMs).toISOString()}`;
    const code = error instanceof AppError ? error.code : AgentErrors.CERTIFICATE_NOT_RENEWED.code;
    const message = `It was not renewed: ${messageOf(error)} Also, ${ends}.`;
    if (this.#problem?.message !== message) this.#host.log.warn({ err: error, code }, message);
    this.#problem = { code, message };
  }

  /** A certificate that is not valid at this time, which may be that of a wrong clock. */
  #clockProblem(): CodedProblem | undefined {
    if (this.#current === undefined) return undefined;
    const facts = certificateFacts(this.#current.certificate);
    const nowMs = this.#host.clock.now();
    const standing = standingAt(facts, nowMs);
    if (standing === "valid") return undefined;
    const here = `The clock of this machine says ${new Date(nowMs).toISOString()}`;
    if (standing === "not-yet-valid") {
      return {
        code: AgentErrors.CERTIFICATE_NOT_YET_VALID.code,
        message: `The certificate of ${this.#parts.holder} begins at ${new Date(facts.fromMs).toISOString()}. ${here}: set it right.`,
      };
    }
    const last = this.#problem === undefined ? "" : ` ${this.#problem.message}`;
    return {
      code: AgentErrors.CERTIFICATE_ENDED.code,
      message:
        `The certificate of ${this.#parts.holder} ended at ${new Date(facts.untilMs).toISOString()}. ${here}: if that is wrong, set it right. ` +
        `Otherwise the agent tries to renew it; if the control plane refuses, join again: posthouse agent join.${last}`,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#tasks[Symbol.asyncDispose]();
  }
}
