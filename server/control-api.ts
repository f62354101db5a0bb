/**
 * The control API: registry, config server, locks and access on one Fastify instance over one store. Watches end before the
 * listener closes, or closing would wait for them for ever.
 */
import type { FastifyInstance, FastifyReply } from "fastify";
import { Access, accessPlugin, type IssuedToken, Sessions } from "#access";
import * as accessContract from "#access/api";
import { AppError, deadline, messageOf, TaskGroup, type Host } from "#base";
import {
  Acknowledgements,
  Audit,
  ConfigErrors,
  ConfigServer,
  configPlugin,
  type KeySource,
  Orphans,
  Proposals,
  proposalsPlugin,
  type ReleaseCheck,
  Rollouts,
  rolloutsPlugin,
  Subscribers,
  Rewrapper,
  SecretKeys,
  secretsPlugin,
  Sources,
  type SourceSettings,
  sourcesPlugin,
  Transfer,
  transferPlugin,
} from "#config-server";
import * as configContract from "#config-server/api";
import { flagsPlugin } from "#flags";
import * as gatewayContract from "#gateway/api";
import { createReach, type ReachRules } from "#health";
import {
  closeHttpServer,
  BadTokens,
  createHttpServer,
  DATA_AGE_HEADER,
  HttpErrors,
  registerOpenApi,
  registerOperations,
  registerPages,
  requireAuth,
  wholeMs,
} from "#http";
import { Locks, LocksErrors, locksPlugin } from "#locks";
import * as locksContract from "#locks/api";
import { Quotas, quotasPlugin } from "#quotas";
import * as quotasContract from "#quotas/api";
import {
  Drains,
  Members,
  MEMBERS_PREFIX,
  membersPlugin,
  Prober,
  Reaper,
  Registry,
  RegistryErrors,
  registryPlugin,
} from "#registry";
import * as registryContract from "#registry/api";
import type { Store } from "#store";
import { ServerErrors } from "./api.ts";
import { VERSION } from "./version.ts";

export interface ControlApiOptions {
  readonly store: Store;
  /** What the readers of a config ask of its releases. */
  readonly releaseChecks: readonly ReleaseCheck[];
  /** Whether anybody beyond this machine may reach it: /metrics then needs a token, too. */
  readonly exposed: boolean;
  /** Milliseconds that the first reading of the store may take. */
  readonly startMs: number;
  /** What the servers' own checks may connect to and send. */
  readonly probeRules: ReachRules;
  /** Git branches and folders that config is mirrored from; absent: none. */
  readonly configSources?: readonly SourceSettings[];
  /** Where the keys for secrets of configs come from; absent: no secret can be released. */
  readonly secretKeys?: KeySource | undefined;
  /** What else of this process is not ready, in words. */
  readonly notReady: () => readonly string[];
  /** What cannot be done while the rest can, in words. */
  readonly degraded?: () => readonly string[];
  /** Routes of other rooms, added before the API is ready. */
  readonly extend?: (app: FastifyInstance, access: Access) => void;
}

export interface ControlApi extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly access: Access;
  readonly registry: Registry;
  /** The operator's token, when this was the very first start. */
  readonly firstToken: IssuedToken | undefined;
}

