/**
 * Service tokens of the control plane for callers of the local API. Each local caller has one of its own, within the limits of its
 * local token; it is short-lived, kept in memory, and renewed at half its life.
 */
import { AppError, type Host } from "#base";
import { ClientErrors, type ClientOptions, workloadCalls, type WorkloadCalls } from "#client";
import { EVERY_NAME, type Principal } from "#http";
import { AgentErrors } from "../api.ts";
import { controlPlaneAway } from "./control-dispatcher.ts";

/** Life of a service token in seconds: a control plane that is away for less does not end it. */
const SERVICE_TOKEN_SECONDS = 1_800;

interface Kept {
  readonly token: string;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

export class DelegatedTokens {
  readonly #host: Host;
  readonly #calls: WorkloadCalls;
  readonly #kept = new Map<string, Kept>();
  readonly #pending = new Map<string, Promise<Kept>>();

  constructor(host: Host, options: ClientOptions) {
    this.#host = host;
    this.#calls = workloadCalls(host, options);
  }

  /** @throws AGENT_CONTROL_PLANE_AWAY, AGENT_SERVICE_TOKEN_REFUSED */
  async tokenFor(principal: Principal): Promise<string> {
    const kept = this.#kept.get(keyOf(principal));
    const nowMs = this.#host.clock.monotonic();
    if (kept !== undefined && nowMs < kept.renewAtMs) return kept.token;
    try {
      return (await this.#renew(principal)).token;
    } catch (error) {
      // The previous token is good for the other half of its life.
      if (kept !== undefined && nowMs < kept.endsAtMs && AgentErrors.CONTROL_PLANE_AWAY.is(error)) return kept.token;
      throw error;
    }
  }

  /** Forgets a token that the control plane rejected, as after the loss of its store. */
  forget(principal: Principal, token: string): void {
    const key = keyOf(principal);
    if (this.#kept.get(key)?.token === token) this.#kept.delete(key);
  }

  /** Callers that need the same token wait for one call. */
  #renew(principal: Principal): Promise<Kept> {
    const key = keyOf(principal);
    const pending = this.#pending.get(key) ?? this.#issue(principal);
    this.#pending.set(key, pending);
    return pending.finally(() => this.#pending.delete(key));
  }

  async #issue(principal: Principal): Promise<Kept> {
    const { name, limits } = principal;
    const sentMs = this.#host.clock.monotonic();
    try {
      const { token } = await this.#calls.serviceToken({
        ...(limits === undefined ? {} : { name }),
        ttlSeconds: SERVICE_TOKEN_SECONDS,
        ...narrowed("namespaces", limits?.namespaces),
        ...narrowed("apps", limits?.apps),
        ...narrowed("services", limits?.services),
      });
      const lifeMs = SERVICE_TOKEN_SECONDS * 1000;
      const kept = { token, renewAtMs: sentMs + lifeMs / 2, endsAtMs: sentMs + lifeMs };
      this.#kept.set(keyOf(principal), kept);
      return kept;
    } catch (error) {
      if (ClientErrors.UNREACHABLE.is(error)) throw controlPlaneAway(error);
      if (!(error instanceof AppError) || error.status >= 500) throw error;
      throw AgentErrors.SERVICE_TOKEN_REFUSED(
        `The control plane issues no service token for "${name}" to this agent: ${error.message}`,
        { cause: error, extra: { reason: error.code } },
      );
    }
  }
}

/** The owner of the host has no limits and no name, whatever a local token is named. */
function keyOf({ name, limits }: Principal): string {
  return limits === undefined ? "" : name;
}

/** A limit of the local token. Every name means: those of the agent itself, which is what an absent limit asks for. */
function narrowed<Kind extends string>(kind: Kind, names: readonly string[] | undefined) {
  if (names === undefined || names.includes(EVERY_NAME)) return {};
  return { [kind]: [...names] } as Record<Kind, string[]>;
}
