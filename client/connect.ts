/** The connection of a service to the control plane, over the network: created once, closed at the end. */
import { readFileSync } from "node:fs";
import { Check as matches } from "typebox/value";
import { messageOf, type AppError, type Host, type Log } from "#base";
import { libraryHost, systemLog } from "#base/library";
import { Labels, SetName, Subscriber } from "#config-server/api";
import { ConfigReader } from "./config.ts";
import { ServiceCatalog } from "./discovery/service-catalog.ts";
import { ServiceFile } from "./discovery/service-file.ts";
import type { ConnectOptions } from "./connect-options.ts";
import { withEnvironment } from "./environment.ts";
import { ClientErrors } from "./errors.ts";
import { ServiceDispatcher } from "./fetch/service-dispatcher.ts";
import { ServiceFetcher, type ServiceFetch } from "./fetch/service-fetch.ts";
import { TrafficReporter } from "./fetch/traffic-reporter.ts";
import type { FlagReader } from "./flag-reader.ts";
import { LockKeeper } from "./lock-keeper.ts";
import { Client } from "./mod.ts";
import { registerService, type RegisterOptions, type ServiceRegistration } from "./registration/registration.ts";
import { safeHostname } from "./safe-hostname.ts";
import type { ControlTls } from "./server-trust.ts";
import { keepSession, type KeptSession, type SessionOptions } from "./session.ts";
import type { Transport } from "./transport.ts";
import { fetchTransport, type FetchTransportOptions } from "./transports.ts";

export interface Posthouse extends AsyncDisposable {
  readonly config: ConfigReader;
  readonly flags: FlagReader;
  readonly locks: LockKeeper;
  /** `fetch("http://orders.service/path")` reaches a healthy instance of orders; other URLs go to the global fetch. */
  readonly fetch: ServiceFetch;
  /** Makes the global `fetch` reach services too, until the returned function is called. */
  install(): Disposable & (() => void);
  /** Registers this process as an instance of its service, until it is stopped. */
  register(options?: RegisterOptions): Promise<ServiceRegistration>;
  /**
   * A session that is kept alive, and opened again after a lapse, until it or this client is closed. Registrations that `onOpen`
   * makes under the session's id belong to it.
   */
  session(options?: SessionOptions): Promise<KeptSession>;
  /** The whole control API. */
  readonly client: Client;
  /** Drains and removes registrations, ends watches, sends due acknowledgements, and closes connections. A second call does nothing. */
  close(): Promise<void>;
}

/** The host of a process without one: the real clock and chance, no metrics, warnings and errors on standard error. */
export function clientHost(log: Log = systemLog({ level: "warn", format: "json" }).log): Host {
  return libraryHost(log);
}