/** Ready to be listened with, or injected into: everything is read, tokens are checked. @throws SERVER_START_TIMEOUT */
export async function createControlApi(host: Host, options: ControlApiOptions): Promise<ControlApi> {
  const { store } = options;
  await using stack = new AsyncDisposableStack();
  const access = new Access(host, store);
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
  const configParts = {
    config,
    proposals,
    acknowledgements,
    subscribers,
    rollouts,
    transfer,
    sources,
    audit,
    rewrapper,
  };
  const app = stack.adopt(
    await routes(host, { access, sessions, registry, members, drains, locks, quotas, ...configParts }, options),
    (app) => closeHttpServer(host, app),
  );
  stack.use(registry.hub);
  stack.use(config.hub);
  stack.use(locks);
  const tasks = stack.use(new TaskGroup(host.log));
  const firstToken = await within(host, options.startMs, async (signal) => {
    const issued = await access.bootstrap();
    tasks.run("access", (signal) => access.run(signal));
    tasks.run("sessions", (signal) => sessions.run(signal));
    tasks.run("registry", (signal) => registry.run(signal));
    tasks.run("config", (signal) => config.run(signal));
    tasks.run("locks", (signal) => locks.run(signal));
    // Anything listed is enough: the listing is as new as the store is.
    await Promise.all([access, registry, config, locks].map((part) => part.waitFor(1, signal)));
    return issued;
  });
  await warmUp(host, { registry, store, stack });
  tasks.run("compaction", (signal) => compactRegularly(host, store, signal));
  tasks.run("acknowledgements", (signal) => acknowledgements.run(signal));
  tasks.run("subscribers", (signal) => subscribers.run(signal));
  tasks.run("rollouts", (signal) => rollouts.run(signal));
  tasks.run("config sources", (signal) => sources.run(signal));
  tasks.run("keys for secrets", (signal) => secretKeys.run(signal));
  tasks.run("rewrapping of secrets", (signal) => rewrapper.run(signal));
  tasks.run("sweeping of data keys", (signal) => new Orphans(host, store).run(signal));
  tasks.run("members", (signal) => members.run(signal));
  tasks.run("drains", (signal) => drains.run(signal));
  tasks.run("prober", (signal) => prober.run(signal));
  tasks.run("reaper", (signal) => reaper.run(signal));
  const owned = stack.move();
  return { app, access, registry, firstToken, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * Milliseconds that a member which finds no other, and no trace of an earlier one, counts as cold: agents come back within the five
 * seconds of their back-off or with the next heartbeat of their session, after ten.
 */
const WARM_MS = 15_000;

/** A store that was lost or set back lacks sessions that will be opened again; a store with members in it was not lost. */
async function warmUp(
  host: Host,
  { registry, store, stack }: { registry: Registry; store: Store; stack: AsyncDisposableStack },
): Promise<void> {
  if ((await store.range({ prefix: MEMBERS_PREFIX, limit: 1 })).count > 0) return;
  registry.cold = true;
  stack.defer(host.clock.after(WARM_MS, () => void (registry.cold = false)));
}

/** In the words of the room that was asked, so that each client knows what to do. */
function sessionNotFound(session: string, path: string): AppError {
  const detail = `You have no session "${session}": it has lapsed, was closed, or is another principal's. Open a new one with POST /v1/sessions.`;
  if (path.startsWith("/v1/locks")) return LocksErrors.SESSION_NOT_FOUND(detail);
  if (path.startsWith("/v1/config")) return ConfigErrors.SESSION_NOT_FOUND(detail);
  return RegistryErrors.SESSION_NOT_FOUND(detail);
}

/** Whose lines say by which part they are. */
function named(host: Host, role: string): Host {
  return { ...host, log: host.log.child({ role }) };
}

/** Milliseconds between compactions: whoever was away for less resumes its watch, others list anew. */
const COMPACT_MS = 300_000;

/** Forgets what was long replaced, one interval behind, so that the store does not grow with the number of changes. */
async function compactRegularly(host: Host, store: Store, signal: AbortSignal): Promise<void> {
  const size = host.metrics.gauge({ name: "posthouse_store_bytes", help: "Size of the store, where it is known." });
  const revision = host.metrics.gauge({ name: "posthouse_store_revision", help: "The store's revision." });
  let through = 0;
  while (!signal.aborted) {
    try {
      const status = await store.status();
      revision.labels().set(status.revision);
      if (status.sizeBytes !== undefined) size.labels().set(status.sizeBytes);
      if (through > status.compactedRevision) await store.compact(through);
      through = status.revision;
    } catch (error) {
      // Another member may have been first, or the store is away; the next round is soon enough.
      if (!(error instanceof AppError)) throw error;
      host.log.debug({ code: error.code }, `not compacted: ${error.message}`);
    }
    await host.clock.sleep(COMPACT_MS, signal).catch(() => {});
  }
}

interface Services {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly registry: Registry;
  readonly members: Members;
  readonly drains: Drains;
  readonly locks: Locks;
  readonly quotas: Quotas;
  readonly config: ConfigServer;
  readonly proposals: Proposals;
  readonly acknowledgements: Acknowledgements;
  readonly subscribers: Subscribers;
  readonly rollouts: Rollouts;
  readonly transfer: Transfer;
  readonly sources: Sources;
  readonly audit: Audit;
  readonly rewrapper: Rewrapper;
}

/** Where the API describes itself. */
const DOCUMENT = "/v1/openapi.json";
const TAGS = {
  operations: "Whether the process lives and is ready, its metrics, and its error codes.",
  registry: "Services, their instances and health, sessions, watches, and the members of the control plane.",
  config: "Releases of config, what an instance receives, and acknowledgements.",
  "config changes": "Drafts, proposals, reviews, comparison, promotion, and the rules of an environment.",
  "config rollouts": "Gradual releases.",
  "config secrets": "Secrets that are revealed, and the keys that encrypt them.",
  "config sources": "Git branches and folders that are mirrored into sets.",
  "config transfer": "Exports and imports of config as zips.",
  flags: "Feature flags over OFREP.",
  gateway: "What gateways would do with a request, and limits that they share.",
  locks: "Locks and leader election.",
  access: "Tokens.",
} as const;

async function routes(host: Host, services: Services, options: ControlApiOptions): Promise<FastifyInstance> {
  const { access, sessions, registry, drains, locks, quotas, config, proposals, rollouts, transfer, sources } =
    services;
  const app = createHttpServer(host, { name: "api" });
  requireAuth(app, (token) => access.authenticate(token), { badTokens: new BadTokens(host, "api"), sessions });
  const about = { title: "posthouse control API", version: VERSION };
  registerOpenApi(app, DOCUMENT, {
    ...about,
    description: "Registry, config server, locks and access. Errors are RFC 9457 problems with a stable `code`.",
    tags: TAGS,
    contracts: {
      Registry: registryContract,
      Config: configContract,
      Locks: locksContract,
      Access: accessContract,
      Gateway: gatewayContract,
      Quotas: quotasContract,
    },
  });
  registerPages(app, { ...about, document: DOCUMENT });
  registerOperations(app, host, {
    guardMetrics: options.exposed,
    notReady: () => [
      ...(registry.connected ? [] : ["registry: the store does not answer; what is served may be old"]),
      ...(config.connected ? [] : ["config server: the store does not answer; what is served may be old"]),
      ...(locks.connected ? [] : ["locks: the store does not answer; what is served may be old"]),
      ...options.notReady(),
    ],
    degraded: () => {
      const unreadable = config.unreadable().length;
      const own =
        unreadable === 0
          ? []
          : [`config server: ${unreadable} live secrets cannot be decrypted; GET /v1/config-secrets says which`];
      return [...own, ...(options.degraded?.() ?? [])];
    },
  });
  const age = async (_request: unknown, reply: FastifyReply) =>
    void reply.header(DATA_AGE_HEADER, wholeMs(Math.max(registry.ageMs, config.ageMs, locks.ageMs)));
  // Watches send their headers without the second hook; calls that wait are as old as their answer.
  app.addHook("onRequest", age);
  app.addHook("onSend", age);
  registryPlugin(app, { registry, drains, sessions });
  membersPlugin(app, services.members);
  configPlugin(app, services);
  proposalsPlugin(app, config, proposals);
  rolloutsPlugin(app, rollouts);
  transferPlugin(app, transfer);
  sourcesPlugin(app, sources);
  flagsPlugin(app, host, {
    action: "config:read",
    effective: (name) => {
      if (config.revision === 0) throw HttpErrors.UNAVAILABLE("The config is still being read; try again shortly.");
      return config.effective(name);
    },
  });
  secretsPlugin(app, services);
  locksPlugin(app, locks);
  quotasPlugin(app, quotas);
  accessPlugin(app, access);
  options.extend?.(app, access);
  app.addHook("preClose", async () => {
    await Promise.all([registry.hub, config.hub, locks].map((part) => part[Symbol.asyncDispose]()));
  });
  await app.ready();
  return app;
}

async function within<T>(host: Host, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  using end = deadline(host.clock, ms);
  const { signal } = end;
  const late = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () =>
      reject(
        ServerErrors.START_TIMEOUT(
          `The store did not answer within ${ms / 1000} s. Is it running, and reachable from here? (settings store, etcdUrls, storeStartSeconds)`,
        ),
      ),
    );
  });
  return await Promise.race([work(signal), late]);
}

/** The system's refusal to listen, in words that name the setting. */
export function listenError(error: unknown, address: string, setting: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") {
    return ServerErrors.PORT_IN_USE(
      `${address} is in use by another program. Stop that one, or choose another port: ${setting}.`,
      { cause: error },
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "EACCES" || code === "ENOTFOUND") {
    return ServerErrors.ADDRESS_UNAVAILABLE(`${address} cannot be listened on (${messageOf(error)}): ${setting}.`, {
      cause: error,
    });
  }
  return error;
}
