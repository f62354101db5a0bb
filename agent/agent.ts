/**
 * The agent as a whole. It connects the parts that sync, probe, follow, write and acknowledge, and continues on what is
 * known while the control plane is away.
 */
import { Waiters, type AppError, type Host } from "#base";
import type { DialRules } from "#base/dial";
import type { Acknowledge } from "#config-server/api";
import { isHealthy } from "#health/core";
import type { AuditSink, IfNoneMatch, Polled } from "#http";
import { Acknowledger } from "./acknowledger.ts";
import { AgentErrors, type AgentStatus, type EffectiveConfig, type Resolved } from "./api.ts";
import {
  catalogCache,
  configCache,
  rulesCache,
  type ConfigName,
  type ControlPlane,
  type ServiceName,
} from "./caches.ts";
import { ConfigAudit } from "./config-audit.ts";
import { syncMarkOf } from "./core/local-state.ts";
import type { Definitions } from "./definitions.ts";
import { FileSink } from "./file-sink.ts";
import { HeldServices } from "./held-services.ts";
import { HostCertificates } from "./host-certificates.ts";
import { HostFiles } from "./host-files.ts";
import { HostSidecar } from "./host-sidecar.ts";
import type { AgentIdentity } from "./identity/agent-identity.ts";
import type { ServiceIdentities } from "./service-identities.ts";
import { ServiceLogs } from "./service-logs/service-logs.ts";
import type { AgentSettings } from "./settings.ts";
import { SnapshotKeeper, type Snapshot } from "./snapshot.ts";
import { statusOf } from "./status.ts";
import { Syncer } from "./syncer.ts";
import type { KnownValue } from "./watch-cache.ts";

export interface LocalAgentParts {
  readonly client: ControlPlane;
  readonly settings: AgentSettings;
  readonly snapshot: Snapshot | undefined;
  readonly identities: ServiceIdentities;
  readonly identity: Pick<AgentIdentity, "status"> | undefined;
  /** Where the sidecar may connect to. */
  readonly dial: DialRules;
  readonly audit: AuditSink | undefined;
}

export class LocalAgent implements AsyncDisposable {
  readonly #host: Host;
  readonly #settings: AgentSettings;
  readonly #identity: LocalAgentParts["identity"];
  readonly #stack = new AsyncDisposableStack();
  readonly #configs;
  readonly #catalogs;
  readonly #rules;
  readonly #sink: FileSink;
  readonly #acknowledger: Acknowledger;
  readonly #audit: ConfigAudit;
  readonly #keeper: SnapshotKeeper;
  readonly #syncer: Syncer;
  readonly services: HeldServices;
  readonly files: HostFiles;
  readonly certificates: HostCertificates;
  readonly sidecar: HostSidecar;
  readonly #logs: ServiceLogs;
  /** The catalogs before the services left, for a restart without a control plane. */
  #catalogsAtLeave: Snapshot["catalogs"] | undefined;
  /** State of an earlier run; used up by the start. */
  #snapshot: Snapshot | undefined;
  /** Why the latest reload of the definition files changed nothing. */
  #definitionProblem: AppError | undefined;
  #wasReady: boolean;
  #lastSession: string | undefined;
  readonly #readiness = new Waiters();

