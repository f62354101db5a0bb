/** The HTTP side of the control API: all routes on one Fastify instance. */
import type { FastifyInstance, FastifyReply } from "fastify";
import { type Access, accessPlugin, serviceTokenPlugin, signInPlugin } from "#access";
import * as accessContract from "#access/api";
import * as authorizationContract from "#authorization/api";
import type { Host } from "#base";
import {
  configPlugin,
  maskedReaderOf,
  proposalsPlugin,
  rolloutsPlugin,
  secretsPlugin,
  sourcesPlugin,
  transferPlugin,
} from "#config-server";
import * as configContract from "#config-server/api";
import { flagDocumentRoute, flagsPlugin, type FlagSource } from "#flags";
import * as gatewayContract from "#gateway/api";
import {
  BadTokens,
  createHttpServer,
  type ListenerTls,
  peerCertificateOf,
  DATA_AGE_HEADER,
  guardHost,
  HttpErrors,
  registerOpenApi,
  registerOperations,
  registerPages,
  requireAuth,
  wholeMs,
} from "#http";
import { identityPlugin } from "#identity";
import * as identityContract from "#identity/api";
import { locksPlugin } from "#locks";
import * as locksContract from "#locks/api";
import { quotasPlugin } from "#quotas";
import * as quotasContract from "#quotas/api";
import { membersPlugin, registryPlugin } from "#registry";
import * as registryContract from "#registry/api";
import * as sidecarContract from "#sidecar/api";
import { timelinePlugin } from "#timeline";
import * as timelineContract from "#timeline/api";
import { trafficPlugin } from "#traffic";
import * as trafficContract from "#traffic/api";
import { ConsoleFiles } from "../console/files.ts";
import { CONSOLE_PATH, consolePlugin } from "../console/plugin.ts";
import { VERSION } from "../version.ts";
import { denialsPlugin } from "./denials-plugin.ts";
import { namespacesPlugin } from "./namespaces.ts";
import { serviceRulesRoutes } from "./service-rules.ts";
import { systemPlugin } from "./system-plugin.ts";
import type { Services, ServicesOptions } from "./services.ts";
import { type SignInOptions, signInRoutes } from "./sign-in.ts";

export interface RoutesOptions extends Pick<ServicesOptions, "store" | "certificates">, SignInOptions {
  /** Whether other machines can reach the API. /metrics then needs a token too. */
  readonly exposed: boolean;
  /** Names of this host, beside loopback, that Host headers of plain HTTP may have. */
  readonly hostNames?: readonly string[];
  /** Absent: plain HTTP. */
  readonly tls?: ListenerTls | undefined;
  /** Other parts of this process that are not ready, for people. */
  readonly notReady: () => readonly string[];
  /** Functions that are unavailable while the rest works, for people. */
  readonly degraded?: () => readonly string[];
  /** Folder of the built console; absent: none. */
  readonly consoleFolder?: string;
  /** Adds routes of other modules before the API is ready. */
  readonly extend?: (app: FastifyInstance, access: Access) => void;
}

/** Path of the OpenAPI document. */
const DOCUMENT = "/v1/openapi.json";
const TAGS = {
  operations: "Liveness, readiness, metrics, and error codes.",
  registry: "Services, their instances and health, sessions, watches, and the members of the control plane.",
  config: "Releases of config, what an instance receives, and acknowledgements.",
  "config changes": "Drafts, proposals, reviews, comparison, promotion, and the rules of an environment.",
  "config rollouts": "Gradual releases.",
  "config secrets": "Revealed secrets, and the keys that encrypt secrets.",
  "config sources": "Git branches and folders that are mirrored into config sets.",
  "config transfer": "Exports and imports of config as zip files.",
  flags: "Feature flags over OFREP.",
  gateway: "Explanations of routing decisions, and limits that gateways share.",
  locks: "Locks and leader election.",
  timeline: "Recent changes, present problems, and the feed that tells consoles to read again.",
  traffic: "Rates, errors and latencies by route, and the services that call each other.",
  access: "Tokens, sign-ins of browsers, and the caller itself.",
  identity: "Certificates, the certificate authority, and nodes that join with a token.",
} as const;

