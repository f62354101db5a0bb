/**
 * A service's registration for as long as the process serves: it is made under a session, made again after a lapse, drained, and
 * removed. A killed process leaves it to the session's time to live. The same id is the same instance, also after a restart.
 */
import { AppError, messageOf, type Host } from "#base";
import type { Check, Registration } from "#registry/api";
import type { InstanceName } from "../calls/registry.ts";
import type { Client } from "../client.ts";
import { ClientErrors } from "../errors.ts";
import { safeHostname } from "../safe-hostname.ts";
import type { KeptSession, SessionOptions } from "../session.ts";
import { closeServer } from "./close-server.ts";
import { ownAddress, type ListeningServer } from "./own-address.ts";
import { CheckReporter, storedChecks, type ReportedCheck } from "./reported-checks.ts";
import { onStopSignals } from "./stop-signals.ts";

/** Seconds that a drain waits for subscribers: each normally sees it within a fraction of a second. */
const DRAIN_SECONDS = 10;
/** Seconds that a closing server may finish requests, below the 30 s after which orchestrators kill. */
const FINISH_SECONDS = 15;
/** Milliseconds that `register` waits for a server. Then the service starts, and is registered once a server answers. */
const FIRST_ANSWER_MS_MAX = 3_000;

type OwnFields =
  | "address"
  | "port"
  | "session"
  | "verdicts"
  | "probedBy"
  | "lifecycle"
  | "checks"
  | "owner"
  | "incarnation";

/** All fields are those of a registration, except the ones described here. */
export interface RegisterOptions extends Omit<Registration, OwnFields> {
  /** @default the client's `app` */
  readonly service?: string | undefined;
  /** @default the client's `instance`, or else host name and port */
  readonly id?: string | undefined;
  /** @default the client's */
  readonly namespace?: string | undefined;
  /** @default the client's `address`, or the address of `server`, or that of this machine */
  readonly address?: string | undefined;
  /** @default the port of `server` */
  readonly port?: number | undefined;
  /** Gives the port, and is closed after a drain: requests that it has are finished. */
  readonly server?: ListeningServer | undefined;
  /** Checks of the registry, and TTL checks that this process reports itself. */
  readonly checks?: readonly (Check | ReportedCheck)[] | undefined;
  /** Seconds after which a killed process has left the catalog. @default 15 */
  readonly ttlSeconds?: number | undefined;
  /** Seconds that a drain waits until every subscriber has seen it. 0: none waits. @default 10 */
  readonly drainSeconds?: number | undefined;
  /** Seconds that the service goes on serving after the drain, for callers that poll, such as by DNS. @default 0 */
  readonly lingerSeconds?: number | undefined;
  /** Seconds that `server` may take to finish its requests. @default 15 */
  readonly finishSeconds?: number | undefined;
  /** Signals at which the service is drained and closed. `false`: the program does that itself. @default ["SIGTERM"] */
  readonly stopOn?: readonly NodeJS.Signals[] | false | undefined;
  /** Called after a signal has closed the registration and the server, before the process ends. Close the client here. */
  readonly onStopped?: (() => unknown) | undefined;
}

export interface DrainOutcome {
  /** Whether every subscriber has seen it. */
  readonly seen: boolean;
  readonly waitingFor: readonly string[];
}

export interface ServiceRegistration extends AsyncDisposable {
  readonly name: InstanceName;
  readonly state: "pending" | "registered" | "draining" | "closed";
  /** Stops new requests: resolves once every subscriber has seen that, or `drainSeconds` are over. A second call does nothing. */
  drain(): Promise<DrainOutcome>;
  /** Drains, removes the instance, and closes the server. Disposing does the same. A second call does nothing. */
  close(): Promise<void>;
}

export interface RegistrationParts {
  readonly client: Client;
  readonly session: (options: SessionOptions) => Promise<KeptSession>;
  readonly defaults: {
    readonly service: string;
    readonly namespace: string;
    readonly instance: string | undefined;
    readonly address: string | undefined;
    readonly zone: string | undefined;
  };
  readonly tell: (problem: AppError) => void;
}

export async function registerService(
  host: Host,
  parts: RegistrationParts,
  options: RegisterOptions,
): Promise<ServiceRegistration> {
  const own = new OwnRegistration(host, parts, options);
  await own.start();
  return own;
}

class OwnRegistration implements ServiceRegistration {
  readonly name: InstanceName;
  readonly #host: Host;
  readonly #parts: RegistrationParts;
  readonly #options: RegisterOptions;
  readonly #body: Registration;
  readonly #reporter: CheckReporter;
  readonly #opening = new AbortController();
  readonly #removeListeners: () => void;
  #session: Promise<KeptSession | undefined> = Promise.resolve(undefined);
  #kept: KeptSession | undefined;
  #state: ServiceRegistration["state"] = "pending";
  #drained: Promise<DrainOutcome> | undefined;
  #closed: Promise<void> | undefined;

