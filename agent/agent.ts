/**
 * What this host runs and wants, in one place: definition files and the local API come in, the parts that sync, probe,
 * follow, write and acknowledge go to work. Whatever the server does, this keeps going on what is known.
 */
import { canonicalJson, deadline, type AppError, type Host } from "#base";
import type { Acknowledge } from "#config-server/api";
import type { IfNoneMatch, Polled } from "#http";
import { isHealthy, type Drain, type Lifecycle } from "#registry/api";
import type { HealthStatus } from "#health";
import { Acknowledger } from "./acknowledger.ts";
import {
  addressProblem,
  AgentErrors,
  checkProblem,
  SERVICES_PER_AGENT_MAX,
  type AgentStatus,
  type ClaimName,
  type EffectiveConfig,
  type FileRequest,
  type HealthHistory,
  type LocalFile,
  type LocalHealth,
  type LocalRegistration,
  type LocalService,
  type Resolved,
  type ServiceRequest,
} from "./api.ts";
import { catalogCache, configCache, type ConfigName, type ControlPlane, type ServiceName } from "./caches.ts";
import { LocalChecks, type LocalVerdict } from "./checks.ts";
import { type AuditClient, ConfigAudit } from "./config-audit.ts";
import { keyOf, markOf, takenBack } from "./core/local-state.ts";
import { serviceOf, type Definitions } from "./definitions.ts";
import { FileSink } from "./file-sink.ts";
import { HostFiles } from "./host-files.ts";
import { drained } from "./drain.ts";
import type { AgentSettings } from "./settings.ts";
import { SnapshotKeeper, type Snapshot } from "./snapshot.ts";
import { statusOf } from "./status.ts";
import { Syncer } from "./syncer.ts";
import type { Known } from "./watch-cache.ts";

interface Held {
  readonly name: ClaimName;
  readonly source: LocalService["source"];
  /** As it was said; what the server was told may have been drained since. */
  readonly stated: LocalRegistration;
  /** Which claim on it this is: a new one each time it is said anew. */
  readonly incarnation: number;
}

/** Held services by id, which is unique on this host. */
export class LocalAgent implements AsyncDisposable {
  readonly #host: Host;
  readonly #settings: AgentSettings;
  readonly #stack = new AsyncDisposableStack();
  readonly #held = new Map<string, Held>();
  readonly #client: ControlPlane;
  #lastIncarnation = 0;
  readonly #configs;
  readonly #catalogs;
  readonly #sink: FileSink;
  readonly #acknowledger: Acknowledger;
  readonly #files: HostFiles;
  readonly #audit: ConfigAudit;
  readonly #keeper: SnapshotKeeper;
  readonly #syncer: Syncer;
  readonly #checks: LocalChecks;
  /** Of an earlier run; used up by the start. */
  #snapshot: Snapshot | undefined;
  /** Why the definition files of the latest reload were not taken. */
  #definitionProblem: AppError | undefined;
  #wasReady: boolean;
  #toldSession: string | undefined;
  readonly #readyWaiters = new Set<() => void>();