export async function createRoutes(host: Host, services: Services, options: RoutesOptions): Promise<FastifyInstance> {
  const { access, sessions, registry, drains, locks, quotas, config, proposals, rollouts, transfer, sources } =
    services;
  const app = createHttpServer(host, { name: "api", tls: options.tls, audit: services.denials });
  const { authority } = services.identity;
  guardHost(app, () => ownNames(options));
  const badTokens = new BadTokens(host, "api");
  requireAuth(app, (token) => access.authenticate(token), {
    badTokens,
    sessions,
    browser: (cookie) => access.signIns.authenticate(cookie),
    certificate: async (request) => {
      const der = peerCertificateOf(request);
      return der && access.principalOfPeer(authority.verifyPeer(der));
    },
    audit: { sink: services.denials, clock: host.clock },
    isCurrent: (principal) => access.isCurrent(principal),
  });
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
      Authorization: authorizationContract,
      Identity: identityContract,
      Gateway: gatewayContract,
      Quotas: quotasContract,
      Traffic: trafficContract,
      Timeline: timelineContract,
      ServiceRules: sidecarContract,
    },
  });
  const consoleFiles = new ConsoleFiles(options.consoleFolder);
  const home = async () => ((await consoleFiles.built()) ? CONSOLE_PATH : undefined);
  registerPages(app, { ...about, document: DOCUMENT, home });
  consolePlugin(app, { host, files: consoleFiles });
  registerOperations(app, host, {
    guardMetrics: options.exposed,
    notReady: () => [
      ...(registry.connected ? [] : ["registry: the store does not answer, so data may be old"]),
      ...(config.connected ? [] : ["config server: the store does not answer, so data may be old"]),
      ...(locks.connected ? [] : ["locks: the store does not answer, so data may be old"]),
      ...options.notReady(),
    ],
    degraded: () => {
      const unreadable = config.unreadable().length;
      const own =
        unreadable === 0
          ? []
          : [`config server: ${unreadable} live secrets cannot be decrypted; GET /v1/config-secrets lists them`];
      return [...own, ...(options.degraded?.() ?? [])];
    },
  });
  const age = async (_request: unknown, reply: FastifyReply) =>
    void reply.header(DATA_AGE_HEADER, wholeMs(Math.max(registry.ageMs, config.ageMs, locks.ageMs)));
  // Watches send their headers without the second hook. For calls that wait, the age is that of the response.
  app.addHook("onRequest", age);
  app.addHook("onSend", age);
  registryPlugin(app, { registry, drains, sessions });
  membersPlugin(app, services.members);
  namespacesPlugin(app, services);
  const { certificates } = options;
  systemPlugin(app, host, {
    members: services.members,
    sessions,
    store: options.store,
    ...(certificates === undefined ? {} : { certificates }),
  });
  configPlugin(app, services);
  proposalsPlugin(app, config, proposals);
  rolloutsPlugin(app, rollouts);
  transferPlugin(app, transfer);
  sourcesPlugin(app, sources);
  const flags: FlagSource = {
    action: "config:read",
    effective: (name, { request }) => {
      if (config.revision === 0) throw HttpErrors.UNAVAILABLE("The config is not loaded yet. Try again shortly.");
      return config.effective(name, maskedReaderOf(request));
    },
  };
  flagsPlugin(app, host, flags);
  flagDocumentRoute(app, flags);
  secretsPlugin(app, services);
  locksPlugin(app, locks);
  quotasPlugin(app, quotas);
  trafficPlugin(app, services.traffic);
  serviceRulesRoutes(app, services);
  timelinePlugin(app, services.facts);
  accessPlugin(app, access);
  denialsPlugin(app, services.denials);
  identityPlugin(app, {
    ...services.identity,
    badTokens,
    requireNodeGrant: (by, node) => access.requireNodeGrant(by, node),
  });
  serviceTokenPlugin(app, access);
  signInPlugin(app, { host, access, badTokens });
  signInRoutes(app, { host, store: options.store, access, badTokens }, options);
  options.extend?.(app, access);
  app.addHook("preClose", async () => {
    await Promise.all(
      [registry.hub, config.hub, authority, locks, services.facts.feed].map((part) => part[Symbol.asyncDispose]()),
    );
  });
  await app.ready();
  return app;
}

/** The names by which browsers may reach this API without TLS. */
function ownNames({ hostNames = [], publicUrl }: RoutesOptions): readonly string[] {
  const url = publicUrl?.();
  return url === undefined ? hostNames : [...hostNames, new URL(url).hostname];
}
