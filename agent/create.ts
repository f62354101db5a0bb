/** Starts an agent: what it kept and what is defined is read first, so that a bad file stops it before it begins. */
import { watch } from "node:fs";
import type { AddressInfo } from "node:net";
import { AppError, messageOf, TaskGroup, Trigger, type Host } from "#base";
import * as configContract from "#config-server/api";
import {
  BadTokens,
  closeHttpServer,
  createHttpServer,
  isLoopback,
  registerOpenApi,
  registerOperations,
  registerPages,
} from "#http";
import * as registryContract from "#registry/api";
import { LocalAgent } from "./agent.ts";
import * as agentContract from "./api.ts";
import { AgentErrors, type AgentStatus } from "./api.ts";
import type { ControlPlane } from "./caches.ts";
import { fingerprint, readDefinitions, type Definitions } from "./definitions.ts";
import { agentFlags } from "./flags.ts";
import { guardLocalApi, isOpenPath } from "./local-access.ts";
import { LocalSocket } from "./local-socket.ts";
import { localTokens } from "./local-tokens.ts";
import { agentPlugin } from "./plugin.ts";
import type { AgentSettings } from "./settings.ts";
import { loadSnapshot, makeFolder } from "./snapshot.ts";

/** Milliseconds between looks at the definition files, for file systems that tell of no changes. */
const LOOK_MS = 5_000;
/** Milliseconds over which changes are gathered: an editor writes a file in several steps. */
const GATHER_MS = 100;
/** Only the agent reads its data; config files are for services of its group, too. */
const DATA_DIR_MODE = 0o700;
const FILES_DIR_MODE = 0o750;

export interface AgentListeners {
  readonly port: number;
  /** Path of the Unix socket; undefined where the data folder's path is too long for one. */
  readonly socket: string | undefined;
}

/** Where the local API describes itself. */
const DOCUMENT = "/v1/openapi.json";

export interface RunningAgent extends AsyncDisposable {
  /** Takes up what was kept and defined, and opens the local API. Call it once. @throws AGENT_NOT_LISTENING */
  listen(): Promise<AgentListeners>;
  /** Resolves once the server took this host's services, or at once when there is a snapshot to serve from. */
  ready(signal: AbortSignal): Promise<void>;
  /** Reads the definition files again now. Bad ones change nothing but the status. */
  reload(): Promise<void>;
  status(): AgentStatus;
}

/** @throws AGENT_DEFINITION_INVALID, AGENT_FOLDER_UNUSABLE */
export async function createAgent(
  host: Host,
  { client, settings }: { client: ControlPlane; settings: AgentSettings },
): Promise<RunningAgent> {
  const log = host.log.child({ role: "agent" });
  const own: Host = { ...host, log };
  const folder = settings.servicesDir;
  const before = await fingerprintOf(folder, []);
  const definitions = await readAll(settings);
  await makeFolder(settings.dataDir, DATA_DIR_MODE);
  await makeFolder(settings.filesDir, FILES_DIR_MODE);
  const snapshot = await loadSnapshot(own, settings.dataDir);
  const tokens = await localTokens(own, settings);

  await using starting = new AsyncDisposableStack();
  const agent = starting.use(new LocalAgent(own, { client, settings, snapshot }));
  const tasks = starting.use(new TaskGroup(log));
  const app = createHttpServer(own, { name: "agent" });
  starting.defer(() => closeHttpServer(own, app));
  const socket = new LocalSocket(own, app, settings.dataDir);
  app.addHook("onClose", () => socket[Symbol.asyncDispose]());
  const badTokens = new BadTokens(own, "agent");
  guardLocalApi(app, { host: settings.host, tokens, isOwner: socket.has, badTokens });
  const about = { title: "posthouse agent API", version: settings.version };
  registerOpenApi(app, DOCUMENT, {
    ...about,
    description: "The local API of an agent: services, checks, files and config of its host.",
    tags: {
      operations: "Whether the agent lives and is ready, its metrics, and its error codes.",
      agent: "What this host registers, checks and keeps in files.",
      flags: "Feature flags over OFREP.",
    },
    isOpen: isOpenPath,
    contracts: { Registry: registryContract, Config: configContract, Agent: agentContract },
  });
  registerPages(app, { ...about, document: DOCUMENT });
  registerOperations(app, own, { notReady: () => agent.notReady(), guardMetrics: !isLoopback(settings.host) });
  agentPlugin(app, agent);
  agentFlags(app, own, agent);
  const running = starting.move();
  let templates = templatesOf(definitions);

  const reload = async () => {
    try {
      const definitions = await readAll(settings);
      templates = templatesOf(definitions);
      agent.define(definitions);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      agent.refuseDefinitions(error);
    }
  };
  return {
    async listen() {
      agent.start(definitions);
      try {
        await app.listen({ host: settings.host, port: settings.port });
      } catch (cause) {
        throw AgentErrors.NOT_LISTENING(
          `The agent's local API cannot listen on ${settings.host}:${settings.port}: ${messageOf(cause)}. Is the port in use? Set another one.`,
          { cause },
        );
      }
      const path = await socket.listen();
      if (folder !== undefined)
        tasks.run("definitions", (signal) =>
          follow(own, { folder, before, templates: () => templates, reload, signal }),
        );
      const { port } = app.server.address() as AddressInfo;
      log.info({ port, socket: path, node: settings.node }, "the agent listens");
      return { port, socket: path };
    },
    ready: (signal) => agent.ready(signal),
    reload,
    status: () => agent.status(),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function readAll({ servicesDir, node, address }: AgentSettings): Promise<Definitions> {
  return servicesDir === undefined ? { services: [], files: [] } : readDefinitions(servicesDir, { node, address });
}

/** What cannot be listed has no fingerprint; reading it then says why. */
async function fingerprintOf(folder: string | undefined, templates: readonly string[]): Promise<string> {
  return folder === undefined ? "" : fingerprint(folder, templates).catch(messageOf);
}

/** Files of this host that others are made from. */
function templatesOf({ files }: Definitions): string[] {
  return files.flatMap(({ template }) => template?.source.path ?? []);
}

/** Reads the definitions again whenever their files change. */
async function follow(
  host: Host,
  {
    folder,
    before,
    templates,
    reload,
    signal,
  }: {
    folder: string;
    before: string;
    templates: () => readonly string[];
    reload: () => Promise<void>;
    signal: AbortSignal;
  },
): Promise<void> {
  const trigger = new Trigger();
  // A folder that is not there yet, or one too many for the kernel: the look every few seconds finds changes, too.
  using watcher = new DisposableStack();
  try {
    const watched = watcher.adopt(
      watch(folder, { persistent: false }, () => trigger.fire()),
      (one) => one.close(),
    );
    watched.on("error", () => watched.close());
  } catch (error) {
    host.log.debug({ folder, err: error }, "the folder of definition files is looked at now and then only");
  }
  // Taken before the definitions were read, and so without their templates: the first look reads all once more.
  let seen = before;
  while (!signal.aborted) {
    const cancel = host.clock.after(LOOK_MS, () => trigger.fire());
    await trigger.wait(signal);
    cancel();
    await host.clock.sleep(GATHER_MS, signal).catch(() => {});
    if (signal.aborted) return;
    const now = await fingerprintOf(folder, templates());
    if (now === seen) continue;
    seen = now;
    await reload();
  }
}
