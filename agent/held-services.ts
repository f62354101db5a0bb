/**
 * The services of this host: registered by definition files and by the local API, kept with their checks, and claimed at
 * the control plane. An id names one service of the host.
 */
import { canonicalJson, deadline, type AppError, type Host } from "#base";
import type { HealthStatus } from "#health";
import type { Drain, Lifecycle } from "#registry/api";
import {
  addressProblem,
  AgentErrors,
  checkProblem,
  SERVICES_PER_AGENT_MAX,
  type ClaimName,
  type HealthHistory,
  type LocalHealth,
  type LocalRegistration,
  type LocalService,
  type ServiceRequest,
} from "./api.ts";
import type { CatalogCache, ControlPlane } from "./caches.ts";
import { LocalChecks, type LocalVerdict } from "./checks.ts";
import { claimKeyOf, syncMarkOf, takenBack } from "./core/local-state.ts";
import { serviceOf, type DefinedService } from "./definitions.ts";
import { drained } from "./drain.ts";
import type { AgentSettings } from "./settings.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Syncer } from "./syncer.ts";

interface HeldService {
  readonly name: ClaimName;
  readonly source: LocalService["source"];
  /** The registration as its source states it. The claim at the server may have been drained since. */
  readonly stated: LocalRegistration;
  /** Identifies the claim: each new one has a higher number. */
  readonly incarnation: number;
}

export interface HeldServicesParts {
  readonly settings: Pick<AgentSettings, "node" | "address" | "execAllow">;
  readonly registry: ControlPlane["registry"];
  readonly syncer: Syncer;
  readonly catalogs: CatalogCache;
}

