/** The parts of the control API: how they depend on each other, and which of them run. */
import { Access, Sessions } from "#access";
import type { AppError, Host, TaskGroup } from "#base";
import {
  Acknowledgements,
  Audit,
  ConfigErrors,
  ConfigServer,
  type KeySource,
  Orphans,
  Proposals,
  type ReleaseCheck,
  Rewrapper,
  Rollouts,
  SecretKeys,
  Sources,
  type SourceSettings,
  Subscribers,
  Transfer,
} from "#config-server";
import { createReach, type ReachRules } from "#health";
import { Locks, LocksErrors } from "#locks";
import { Quotas } from "#quotas";
import { Drains, Members, Prober, Reaper, Registry, RegistryErrors } from "#registry";
import type { Store } from "#store";
import { Traffic } from "#traffic";
import type { ServedCertificate } from "../certificates.ts";
import { createConsoleFacts } from "./console-facts.ts";
import { Denials } from "./denials.ts";
import { createIdentity } from "./identity.ts";

export interface ServicesOptions {
  readonly store: Store;
  /** Checks that every release of a config must pass, from the modules that read such configs. */
  readonly releaseChecks: readonly ReleaseCheck[];
  /** Where the servers' own checks may connect, and what they may send. */
  readonly probeRules: ReachRules;
  /** Git branches and folders that config is mirrored from. Absent: none. */
  readonly configSources?: readonly SourceSettings[];
  /** Source of the keys for secrets of configs. Absent: no secret can be released. */
  readonly secretKeys?: KeySource | undefined;
  /** The first word of SPIFFE ids. Absent: posthouse. */
  readonly trustDomain?: string | undefined;
  /** Functions that are unavailable while the rest works, for people. */
  readonly degraded?: () => readonly string[];
  /** Certificates of this process, and when they end. */
  readonly certificates?: () => readonly ServedCertificate[];
}

export type Services = Awaited<ReturnType<typeof createServices>>;

export async function createServices(host: Host, options: ServicesOptions) {
  const { store } = options;
  const access = new Access(host, store);
  const denials = new Denials(host);
  const sessions = new Sessions(host, store, sessionNotFound);
  const reach = createReach(options.probeRules);
  const registry = new Registry(named(host, "registry"), store, reach);
  const secretKeys = new SecretKeys(host, options.secretKeys);
  await secretKeys.start();
  const config = new ConfigServer(named(host, "config-server"), store, options.releaseChecks, secretKeys);
  const audit = new Audit(host, store, config);
  const rewrapper = new Rewrapper(host, store, config);
  const locks = new Locks(host, store);
  const quotas = new Quotas(host, store);
  const members = new Members(host, store);
  const { trustDomain } = options;
  const identity = createIdentity(host, { store, secretKeys, access, trustDomain, member: members.id });
  const drains = new Drains(host, store, registry, members);
  const prober = new Prober(host, registry, members, { reach });
  const reaper = new Reaper(host, registry, members);
  const proposals = new Proposals(host, store, config);
  const subscribers = new Subscribers(host, store, members);
  const acknowledgements = new Acknowledgements(host, store, { config, subscribers });
  const health = (namespace: string, service: string) =>
    registry.catalog
      .instances(namespace, service)
      .map(({ id, owner, status }) => ({ id, owner, critical: status === "critical" }));
  const rollouts = new Rollouts(host, store, { config, acknowledgements, subscribers, health });
  const transfer = new Transfer(host, store, config, proposals);
  const { configSources = [] } = options;
  const sources = new Sources(host, store, config, transfer.planner, { sources: configSources, member: members });
  const orphans = new Orphans(host, store);
  const traffic = new Traffic(named(host, "traffic"), store, members);
  const readers = { registry, members, locks, config, access, identity, acknowledgements, subscribers, traffic };
  const facts = createConsoleFacts(host, store, readers, options);
  return {
    facts,
    access,
    denials,
    identity,
    sessions,
    registry,
    members,
    drains,
    prober,
    reaper,
    locks,
    quotas,
    config,
    secretKeys,
    audit,
    rewrapper,
    orphans,
    proposals,
    subscribers,
    acknowledgements,
    rollouts,
    transfer,
    sources,
    traffic,
  };
}

/** Starts reading the store. Resolves when the state that requests need has been read. @throws the signal's reason */
export async function startReading(tasks: TaskGroup, services: Services, signal: AbortSignal): Promise<void> {
  const { access, sessions, registry, config, locks } = services;
  const { authority } = services.identity;
  tasks.run("access", (signal) => access.run(signal));
  tasks.run("identity", (signal) => authority.run(signal));
  tasks.run("sessions", (signal) => sessions.run(signal));
  tasks.run("registry", (signal) => registry.run(signal));
  tasks.run("config", (signal) => config.run(signal));
  tasks.run("locks", (signal) => locks.run(signal));
  // Any listing is enough, because it is as current as the store.
  await Promise.all([access, authority, registry, config, locks].map((part) => part.waitFor(1, signal)));
}

/** Starts the work that goes on beside requests. */
export function startUpkeep(tasks: TaskGroup, services: Services): void {
  const { acknowledgements, subscribers, rollouts, sources, secretKeys, rewrapper, orphans } = services;
  tasks.run("acknowledgements", (signal) => acknowledgements.run(signal));
  tasks.run("subscribers", (signal) => subscribers.run(signal));
  tasks.run("rollouts", (signal) => rollouts.run(signal));
  tasks.run("config sources", (signal) => sources.run(signal));
  tasks.run("certificate authority", (signal) => services.identity.rotations.run(signal));
  tasks.run("keys for secrets", (signal) => secretKeys.run(signal));
  tasks.run("rewrapping of secrets", (signal) => rewrapper.run(signal));
  tasks.run("sweeping of data keys", (signal) => orphans.run(signal));
  const { members, drains, prober, reaper } = services;
  tasks.run("members", (signal) => members.run(signal));
  tasks.run("drains", (signal) => drains.run(signal));
  tasks.run("prober", (signal) => prober.run(signal));
  tasks.run("reaper", (signal) => reaper.run(signal));
  tasks.run("timeline", (signal) => services.facts.timeline.run(signal));
  tasks.run("presence", (signal) => services.facts.presence.run(signal));
  tasks.run("feed", (signal) => services.facts.feed.run(signal));
  tasks.run("traffic", (signal) => services.traffic.run(signal));
  tasks.run("health history", (signal) => services.registry.keeper.run(members, signal));
  tasks.run("trimming of health history", (signal) => services.registry.trimmer.run(members, signal));
}

/** The error of the module that the request is for, so that each client knows what to do. */
function sessionNotFound(session: string, path: string): AppError {
  const detail = `Session "${session}" not found: it lapsed, was closed, or belongs to another principal. Open a new one with POST /v1/sessions.`;
  if (path.startsWith("/v1/locks")) return LocksErrors.SESSION_NOT_FOUND(detail);
  if (path.startsWith("/v1/config")) return ConfigErrors.SESSION_NOT_FOUND(detail);
  return RegistryErrors.SESSION_NOT_FOUND(detail);
}

/** A host whose log lines name the part that writes them. */
function named(host: Host, role: string): Host {
  return { ...host, log: host.log.child({ role }) };
}
