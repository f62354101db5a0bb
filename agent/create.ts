/** Starts an agent. Kept state and definitions are read first, so that a file that is not valid stops the agent before it begins. */
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { AppError, messageOf, TaskGroup, type Host } from "#base";
import { OwnListeners } from "#base/address-class";
import { machineAddresses, type DialRules } from "#base/dial";
import * as configContract from "#config-server/api";
import {
  type AuditSink,
  BadTokens,
  closeHttpServer,
  createHttpServer,
  isLoopback,
  type ListenerTls,
  registerOpenApi,
  registerOperations,
  registerPages,
} from "#http";
import * as registryContract from "#registry/api";
import { LocalAgent } from "./agent.ts";
import * as agentContract from "./api.ts";
import { AgentErrors, type AgentStatus } from "./api.ts";
import type { ControlPlane } from "./caches.ts";
import { DefinitionFiles } from "./definition-files.ts";
import { agentFlags } from "./flags.ts";
import { type ControlWay, forwardControlApi, hasControlToken } from "./forwarding/forwarding.ts";
import type { AgentIdentity } from "./identity/agent-identity.ts";
import { guardLocalApi, isOpenPath } from "./local-access.ts";
import { LocalSocket } from "./local-socket.ts";
import { localTokens, type LocalToken } from "./local-tokens.ts";
import { agentPlugin } from "./plugin.ts";
import { NO_SERVICE_IDENTITIES, type ServiceIdentities } from "./service-identities.ts";
import type { AgentSettings } from "./settings.ts";
import { loadSnapshot, makeFolder } from "./snapshot.ts";

/** Only the agent reads its data; services of its group may read the config files, too. */
const DATA_DIR_MODE = 0o700;
const FILES_DIR_MODE = 0o750;
/** Path of the local API's OpenAPI document. */
const DOCUMENT = "/v1/openapi.json";

export interface AgentListeners {
  readonly port: number;
  /** Path of the Unix socket; undefined where the data folder's path is too long for one. */
  readonly socket: string | undefined;
}

export interface RunningAgent extends AsyncDisposable {
  /** Restores the kept state, takes the definitions, and opens the local API. Call it once. @throws AGENT_NOT_LISTENING */
  listen(): Promise<AgentListeners>;
  /** Resolves once the server has accepted this host's services, or at once when there is a snapshot to serve from. */
  ready(signal: AbortSignal): Promise<void>;
  /** Reads the definition files again now. Files that are not valid change nothing but the status. */
  reload(): Promise<void>;
  status(): AgentStatus;
}

export interface AgentParts {
  readonly client: ControlPlane;
  /** The way of forwarded requests, apart from the client's, so that they do not delay the agent's own calls. Absent: none. */
  readonly way?: ControlWay;
  readonly settings: AgentSettings;
  /** The identity of this host, after a join. Absent: the agent uses a token, or is a part of the control plane's process. */
  readonly identity?: Pick<AgentIdentity, "start" | "status"> | undefined;
  /** TLS of the local API's port. Absent: plain HTTP. */
  readonly tls?: ListenerTls | undefined;
  /** The certificates of this host's services. Absent: the agent has none of its own either. */
  readonly identities?: ServiceIdentities;
  /** Where the sidecar may connect to. Absent: everywhere but the addresses that nothing connects to. */
  readonly dial?: DialRules;
  /** Records the callers that the sidecar refuses. */
  readonly audit?: AuditSink | undefined;
}

/** @throws AGENT_DEFINITION_INVALID, AGENT_FOLDER_UNUSABLE */
export async function createAgent(parentHost: Host, parts: AgentParts): Promise<RunningAgent> {
  const { client, way, settings, audit, identity, tls } = parts;
  const { identities = NO_SERVICE_IDENTITIES } = parts;
  const { dial = { loopback: true, own: new OwnListeners(machineAddresses) } } = parts;
  const log = parentHost.log.child({ role: "agent" });
  const host: Host = { ...parentHost, log };
  const files = new DefinitionFiles(host, settings);
  const definitions = await files.readFirst();
  await makeFolder(settings.dataDir, DATA_DIR_MODE);
  await makeFolder(settings.filesDir, FILES_DIR_MODE);
  const snapshot = await loadSnapshot(host, settings.dataDir);
  const tokens = await localTokens(host, settings);

  await using starting = new AsyncDisposableStack();
  const agent = starting.use(new LocalAgent(host, { client, settings, snapshot, identities, identity, dial, audit }));
  const tasks = starting.use(new TaskGroup(log));
  const { app, socket } = createLocalApi(host, { agent, way, settings, tokens, tls, audit });
  starting.defer(() => closeHttpServer(host, app));
  const running = starting.move();

  const reload = async () => {
    try {
      agent.define(await files.read());
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      agent.refuseDefinitions(error);
    }
  };
  return {
    async listen() {
      agent.start(definitions);
      const listeners = await listenLocally(app, { socket, settings });
      tasks.run("definitions", (signal) => files.follow(reload, signal));
      log.info({ ...listeners, node: settings.node }, "the agent is listening");
      return listeners;
    },
    ready: (signal) => agent.ready(signal),
    reload,
    status: () => agent.status(),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface LocalApiParts {
  readonly agent: LocalAgent;
  readonly way: ControlWay | undefined;
  readonly settings: AgentSettings;
  readonly tokens: readonly LocalToken[];
  readonly tls: ListenerTls | undefined;
  readonly audit: AuditSink | undefined;
}

/** The local API with its guard and pages, not listening yet. */
function createLocalApi(
  host: Host,
  { agent, way, settings, tokens, tls, audit }: LocalApiParts,
): { readonly app: FastifyInstance; readonly socket: LocalSocket } {
  const app = createHttpServer(host, { name: "agent", tls, audit });
  const socket = new LocalSocket(host, app, settings);
  app.addHook("onClose", () => socket[Symbol.asyncDispose]());
  const badTokens = new BadTokens(host, "agent");
  guardLocalApi(app, { host: settings.host, tokens, isOwner: socket.has, badTokens, isForwarded: hasControlToken });
  const about = { title: "posthouse agent API", version: settings.version };
  registerOpenApi(app, DOCUMENT, {
    ...about,
    description: "The local API of an agent: services, checks, files and config of its host.",
    tags: {
      operations: "Liveness and readiness of the agent, its metrics, and its error codes.",
      agent: "Services, checks, configs and files of this host.",
      flags: "Feature flags over OFREP.",
    },
    isOpen: isOpenPath,
    contracts: { Registry: registryContract, Config: configContract, Agent: agentContract },
  });
  registerPages(app, { ...about, document: DOCUMENT });
  registerOperations(app, host, { notReady: () => agent.notReady(), guardMetrics: !isLoopback(settings.host) });
  // Streams and long polls end with it, since a stop must not wait for them.
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort(new Error("stopping")));
  agentPlugin(app, agent, closing.signal);
  agentFlags(app, host, agent);
  if (way) forwardControlApi(app, host, { way, badTokens, closing: closing.signal });
  return { app, socket };
}

/** @throws AGENT_NOT_LISTENING */
async function listenLocally(
  app: FastifyInstance,
  { socket, settings: { host, port } }: { socket: LocalSocket; settings: AgentSettings },
): Promise<AgentListeners> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    throw AgentErrors.NOT_LISTENING(
      `The agent's local API cannot listen on ${host}:${port}: ${messageOf(cause)}. If the port is in use, set another one.`,
      { cause },
    );
  }
  const path = await socket.listen();
  return { port: (app.server.address() as AddressInfo).port, socket: path };
}