export class HeldServices implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: HeldServicesParts;
  readonly #checks: LocalChecks;
  readonly #held = new Map<string, HeldService>();
  /** Ports of the ingresses that accept connections, by the id of the service. */
  readonly #ingresses = new Map<string, number>();
  #lastIncarnation = 0;
  /** State of an earlier run, while the start restores it. */
  #earlier: Snapshot | undefined;

  constructor(host: Host, parts: HeldServicesParts) {
    const { settings, syncer, catalogs } = parts;
    this.#host = host;
    this.#parts = parts;
    this.#checks = new LocalChecks(host, {
      onVerdict: (key, check, { status, output }) => syncer.dispatch({ type: "verdict", key, check, status, output }),
      execAllow: settings.execAllow,
      instances: (name) => {
        catalogs.follow(name, { pinned: false });
        return catalogs.peek(name)?.value.instances;
      },
    });
  }

  get size(): number {
    return this.#held.size;
  }

  /** Restores the services of an earlier run and takes the first definitions. Call it once. */
  start(earlier: Snapshot | undefined, services: readonly DefinedService[]): void {
    this.#earlier = earlier;
    // Each claim of the earlier run is withdrawn, unless it is made again below.
    for (const { name } of earlier?.told ?? []) this.#parts.syncer.dispatch({ type: "leftover", name });
    for (const { name, registration, incarnation, taken } of earlier?.services ?? []) {
      this.#hold({ name, stated: registration, source: "api", incarnation }, taken);
    }
    this.define(services);
    this.#earlier = undefined;
  }

  /** Replaces the services of definition files: claims those that changed, withdraws those that are gone. */
  define(services: readonly DefinedService[]): void {
    const defined = new Map(services.map((service) => [service.name.id, service]));
    for (const [id, { source }] of this.#held) if (source === "file" && !defined.has(id)) this.#release(id);
    for (const { name, registration } of services) {
      const known = this.#held.get(name.id);
      if (known?.source === "file" && isSame(known, name, registration)) continue;
      this.#hold({ name, stated: registration, source: "file", incarnation: this.#nextIncarnation() });
    }
  }

  /** @throws AGENT_SERVICE_DEFINED, AGENT_SERVICES_FULL, AGENT_REGISTRATION_INVALID, AGENT_CHECK_INVALID */
  register(id: string, request: ServiceRequest): void {
    const known = this.#held.get(id);
    if (known?.source === "file") throw definedInFile(id);
    if (!known && this.#held.size >= SERVICES_PER_AGENT_MAX) {
      throw AgentErrors.SERVICES_FULL(
        `This host already has ${SERVICES_PER_AGENT_MAX} services, which is the maximum. Deregister one first.`,
      );
    }
    requireValid(request);
    const { name, registration } = serviceOf({ ...request, id }, this.#parts.settings);
    const current = this.#parts.syncer.state.claims.get(claimKeyOf(name));
    // The same registration again is the same claim, unless the server deregistered that one meanwhile.
    const isSameClaim = known && isSame(known, name, registration) && current && !takenBack(current);
    const incarnation = isSameClaim ? current.incarnation : this.#nextIncarnation();
    this.#hold({ name, stated: registration, source: "api", incarnation });
  }

  /** The service that an id names; undefined when this host has none. */
  claimNameOf(id: string): ClaimName | undefined {
    return this.#held.get(id)?.name;
  }

  /** @throws AGENT_SERVICE_NOT_FOUND, AGENT_SERVICE_DEFINED */
  deregister(id: string): void {
    if (this.#find(id).source === "file") throw definedInFile(id);
    this.#release(id);
  }

  /** @throws AGENT_SERVICE_NOT_FOUND */
  setLifecycle(id: string, lifecycle: Lifecycle): void {
    const { syncer } = this.#parts;
    const { name, stated, incarnation } = this.#find(id);
    const current = syncer.state.claims.get(claimKeyOf(name)) ?? { registration: stated, incarnation };
    const registration = { ...current.registration, lifecycle };
    syncer.dispatch({ type: "claim", name, registration, incarnation: current.incarnation });
  }

  /** Registers the ingress of a service from now on; undefined: no longer. */
  setIngress(id: string, port: number | undefined): void {
    if (this.#ingresses.get(id) === port) return;
    if (port === undefined) this.#ingresses.delete(id);
    else this.#ingresses.set(id, port);
    const held = this.#held.get(id);
    const claim = held && this.#parts.syncer.state.claims.get(claimKeyOf(held.name));
    if (!claim?.wanted) return;
    const { ingress: _before, ...rest } = claim.registration;
    const registration = { ...rest, ...this.#ingressOf(id) };
    this.#parts.syncer.dispatch({ type: "claim", name: claim.name, registration, incarnation: claim.incarnation });
  }

  #ingressOf(id: string): Pick<LocalRegistration, "ingress"> {
    const port = this.#ingresses.get(id);
    return port === undefined ? {} : { ingress: { port } };
  }

  /**
   * Drains a service, waits until every subscriber of the registry has seen it or the time is up, and deregisters it. While the
   * control plane is away no subscriber can see it, so this takes all of the time.
   * @throws AGENT_SERVICE_NOT_FOUND, AGENT_SERVICE_DEFINED
   */
  async drainAndDeregister(
    id: string,
    drainMs: number,
    signal: AbortSignal,
  ): Promise<Pick<Drain, "seen" | "waitingFor">> {
    const { syncer, registry } = this.#parts;
    const { name, source } = this.#find(id);
    if (source === "file") throw definedInFile(id);
    this.setLifecycle(id, "draining");
    using late = deadline(this.#host.clock, drainMs);
    const isSynced = () => {
      const claim = syncer.state.claims.get(claimKeyOf(name));
      return claim !== undefined && syncMarkOf(claim) === "inSync";
    };
    const ended = AbortSignal.any([signal, late.signal]);
    const status = await drained(this.#host.clock, registry, { name, isSynced, signal: ended });
    // The caller has gone and may not want it deregistered any longer: the service keeps draining.
    signal.throwIfAborted();
    if (this.#held.get(id)?.name === name) this.#release(id);
    return status;
  }

  /** @throws AGENT_SERVICE_NOT_FOUND, AGENT_CHECK_NOT_FOUND, AGENT_CHECK_NOT_TTL */
  report(id: string, check: string, verdict: LocalVerdict): void {
    this.#checks.report(claimKeyOf(this.#find(id).name), check, verdict);
  }

  list(): LocalService[] {
    return [...this.#held.values()].map(({ name, source, stated }) => {
      const claim = this.#parts.syncer.state.claims.get(claimKeyOf(name));
      return {
        ...name,
        source,
        sync: claim ? syncMarkOf(claim) : "changed",
        ...(claim?.error === undefined ? {} : { error: claim.error }),
        registration: claim?.registration ?? stated,
      };
    });
  }

  health(): LocalHealth["services"] {
    return [...this.#held.values()].map(({ name }) => {
      const key = claimKeyOf(name);
      return { ...name, status: this.#checks.status(key), checks: this.#checks.view(key) };
    });
  }

  /** @throws AGENT_SERVICE_NOT_FOUND */
  healthHistory(id: string): HealthHistory {
    return this.#checks.history(claimKeyOf(this.#find(id).name));
  }

  /** The part of the snapshot that is about services. */
  snapshot(): Pick<Snapshot, "told" | "services" | "verdicts"> {
    const { claims } = this.#parts.syncer.state;
    const services = [...this.#held.values()].filter(({ source }) => source === "api");
    return {
      told: [...claims.values()].map(({ name, registration }) => ({
        name,
        lifecycle: registration.lifecycle ?? "serving",
        ...this.#weightOfOthers(name, registration),
      })),
      services: services.map(({ name, stated, incarnation }) => {
        const claim = claims.get(claimKeyOf(name)) ?? { incarnation, fresh: true };
        return { name, registration: stated, incarnation: claim.incarnation, taken: !claim.fresh };
      }),
      verdicts: [...claims].flatMap(([service, { verdicts }]) =>
        [...verdicts].map(([check, { status }]) => ({ service, check, status })),
      ),
    };
  }

  /** The weight of a claim whose source states none: it was set at the server. */
  #weightOfOthers({ id }: ClaimName, { weight }: LocalRegistration): { weight?: number } {
    return weight === undefined || this.#held.get(id)?.stated.weight !== undefined ? {} : { weight };
  }

  #find(id: string): HeldService {
    const held = this.#held.get(id);
    if (held) return held;
    throw AgentErrors.SERVICE_NOT_FOUND(
      `This host has no service with the id "${id}". GET /v1/agent/services lists its services.`,
    );
  }

  /** Milliseconds since 1970, so that it also grows over restarts; and more than the one before. */
  #nextIncarnation(): number {
    this.#lastIncarnation = Math.max(this.#host.clock.now(), this.#lastIncarnation + 1);
    return this.#lastIncarnation;
  }

  #hold(held: HeldService, taken = false): void {
    const { syncer } = this.#parts;
    const { name, stated, incarnation } = held;
    const key = claimKeyOf(name);
    const known = this.#held.get(name.id);
    if (known && claimKeyOf(known.name) !== key) this.#release(name.id);
    this.#held.set(name.id, held);
    const lifecycle = stated.lifecycle ?? this.#lifecycleSoFar(key);
    const weight = stated.weight ?? this.#weightSoFar(key, known);
    const registration = {
      ...stated,
      ...this.#ingressOf(name.id),
      ...(lifecycle === undefined ? {} : { lifecycle }),
      ...(weight === undefined ? {} : { weight }),
    };
    syncer.dispatch({ type: "claim", name, registration, incarnation, taken });
    const initial = new Map<string, HealthStatus>();
    for (const { service, check, status } of this.#earlier?.verdicts ?? []) {
      if (service !== key || status === "unknown") continue;
      initial.set(check, status);
      syncer.dispatch({ type: "verdict", key, check, status, output: "" });
    }
    this.#checks.set(key, registration, initial);
  }

  /** The same for a weight. One that the source stated before is its own, and ends with that. */
  #weightSoFar(key: string, known: HeldService | undefined): number | undefined {
    if (known && known.stated.weight !== undefined) return undefined;
    const claim = this.#parts.syncer.state.claims.get(key);
    if (claim?.wanted) return claim.registration.weight;
    return this.#earlier?.told.find(({ name }) => claimKeyOf(name) === key)?.weight;
  }

  /** A registration without a lifecycle leaves it as it is, also over a restart. */
  #lifecycleSoFar(key: string): Lifecycle | undefined {
    const claim = this.#parts.syncer.state.claims.get(key);
    if (claim?.wanted) return claim.registration.lifecycle;
    const earlier = this.#earlier?.told.find(({ name }) => claimKeyOf(name) === key)?.lifecycle;
    return earlier === "serving" ? undefined : earlier;
  }

  #release(id: string): void {
    const key = claimKeyOf(this.#find(id).name);
    this.#held.delete(id);
    this.#checks.delete(key);
    this.#parts.syncer.dispatch({ type: "withdraw", key });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#checks[Symbol.asyncDispose]();
  }
}