/** Connects lazily: nothing is sent before the first call. @throws CLIENT_OPTION_INVALID (`extra.field`) */
export function connect(options: ConnectOptions = {}): Posthouse {
  const settings = checkedSettings(options);
  const { instance, subscriber, name, token, zone, address, log, onProblem } = settings;
  const host = clientHost(log);
  const stack = new AsyncDisposableStack();
  const transport = stack.use(fetchTransport({ ...wayOf(settings.urls), tls: controlTls(settings) }));
  const client = new Client(host, { transport, token });
  const tell = problemTeller(host, name, onProblem);
  const { lastKnownGoodFile, labels } = settings;
  const reader = { client, name, instance: { id: subscriber, labels }, lastKnownGoodFile, tell };
  const config = stack.use(new ConfigReader(host, reader));
  const fetcher = stack.use(openFetcher(host, { settings, transport, tell }));
  const sessions = stack.use(new SessionKeeper(host, client));
  const registrations = stack.use(new AsyncDisposableStack());
  const { namespace, app: service } = name;
  const parts = { client, session: sessions.open, defaults: { service, namespace, instance, address, zone }, tell };
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= stack.disposeAsync());
  return {
    config,
    flags: config.flags,
    locks: new LockKeeper(client, { namespace, closing: sessions.closing }),
    fetch: fetcher.fetch,
    install: () => fetcher.install(),
    register: async (given = {}) => registrations.use(await registerService(host, parts, given)),
    session: sessions.open,
    client,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The same as `connect`, for programs whose options all come from the environment. */
export const createClient = connect;

/** The sessions of one client: all of them end with it. */
class SessionKeeper implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #closing = new AbortController();
  readonly #host: Host;
  readonly #client: Client;

  constructor(host: Host, client: Client) {
    this.#host = host;
    this.#client = client;
    // Closing also ends a wait for the first session.
    this.#stack.defer(() => this.#closing.abort(ClientErrors.CLOSED("The client was closed.")));
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  readonly open = async ({ signal, ...rest }: SessionOptions = {}): Promise<KeptSession> => {
    const any = signal === undefined ? this.closing : AbortSignal.any([signal, this.closing]);
    const kept = await keepSession(this.#host, this.#client, { ...rest, signal: any });
    if (this.#stack.disposed) {
      await kept.close();
      throw this.closing.reason;
    }
    return this.#stack.use(kept);
  };

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

type Settings = ReturnType<typeof checkedSettings>;

/** Calls to services, with the watches that they need. */
function openFetcher(
  host: Host,
  { settings, transport, tell }: { settings: Settings; transport: Transport; tell: (problem: AppError) => void },
): ServiceFetcher {
  const { subscriber, token, namespace, zone, tls, services = {}, lastKnownGoodFile } = settings;
  const path = lastKnownGoodFile === undefined ? undefined : `${lastKnownGoodFile}.services`;
  // This client acknowledges the drains that it has seen; a watch of the program's own does not.
  const client = new Client(host, { transport, token, subscriber });
  const file = path === undefined ? undefined : new ServiceFile(host, { path, tell });
  const catalog = new ServiceCatalog(host, { client, file, tell });
  const traffic = new TrafficReporter(host, { client, namespace, from: settings.name.app, reporter: subscriber });
  return new ServiceFetcher(new ServiceDispatcher(host, { catalog, traffic, namespace, zone, tls, services }));
}

function problemTeller(host: Host, name: SetName, onProblem: ConnectOptions["onProblem"]) {
  return (problem: AppError) => {
    host.log.warn({ ...name, code: problem.code, ...problem.extra }, problem.message);
    try {
      onProblem?.(problem);
    } catch (error) {
      host.log.error({ err: error }, `onProblem threw: ${messageOf(error)}`);
    }
  };
}

/** The options, completed from the environment. @throws CLIENT_OPTION_INVALID */
function checkedSettings(options: ConnectOptions) {
  const given = withEnvironment(options, process.env);
  const { url: urls, namespace = "default", app, profile = "default", instance, labels } = given;
  checkUrls(urls);
  if (app === undefined) throw invalid("app", "it is absent. Give the name of the app, or set POSTHOUSE_APP");
  const name = { namespace, app, profile };
  const subscriber = instance ?? defaultInstance();
  for (const [field, value] of Object.entries(name)) {
    if (!matches(SetName.properties[field as keyof SetName], value))
      throw invalid(field, `${JSON.stringify(value)} is not a valid name; use a-z, 0-9 and -, at most 63 characters`);
  }
  if (!matches(Subscriber, subscriber))
    throw invalid(
      "instance",
      `${JSON.stringify(subscriber)} is not a valid name; use letters, digits, ".", "_" and "-", at most 128 characters`,
    );
  if (labels !== undefined && !matches(Labels, labels))
    throw invalid(
      "labels",
      `${JSON.stringify(labels)} are not valid labels; use names and values of letters, digits and "._:/@+-"`,
    );
  return { ...given, urls, namespace, name, subscriber };
}

/** The Unix socket of an agent, as `unix:/var/lib/posthouse/agent/agent.sock`. */
const SOCKET = /^unix:(?:\/\/)?(\/.+)$/;

/** Where the calls go: to members of the control plane or to an agent by URL, or to an agent by its socket. */
function wayOf(urls: readonly string[]): FetchTransportOptions {
  const [, socketPath] = SOCKET.exec(urls[0] ?? "") ?? [];
  return socketPath === undefined ? { urls } : { urls: ["http://localhost"], socketPath };
}

/** @throws CLIENT_OPTION_INVALID */
function controlTls({ controlCaFile, controlFingerprint: fingerprint }: Settings): ControlTls {
  if (controlCaFile === undefined) return { fingerprint };
  try {
    return { fingerprint, ca: readFileSync(controlCaFile, "utf8") };
  } catch (error) {
    throw invalid("controlCaFile", `${controlCaFile} cannot be read: ${messageOf(error)}`);
  }
}

function checkUrls(urls: readonly string[]): void {
  if (urls.length === 0)
    throw invalid("url", "it is empty. Give the URL of the control API, such as http://127.0.0.1:8500");
  for (const url of urls) {
    if (SOCKET.test(url) && urls.length === 1) continue;
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? ""))
      throw invalid(
        "url",
        `${JSON.stringify(url)} is not an http or https URL. Give the URL of the control API, or the socket of an agent alone, such as unix:/run/agent.sock`,
      );
  }
}

/** The default name: two processes of one host are two subscribers. */
function defaultInstance(): string {
  return `${safeHostname()}-${process.pid}`;
}

function invalid(field: string, why: string): AppError {
  return ClientErrors.OPTION_INVALID(`Option ${field}: ${why}.`, { extra: { field } });
}