  constructor(host: Host, options: { client: ControlPlane; settings: AgentSettings; snapshot: Snapshot | undefined }) {
    const { client, settings, snapshot } = options;
    this.#host = host;
    this.#client = client;
    this.#settings = settings;
    this.#snapshot = snapshot;
    this.#wasReady = snapshot !== undefined;
    // Made in this order because disposed in reverse: the last snapshot is taken when all is still known, and after the
    // session was closed.
    this.#configs = this.#stack.use(
      configCache(
        host,
        { client, node: settings.node, labels: settings.labels },
        {
          onChange: (name) => {
            this.#files.changed(name);
            this.#keeper.touch();
          },
          onHeld: (name) =>
            host.log.warn(
              { ...name },
              "the server has an older config than this host, as after the loss of its store; the newer one is kept",
            ),
        },
      ),
    );
    this.#catalogs = this.#stack.use(catalogCache(host, client, () => this.#keeper.touch()));
    this.#sink = new FileSink(host);
    this.#acknowledger = this.#stack.use(
      new Acknowledger(host, client.config, {
        subscriber: settings.node,
        session: () => this.#syncer.state.session,
      }),
    );
    this.#files = this.#stack.use(
      new HostFiles(host, {
        sink: this.#sink,
        settings,
        configs: this.#configs,
        snapshot,
        onChange: () => this.#keeper.touch(),
        say: (name, said) => this.#acknowledger.say(name, said),
      }),
    );
    const asThisHost: AuditClient = {
      effectiveOtherThan: (name, known, options) =>
        client.config.effectiveOtherThan(name, known, {
          ...options,
          instance: { id: settings.node, labels: settings.labels },
        }),
    };
    this.#audit = this.#stack.use(new ConfigAudit(host, asThisHost, this.#configs));
    host.metrics.gauge({
      name: "posthouse_agent_configs_held",
      help: "Configs for which the server has an older one than this host, which is not taken.",
      collect: (gauge) => gauge.labels().set(this.#configs.held().length),
    });
    this.#keeper = this.#stack.use(
      new SnapshotKeeper(host, this.#sink, { dataDir: settings.dataDir, take: () => this.#take() }),
    );
    this.#syncer = new Syncer(host, client, {
      owner: settings.node,
      limits: { sessionTtlMs: settings.sessionTtlSeconds * 1000, fullSyncMs: settings.fullSyncSeconds * 1000 },
      session: snapshot?.session,
      onChange: () => this.#changed(),
    });
    if (settings.leaveOnStop) this.#stack.defer(() => this.#syncer.leave());
    this.#stack.use(this.#syncer);
    this.#checks = this.#stack.use(
      new LocalChecks(host, {
        onVerdict: (key, check, { status, output }) =>
          this.#syncer.dispatch({ type: "verdict", key, check, status, output }),
        execAllow: settings.execAllow,
        instances: (name) => {
          this.#catalogs.follow(name, { pinned: false });
          return this.#catalogs.peek(name)?.value.instances;
        },
      }),
    );
  }

  /** Takes up what was known and what is defined, and sets everything going. */
  start(definitions: Definitions): void {
    const snapshot = this.#snapshot;
    for (const { value, heardAtMs = snapshot?.savedAtMs ?? 0, revision = value.revision } of snapshot?.configs ?? []) {
      const { namespace, app, profile } = value;
      this.#configs.seed({ namespace, app, profile }, { value, heardAtMs, revision });
    }
    for (const { value, heardAtMs = snapshot?.savedAtMs ?? 0 } of snapshot?.catalogs ?? []) {
      const { namespace, service } = value;
      this.#catalogs.seed({ namespace, service }, { value, heardAtMs, revision: 0 });
    }
    // What was told before the restart is taken back, unless it is claimed again below.
    for (const { name } of snapshot?.told ?? []) {
      this.#syncer.dispatch({ type: "leftover", name });
    }
    for (const { name, registration, incarnation, taken } of snapshot?.services ?? []) {
      this.#hold({ name, stated: registration, source: "api", incarnation }, taken);
    }
    this.define(definitions);
    // After the files have pinned theirs: a watch that is replaced at once would be a call in vain.
    this.#configs.followSeeds();
    this.#catalogs.followSeeds();
    this.#snapshot = undefined;
    this.#keeper.start();
    this.#syncer.start();
    this.#acknowledger.start();
    this.#audit.start();
  }

  /** Takes a new set of definitions: what changed is told, what is gone is taken back. */
  define({ services, files }: Definitions): void {
    const defined = new Map(services.map((service) => [service.name.id, service]));
    for (const [id, { source }] of this.#held) if (source === "file" && !defined.has(id)) this.#release(id);
    for (const { name, registration } of services) {
      const known = this.#held.get(name.id);
      const same =
        known?.source === "file" &&
        keyOf(known.name) === keyOf(name) &&
        canonicalJson(known.stated) === canonicalJson(registration);
      if (!same) this.#hold({ name, stated: registration, source: "file", incarnation: this.#nextIncarnation() });
    }
    this.#definitionProblem = undefined;
    this.#files.define(files);
  }

  /** Notes that new definitions were not taken; the old ones stay. */
  refuseDefinitions(error: AppError): void {
    if (this.#definitionProblem?.message !== error.message) {
      this.#host.log.error({ err: error }, `definitions not taken, the old ones stay: ${error.message}`);
    }
    this.#definitionProblem = error;
  }

  /** @throws AGENT_SERVICE_DEFINED, AGENT_SERVICES_FULL, AGENT_REGISTRATION_INVALID, AGENT_CHECK_INVALID */
  register(id: string, request: ServiceRequest): void {
    const known = this.#held.get(id);
    if (known?.source === "file") throw definedInFile(id);
    if (!known && this.#held.size >= SERVICES_PER_AGENT_MAX) {
      throw AgentErrors.SERVICES_FULL(`This host has ${SERVICES_PER_AGENT_MAX} services, the most there may be.`);
    }
    refuseUnfit(request);
    const { name, registration } = serviceOf({ ...request, id }, this.#settings);
    const current = this.#syncer.state.claims.get(keyOf(name));
    const same =
      known && keyOf(known.name) === keyOf(name) && canonicalJson(known.stated) === canonicalJson(registration);
    // Saying the same again is no new claim, unless it was taken back elsewhere meanwhile.
    const incarnation = same && current && !takenBack(current) ? current.incarnation : this.#nextIncarnation();
    this.#hold({ name, stated: registration, source: "api", incarnation });
  }

  /** What an id of this host names; undefined when it has no such service. */
  nameOf(id: string): ClaimName | undefined {
    return this.#held.get(id)?.name;
  }

  /** @throws AGENT_SERVICE_NOT_FOUND, AGENT_SERVICE_DEFINED */
  deregister(id: string): void {
    if (this.#find(id).source === "file") throw definedInFile(id);
    this.#release(id);
  }

  /** @throws AGENT_SERVICE_NOT_FOUND */
  setLifecycle(id: string, lifecycle: Lifecycle): void {
    const { name, stated, incarnation } = this.#find(id);
    const current = this.#syncer.state.claims.get(keyOf(name)) ?? { registration: stated, incarnation };
    const registration = { ...current.registration, lifecycle };
    this.#syncer.dispatch({ type: "claim", name, registration, incarnation: current.incarnation });
  }

  /**
   * Drains a service, waits until every subscriber of the registry has seen it or so long, and deregisters it. While the
   * control plane is away that takes all of the time: nobody can be told.
   * @throws AGENT_SERVICE_NOT_FOUND, AGENT_SERVICE_DEFINED
   */
  async drainAndDeregister(
    id: string,
    drainMs: number,
    signal: AbortSignal,
  ): Promise<Pick<Drain, "seen" | "waitingFor">> {
    const { name, source } = this.#find(id);
    if (source === "file") throw definedInFile(id);
    this.setLifecycle(id, "draining");
    using late = deadline(this.#host.clock, drainMs);
    const ended = AbortSignal.any([signal, late.signal]);
    const isTold = () => {
      const claim = this.#syncer.state.claims.get(keyOf(name));
      return claim !== undefined && markOf(claim) === "inSync";
    };
    const status = await drained(this.#host.clock, this.#client.registry, { name, isTold, signal: ended });
    // Who asked has gone, and may have thought better of it: it drains on.
    signal.throwIfAborted();
    if (this.#held.get(id)?.name === name) this.#release(id);
    return status;
  }

  /** @throws AGENT_SERVICE_NOT_FOUND, AGENT_CHECK_NOT_FOUND, AGENT_CHECK_NOT_TTL */
  report(id: string, check: string, verdict: LocalVerdict): void {
    this.#checks.report(keyOf(this.#find(id).name), check, verdict);
  }

  services(): LocalService[] {
    return [...this.#held.values()].map(({ name, source, stated }) => {
      const claim = this.#syncer.state.claims.get(keyOf(name));
      return {
        ...name,
        source,
        sync: claim ? markOf(claim) : "changed",
        ...(claim?.error === undefined ? {} : { error: claim.error }),
        registration: claim?.registration ?? stated,
      };
    });
  }

  health(): LocalHealth["services"] {
    return [...this.#held.values()].map(({ name }) => {
      const key = keyOf(name);
      return { ...name, status: this.#checks.status(key), checks: this.#checks.view(key) };
    });
  }

  /** @throws AGENT_SERVICE_NOT_FOUND */
  healthHistory(id: string): HealthHistory {
    return this.#checks.history(keyOf(this.#find(id).name));
  }

  /** @throws AGENT_NOT_KNOWN_YET */
  config(name: ConfigName): Promise<Known<EffectiveConfig>> {
    return this.#configs.get(name);
  }

  /** As soon as it is another one than the caller has. @throws AGENT_NOT_KNOWN_YET */
  configOtherThan(
    name: ConfigName,
    { known, waitMs, signal }: { known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<Known<EffectiveConfig>> & { readonly isKnown: boolean }> {
    return this.#configs.getOther(name, { tagOf: ({ releaseKey }) => releaseKey, known, waitMs, signal });
  }

  /** Takes the older config of a server whose store was lost or restored. @throws AGENT_NOTHING_HELD */
  acceptOlder(name: ConfigName): void {
    if (!this.#configs.acceptHeld(name)) {
      const set = `${name.namespace}/${name.app}/${name.profile}`;
      throw AgentErrors.NOTHING_HELD(`The server has no older config of ${set} than this host. See /v1/agent/status.`);
    }
    this.#host.log.warn({ ...name }, "the server's older config is taken, as it was asked for");
  }

  /** Passes on what a program on this host says of a release. @throws AGENT_ACKNOWLEDGEMENT_INVALID, AGENT_ACKNOWLEDGEMENTS_FULL */
  acknowledge(name: ConfigName, subscriber: string, body: Acknowledge): void {
    this.#acknowledger.passOn(name, subscriber, body);
  }

  /** @throws AGENT_NOT_KNOWN_YET */
  async resolve(name: ServiceName, healthy: boolean | undefined): Promise<Known<Resolved>> {
    const known = await this.#catalogs.get(name);
    if (healthy === undefined) return known;
    const instances = known.value.instances.filter((instance) => isHealthy(instance) === healthy);
    return { ...known, value: { ...known.value, instances } };
  }

  /** Keeps config in a file of the agent's own folder, and returns its path. @throws AGENT_FILES_FULL, AGENT_FILE_INVALID */
  keepFile(name: string, request: FileRequest): string {
    return this.#files.keep(name, request);
  }

  /** The sets that a file of the local API is made of; none when it keeps no such file. */
  setsOfFile(name: string): ConfigName[] {
    return this.#files.setsOf(name);
  }

  /** Keeps it no more, and removes it. @throws AGENT_FILE_NOT_FOUND */
  dropFile(name: string): Promise<void> {
    return this.#files.drop(name);
  }

  files(): LocalFile[] {
    return this.#files.list();
  }

  status(): AgentStatus {
    return statusOf({
      node: this.#settings.node,
      sync: this.#syncer.state,
      services: this.#held.size,
      files: this.#files.list(),
      older: this.#configs.held(),
      definitionProblem: this.#definitionProblem,
      snapshotProblem: this.#keeper.problem,
    });
  }

  /** What is not ready, in words. Once ready, it stays so: what is known is served whatever becomes of the server. */
  notReady(): string[] {
    const { state } = this.#syncer;
    this.#wasReady ||=
      state.session !== undefined &&
      [...state.claims.values()].every((claim) => markOf(claim) === "inSync" || claim.error !== undefined);
    return this.#wasReady
      ? []
      : ["the control plane has not taken this host's services yet, and none are kept from before"];
  }

  async ready(signal: AbortSignal): Promise<void> {
    while (this.notReady().length > 0) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#readyWaiters.delete(done);
          signal.removeEventListener("abort", done);
          resolve();
        };
        this.#readyWaiters.add(done);
        signal.addEventListener("abort", done, { once: true });
      });
    }
  }

  #changed(): void {
    this.#keeper.touch();
    const { session } = this.#syncer.state;
    if (session !== this.#toldSession) this.#acknowledger.sessionChanged();
    this.#toldSession = session;
    if (this.#readyWaiters.size > 0 && this.notReady().length === 0) for (const wake of this.#readyWaiters) wake();
  }

  #find(id: string): Held {
    const held = this.#held.get(id);
    if (held) return held;
    throw AgentErrors.SERVICE_NOT_FOUND(
      `This host has no service with the id "${id}". GET /v1/agent/services lists them.`,
    );
  }

  /** Milliseconds since 1970, so that it also grows over restarts; and more than the one before. */
  #nextIncarnation(): number {
    this.#lastIncarnation = Math.max(this.#host.clock.now(), this.#lastIncarnation + 1);
    return this.#lastIncarnation;
  }

  #hold(held: Held, taken = false): void {
    const { name, stated, incarnation } = held;
    const known = this.#held.get(name.id);
    if (known && keyOf(known.name) !== keyOf(name)) this.#release(name.id);
    const key = keyOf(name);
    this.#held.set(name.id, held);
    const lifecycle = stated.lifecycle ?? this.#lifecycleSoFar(key);
    const registration = { ...stated, ...(lifecycle === undefined ? {} : { lifecycle }) };
    this.#syncer.dispatch({ type: "claim", name, registration, incarnation, taken });
    const initial = new Map<string, HealthStatus>();
    for (const { service, check, status } of this.#snapshot?.verdicts ?? []) {
      if (service !== key || status === "unknown") continue;
      initial.set(check, status);
      this.#syncer.dispatch({ type: "verdict", key, check, status, output: "" });
    }
    this.#checks.set(key, registration, initial);
  }

  /** A definition that does not speak of the lifecycle leaves it as it is, also over a restart. */
  #lifecycleSoFar(key: string): Lifecycle | undefined {
    const claim = this.#syncer.state.claims.get(key);
    if (claim?.wanted) return claim.registration.lifecycle;
    const told = this.#snapshot?.told.find(({ name }) => keyOf(name) === key)?.lifecycle;
    return told === "serving" ? undefined : told;
  }

  #release(id: string): void {
    const { name } = this.#find(id);
    this.#held.delete(id);
    this.#checks.delete(keyOf(name));
    this.#syncer.dispatch({ type: "withdraw", key: keyOf(name) });
  }

  #take(): Omit<Snapshot, "savedAtMs"> {
    const { session, claims } = this.#syncer.state;
    const services = [...this.#held.values()].filter(({ source }) => source === "api");
    return {
      format: 1,
      ...(session === undefined ? {} : { session }),
      told: [...claims.values()].map(({ name, registration }) => ({
        name,
        lifecycle: registration.lifecycle ?? "serving",
      })),
      services: services.map(({ name, stated, incarnation }) => {
        const claim = claims.get(keyOf(name)) ?? { incarnation, fresh: true };
        return { name, registration: stated, incarnation: claim.incarnation, taken: !claim.fresh };
      }),
      verdicts: [...claims].flatMap(([service, { verdicts }]) =>
        [...verdicts].map(([check, { status }]) => ({ service, check, status })),
      ),
      ...this.#files.take(),
      configs: [...this.#configs.all()],
      catalogs: [...this.#catalogs.all()].map(({ revision: _revision, ...one }) => one),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const wake of this.#readyWaiters) wake();
    await this.#stack.disposeAsync();
  }
}

/** @throws AGENT_REGISTRATION_INVALID, AGENT_CHECK_INVALID */
function refuseUnfit({ address, checks = [] }: ServiceRequest): void {
  const unfit = addressProblem(address);
  if (unfit) {
    const { field, message } = unfit;
    throw AgentErrors.REGISTRATION_INVALID(`${field}: ${message}.`, { extra: { field } });
  }
  const ids = checks.map((check) => check.id);
  const twice = ids.find((check, i) => ids.indexOf(check) !== i);
  if (twice !== undefined) {
    throw AgentErrors.CHECK_INVALID(`Two checks have the id "${twice}"; each needs its own.`, {
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
    `"${id}" is held by a definition file. Change it there; the agent reads it again by itself.`,
  );
}