function isSame(held: HeldService, name: ClaimName, registration: LocalRegistration): boolean {
  return claimKeyOf(held.name) === claimKeyOf(name) && canonicalJson(held.stated) === canonicalJson(registration);
}

/** @throws AGENT_REGISTRATION_INVALID, AGENT_CHECK_INVALID */
function requireValid({ address, checks = [] }: ServiceRequest): void {
  const unfit = addressProblem(address);
  if (unfit) {
    const { field, message } = unfit;
    throw AgentErrors.REGISTRATION_INVALID(`${field}: ${message}.`, { extra: { field } });
  }
  const ids = checks.map((check) => check.id);
  const twice = ids.find((check, i) => ids.indexOf(check) !== i);
  if (twice !== undefined) {
    throw AgentErrors.CHECK_INVALID(`Two checks have the id "${twice}". Give each check its own id.`, {
      extra: { field: "/checks" },
    });
  }
  for (const [i, check] of checks.entries()) {
    const problem = checkProblem(check, "agent");
    if (!problem) continue;
    const field = `/checks/${i}${problem.field}`;
    throw AgentErrors.CHECK_INVALID(`${field}: ${problem.message}.`, { extra: { field } });
  }
}

function definedInFile(id: string): AppError {
  return AgentErrors.SERVICE_DEFINED(
    `"${id}" is defined in a definition file. Change it in that file; the agent reads it again by itself.`,
  );
}