  constructor(host: Host, { client, settings, snapshot, identities, identity, dial, audit }: LocalAgentParts) {
    this.#identity = identity;
    const { node, labels } = settings;
    this.#host = host;
    this.#settings = settings;
    this.#snapshot = snapshot;
    this.#wasReady = snapshot !== undefined;
    // Disposed in reverse order: the last snapshot is taken after the session was closed, while everything is still known.
    this.#configs = this.#stack.use(
      configCache(
        host,
        { client, node, labels },
        {
          onChange: (name) => {
            this.files.changed(name);
            this.#keeper.touch();
          },
          onHeld: (name) =>
            host.log.warn(
              { ...name },
              "the server has an older config than this host, as after the loss of its store; this host keeps the newer one",
            ),
        },
      ),
    );
    this.#catalogs = this.#stack.use(
      catalogCache(host, client, (name) => {
        this.sidecar.catalogChanged(name);
        this.#keeper.touch();
      }),
    );
    this.#rules = this.#stack.use(
      rulesCache(host, { client, node, labels }, (name) => {
        this.sidecar.rulesChanged(name);
        this.#keeper.touch();
      }),
    );
    this.#sink = new FileSink(host);
    const { dataDir, logsBytesMax: bytesMax, logsKeepDays: keepDays } = settings;
    this.#logs = this.#stack.use(new ServiceLogs(host, { sink: this.#sink, dataDir, limits: { bytesMax, keepDays } }));
    this.#acknowledger = this.#stack.use(
      new Acknowledger(host, client.config, { subscriber: node, session: () => this.#syncer.state.session }),
    );
    this.files = this.#stack.use(
      new HostFiles(host, {
        sink: this.#sink,
        settings,
        configs: this.#configs,
        snapshot,
        onChange: () => this.#keeper.touch(),
        acknowledge: (name, body) => this.#acknowledger.acknowledge(name, body),
      }),
    );
    this.#audit = this.#stack.use(
      new ConfigAudit(host, { client: client.config, instance: { id: node, labels }, configs: this.#configs }),
    );
    this.certificates = this.#stack.use(
      new HostCertificates(host, {
        sink: this.#sink,
        identities,
        execAllow: settings.execAllow,
        reloaded: snapshot?.reloadedCertificates ?? [],
        onChange: () => this.#keeper.touch(),
      }),
    );
    // Disposed after the services have left the registry: callers go elsewhere, and the connections under way end by themselves.
    this.sidecar = this.#stack.use(
      new HostSidecar(host, {
        identities,
        catalogs: this.#catalogs,
        rules: this.#rules,
        dial,
        audit,
        drainMs: settings.sidecarDrainMs,
        onIngress: (id, port) => this.services.setIngress(id, port),
      }),
    );
    this.#keeper = this.#stack.use(
      new SnapshotKeeper(host, this.#sink, { dataDir: settings.dataDir, take: () => this.#take() }),
    );
    this.#syncer = new Syncer(host, client, {
      owner: node,
      limits: { sessionTtlMs: settings.sessionTtlSeconds * 1000, fullSyncMs: settings.fullSyncSeconds * 1000 },
      session: snapshot?.session,
      onChange: () => this.#changed(),
    });
    if (settings.leaveOnStop) this.#stack.defer(() => this.#leave());
    this.#stack.use(this.#syncer);
    this.services = this.#stack.use(
      new HeldServices(host, {
        settings,
        registry: client.registry,
        syncer: this.#syncer,
        catalogs: this.#catalogs,
      }),
    );
  }

  /** Restores what an earlier run kept, takes the definitions, and starts every part. */
  start(definitions: Definitions): void {
    const snapshot = this.#snapshot;
    for (const { value, heardAtMs = snapshot?.savedAtMs ?? 0, revision = value.revision } of snapshot?.configs ?? []) {
      const { namespace, app, profile } = value;
      for (const cache of [this.#configs, this.#rules])
        cache.seed({ namespace, app, profile }, { value, heardAtMs, revision });
    }
    for (const { value, heardAtMs = snapshot?.savedAtMs ?? 0 } of snapshot?.catalogs ?? []) {
      const { namespace, service } = value;
      this.#catalogs.seed({ namespace, service }, { value, heardAtMs, revision: 0 });
    }
    this.services.start(snapshot, definitions.services);
    this.files.define(definitions.files);
    this.certificates.define(definitions.services);
    this.sidecar.define(definitions.services);
    this.#logs.define(definitions.services);
    // After the files have pinned their configs: following those twice would waste a call each.
    this.#configs.followSeeds();
    this.#catalogs.followSeeds();
    this.#snapshot = undefined;
    this.#keeper.start();
    this.#syncer.start();
    this.#audit.start();
  }

  /** Takes a new set of definitions. */
  define({ services, files }: Definitions): void {
    this.services.define(services);
    this.#definitionProblem = undefined;
    this.files.define(files);
    this.certificates.define(services);
    this.sidecar.define(services);
    this.#logs.define(services);
  }

  /** Notes that new definitions are not valid; the old ones stay in force. */
  refuseDefinitions(error: AppError): void {
    if (this.#definitionProblem?.message !== error.message) {
      this.#host.log.error({ err: error }, `the new definitions are not valid; the old ones stay: ${error.message}`);
    }
    this.#definitionProblem = error;
  }

  /** @throws AGENT_NOT_KNOWN_YET */
  config(name: ConfigName): Promise<KnownValue<EffectiveConfig>> {
    return this.#configs.get(name);
  }

  /** Resolves as soon as the config differs from the one that the caller has. @throws AGENT_NOT_KNOWN_YET */
  configOtherThan(
    name: ConfigName,
    { known, waitMs, signal }: { known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<KnownValue<EffectiveConfig>> & { readonly isKnown: boolean }> {
    return this.#configs.getOther(name, { tagOf: ({ releaseKey }) => releaseKey, known, waitMs, signal });
  }

  /** Accepts the older config of a server whose store was lost or restored. @throws AGENT_NOTHING_HELD */
  acceptOlder(name: ConfigName): void {
    if (!this.#configs.acceptHeld(name)) {
      const set = `${name.namespace}/${name.app}/${name.profile}`;
      throw AgentErrors.NOTHING_HELD(`The server has no older config of ${set} than this host. See /v1/agent/status.`);
    }
    this.#host.log.warn({ ...name }, "the server's older config is accepted, as requested");
  }

  /**
   * Forwards the acknowledgement of a program on this host.
   * @throws AGENT_ACKNOWLEDGEMENT_INVALID, AGENT_ACKNOWLEDGEMENTS_FULL
   */
  acknowledge(name: ConfigName, subscriber: string, body: Acknowledge): void {
    this.#acknowledger.forward(name, subscriber, body);
  }

  /** @throws AGENT_NOT_KNOWN_YET */
  async resolve(name: ServiceName, healthy: boolean | undefined): Promise<KnownValue<Resolved>> {
    const known = await this.#catalogs.get(name);
    if (healthy === undefined) return known;
    const instances = known.value.instances.filter((instance) => isHealthy(instance) === healthy);
    return { ...known, value: { ...known.value, instances } };
  }

  status(): AgentStatus {
    return statusOf({
      identity: this.#identity?.status(),
      node: this.#settings.node,
      sync: this.#syncer.state,
      services: this.services.size,
      files: this.files.list(),
      certificates: this.certificates.list(),
      older: this.#configs.held(),
      definitionProblem: this.#definitionProblem,
      snapshotProblem: this.#keeper.problem,
    });
  }

  /** The reasons why the agent is not ready, in words. Once ready, it stays ready: it serves what is known while the server is away. */
  notReady(): string[] {
    const { state } = this.#syncer;
    this.#wasReady ||=
      state.session !== undefined &&
      [...state.claims.values()].every((claim) => syncMarkOf(claim) === "inSync" || claim.error !== undefined);
    return this.#wasReady
      ? []
      : ["the control plane has not accepted this host's services yet, and no snapshot of an earlier run exists"];
  }

  async ready(signal: AbortSignal): Promise<void> {
    while (this.notReady().length > 0) {
      signal.throwIfAborted();
      await this.#readiness.wait({ signal });
    }
  }

  #changed(): void {
    this.#keeper.touch();
    const { session } = this.#syncer.state;
    if (session !== this.#lastSession) this.#acknowledger.sessionChanged();
    this.#lastSession = session;
    this.#readiness.wakeAll();
  }

  /** Deregisters this host's services, which also removes them from the catalogs that it follows. */
  async #leave(): Promise<void> {
    this.#catalogsAtLeave = this.#keptCatalogs();
    await this.#syncer.leave();
  }

  #keptCatalogs(): Snapshot["catalogs"] {
    return [...this.#catalogs.all()].map(({ revision: _revision, ...one }) => one);
  }

  #take(): Omit<Snapshot, "savedAtMs"> {
    const { session } = this.#syncer.state;
    return {
      format: 1,
      ...(session === undefined ? {} : { session }),
      ...this.services.snapshot(),
      ...this.files.snapshot(),
      reloadedCertificates: this.certificates.reloaded(),
      configs: [...this.#configs.all(), ...this.#rules.all()],
      catalogs: this.#catalogsAtLeave ?? this.#keptCatalogs(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
