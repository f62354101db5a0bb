/** The connection of a service to the control plane, over the network: created once, closed at the end. */
import { hostname } from "node:os";
import { Check as matches } from "typebox/value";
import { messageOf, type AppError, type Host, type Log } from "#base";
import { libraryHost, systemLog } from "#base/library";
import { Labels, SetName, Subscriber } from "#config-server/api";
import { ConfigReader } from "./config.ts";
import { ClientErrors } from "./errors.ts";
import { Client } from "./mod.ts";
import { keepSession, type KeptSession, type SessionOptions } from "./session.ts";
import { fetchTransport } from "./transports.ts";

export interface ConnectOptions {
  /** `http://host:port` of the control API, or of several members, which are tried in turn. */
  readonly url: string | readonly string[];
  /** Bearer token. A function is called for each request, so that the token can be renewed. */
  readonly token?: string | (() => string | undefined) | undefined;
  /** The environment. @default "default" */
  readonly namespace?: string | undefined;
  readonly app: string;
  /** Its values override those of profile `default`. @default "default" */
  readonly profile?: string | undefined;
  /**
   * Name under which this process acknowledges, and gradual releases select it: letters, digits, `.`, `_` and `-`.
   * @default host name and process id
   */
  readonly instance?: string | undefined;
  /** Labels by which gradual releases select this process, such as `{ zone: "eu" }`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /**
   * File of the last config, with mode 0600, for a start while no server answers. Its folder must exist. Absent: such a start
   * fails.
   */
  readonly lastKnownGoodFile?: string | undefined;
  /**
   * Called once for each problem that no call throws: a value in a watch that is not valid, a server that is away or older, a file
   * that cannot be written.
   */
  readonly onProblem?: ((problem: AppError) => void) | undefined;
  /** A log like pino's. @default warnings and errors, as JSON on standard error */
  readonly log?: Log | undefined;
}

export interface Posthouse extends AsyncDisposable {
  readonly config: ConfigReader;
  /**
   * A session that is kept alive, and opened again after a lapse, until it or this client is closed. Registrations that `onOpen`
   * makes under the session's id belong to it.
   */
  session(options?: SessionOptions): Promise<KeptSession>;
  /** The whole control API. */
  readonly client: Client;
  /** Ends watches, sends due acknowledgements, and closes connections. A second call does nothing. */
  close(): Promise<void>;
}

/** The host of a process without one: the real clock and chance, no metrics, warnings and errors on standard error. */
export function clientHost(log: Log = systemLog({ level: "warn", format: "json" }).log): Host {
  return libraryHost(log);
}

/** Connects lazily: nothing is sent before the first call. @throws CLIENT_OPTION_INVALID (`extra.field`) */
export function connect(options: ConnectOptions): Posthouse {
  const {
    token,
    namespace = "default",
    app,
    profile = "default",
    instance,
    labels,
    lastKnownGoodFile,
    onProblem,
  } = options;
  const urls = typeof options.url === "string" ? [options.url] : options.url;
  checkUrls(urls);
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
  const host = clientHost(options.log);
  const transport = fetchTransport({ urls });
  const client = new Client(host, { transport, token });
  const tell = (problem: AppError) => {
    host.log.warn({ ...name, code: problem.code, ...problem.extra }, problem.message);
    try {
      onProblem?.(problem);
    } catch (error) {
      host.log.error({ err: error }, `onProblem threw: ${messageOf(error)}`);
    }
  };
  const config = new ConfigReader(host, {
    client,
    name,
    instance: { id: subscriber, labels },
    lastKnownGoodFile,
    tell,
  });
  const stack = new AsyncDisposableStack();
  stack.use(transport);
  stack.use(config);
  // Closed before the transport. Closing also ends a wait for the first session.
  const sessions = stack.use(new AsyncDisposableStack());
  const closing = new AbortController();
  sessions.defer(() => closing.abort(ClientErrors.CLOSED("The client was closed.")));
  const session = async ({ signal, ...rest }: SessionOptions = {}) => {
    const any = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
    const kept = await keepSession(host, client, { ...rest, signal: any });
    if (sessions.disposed) {
      await kept.close();
      throw closing.signal.reason;
    }
    return sessions.use(kept);
  };
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= stack.disposeAsync());
  return { config, session, client, close, [Symbol.asyncDispose]: close };
}

function checkUrls(urls: readonly string[]): void {
  if (urls.length === 0)
    throw invalid("url", "it is empty. Give the URL of the control API, such as http://127.0.0.1:8500");
  for (const url of urls) {
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? ""))
      throw invalid("url", `${JSON.stringify(url)} is not an http or https URL. Give the URL of the control API`);
  }
}

/** The default name: two processes of one host are two subscribers. */
function defaultInstance(): string {
  const safe = hostname().replaceAll(/[^A-Za-z0-9._-]/g, "-");
  const name = /^[A-Za-z0-9]/.test(safe) ? safe : `host${safe}`;
  return `${name.slice(0, 100)}-${process.pid}`;
}

function invalid(field: string, why: string): AppError {
  return ClientErrors.OPTION_INVALID(`Option ${field}: ${why}.`, { extra: { field } });
}