  constructor(host: Host, parts: RegistrationParts, options: RegisterOptions) {
    this.#host = host;
    this.#parts = parts;
    this.#options = options;
    const { defaults } = parts;
    const { service = defaults.service, namespace = defaults.namespace, checks = [] } = options;
    const at = ownAddress({ address: options.address ?? defaults.address, port: options.port, server: options.server });
    const id = options.id ?? defaults.instance ?? `${safeHostname()}-${at.port}`;
    this.name = { namespace, service, id };
    this.#body = {
      ...fieldsOf(options, defaults.zone),
      ...at,
      ...(checks.length > 0 ? { checks: storedChecks(checks) } : {}),
    };
    this.#reporter = new CheckReporter(host, parts.client, { name: this.name, checks });
    const { stopOn = ["SIGTERM"] } = options;
    this.#removeListeners = stopOn === false ? () => {} : onStopSignals(stopOn, () => this.#stop());
  }

  get state(): ServiceRegistration["state"] {
    return this.#state;
  }

  /** Resolves once it is registered, or after 3 s without a server. @throws the server's rejection */
  async start(): Promise<void> {
    const { ttlSeconds } = this.#options;
    const opened = this.#parts.session({
      ttlSeconds,
      signal: this.#opening.signal,
      onOpen: (session) => this.#register(session),
    });
    const late = Promise.withResolvers<"late">();
    const cancel = this.#host.clock.after(FIRST_ANSWER_MS_MAX, () => late.resolve("late"));
    this.#session = opened.then(
      (session) => (this.#kept = session),
      (error: unknown) => {
        if (!this.#opening.signal.aborted && first === "late") this.#parts.tell(asProblem(error));
        return undefined;
      },
    );
    let first: unknown;
    try {
      first = await Promise.race([opened, late.promise]);
    } catch (error) {
      this.#removeListeners();
      await this.#reporter[Symbol.asyncDispose]();
      throw error;
    } finally {
      cancel();
    }
    if (first !== "late") return;
    const { service, id } = this.name;
    this.#parts.tell(
      ClientErrors.NOT_REGISTERED_YET(
        `Instance "${id}" of service "${service}" is not registered yet, since no server answers. It is registered as soon as one does.`,
        { extra: { ...this.name } },
      ),
    );
  }

  async #register(session: string): Promise<void> {
    const lifecycle = this.#drained ? "draining" : "serving";
    await this.#parts.client.registry.register(this.name, { ...this.#body, lifecycle, session });
    if (this.#state === "pending") this.#state = "registered";
    await this.#reporter.start();
  }

  drain(): Promise<DrainOutcome> {
    return (this.#drained ??= this.#drain());
  }

  async #drain(): Promise<DrainOutcome> {
    this.#opening.abort(ClientErrors.CLOSED("The registration was closed."));
    if (this.#state === "registered") this.#state = "draining";
    const kept = this.#kept;
    const { drainSeconds = DRAIN_SECONDS, lingerSeconds = 0 } = this.#options;
    if (!kept || drainSeconds === 0) return { seen: true, waitingFor: [] };
    const { registry } = this.#parts.client;
    let outcome: DrainOutcome = { seen: false, waitingFor: [] };
    try {
      if (!(await this.#isOurs(kept))) return { seen: true, waitingFor: [] };
      await registry.setLifecycle(this.name, { lifecycle: "draining", deadlineSeconds: Math.max(1, drainSeconds) });
      const { seen, waitingFor } = await registry.drain(this.name, drainSeconds);
      outcome = { seen, waitingFor };
      if (!seen) this.#notSeen(`by ${waitingFor.join(", ")} within ${drainSeconds} s`);
    } catch (error) {
      this.#notSeen(`: ${messageOf(error)}`);
    }
    if (lingerSeconds > 0) await this.#host.clock.sleep(lingerSeconds * 1000);
    return outcome;
  }

  /** Whether the instance is still this process's: a newer process may have registered under the same id. */
  async #isOurs(kept: KeptSession): Promise<boolean> {
    const { namespace, service, id } = this.name;
    const filter = `id == "${id}"`;
    const { instances } = await this.#parts.client.registry.instances({ namespace, service }, { filter });
    return instances.some(({ session }) => session === kept.id);
  }

  #notSeen(why: string): void {
    const { service, id } = this.name;
    this.#parts.tell(
      ClientErrors.DRAIN_NOT_SEEN(
        `The drain of instance "${id}" of service "${service}" was not seen ${why}. Requests may still arrive for a moment.`,
        { extra: { ...this.name } },
      ),
    );
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.drain();
    await this.#reporter[Symbol.asyncDispose]();
    const session = await this.#session;
    // The end of the session removes the instance, unless a newer process has registered under its id.
    await session?.close();
    this.#state = "closed";
    const { server, finishSeconds = FINISH_SECONDS } = this.#options;
    if (server?.address()) await closeServer(this.#host, server, finishSeconds * 1000);
    this.#removeListeners();
  }

  async #stop(): Promise<void> {
    await this.close();
    // Not a part of `close`, which the client's own end waits for: this may close the client.
    await this.#options.onStopped?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The fields that the registry stores unchanged. */
function fieldsOf(options: RegisterOptions, zone: string | undefined): Omit<Registration, "address" | "port"> {
  const { protocol, ports, tags, metadata, weight, version } = options;
  const fields = { protocol, ports, tags, metadata, weight, version, zone: options.zone ?? zone };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function asProblem(error: unknown): AppError {
  return error instanceof AppError ? error : ClientErrors.UNREACHABLE(messageOf(error), { cause: error });
}
